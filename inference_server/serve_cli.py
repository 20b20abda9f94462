"""The command ``edgemodel serve``, which serves models locally, without Kubernetes, and prints how to call them."""

import json
import logging
import shlex
import signal
import sys
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from edge_runtime.backend import LoadFailure
from edgemodel import serving
from edgemodel.artifact import Tensor
from edgemodel.user_files import UnreadableFile
from inference_server import settings
from inference_server.generate.model import TextModel
from inference_server.listeners import LISTENERS
from inference_server.listeners.listener import MissingExtra, PortUnavailable
from inference_server.models.loading import PreparedModel
from inference_server.models.repository import ModelEntry
from inference_server.server_process import ServerProcess, exit_at_once, repository


def main(arguments: Sequence[str]) -> int:
    """Returns the exit status: 0 after a signal, serving.EXIT_MODEL for an unfit model, 1 if it cannot start."""
    signal.signal(signal.SIGTERM, lambda *_: exit_at_once(0))
    signal.signal(signal.SIGINT, lambda *_: exit_at_once(0))
    options = settings.parse_serve(arguments, [kind.add_flags for kind in LISTENERS])
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    models = repository(options)
    if isinstance(models, LoadFailure):
        return _end_for(models)
    try:
        process = ServerProcess(
            options, models, lambda entry, ready: _announce(entry, ready, options.host, process), LISTENERS
        )
    except (PortUnavailable, MissingExtra, UnreadableFile) as error:
        print(f"edgemodel: {error}", file=sys.stderr)
        return 1
    ending = process.run()
    return 0 if ending is None else _end_for(ending)


def _announce(entry: ModelEntry, ready: PreparedModel, host: str, process: ServerProcess) -> None:
    name = entry.identity.model
    address = f"[{host}]" if ":" in host else host or "127.0.0.1"
    url = f"http://{address}:{process.listeners['HTTP'].port}/v2/models/{quote(name, safe='')}"
    signature = ready.model.signature
    lines = [
        f"{name}  {url}",
        *_told("takes", signature.inputs.values()),
        *_told("gives", signature.outputs.values()),
        f"  try    {_try(url, name, generates=isinstance(ready.model, TextModel))}",
    ]
    lines += [
        f"  {kind:<5}  {address}:{listener.port}" for kind, listener in process.listeners.items() if kind != "HTTP"
    ]
    print("\n".join(lines), flush=True)


def _try(url: str, name: str, *, generates: bool) -> str:
    """Returns a command that asks the model."""
    if not generates:
        return f"curl -s {shlex.quote(f'{url}/example')} | curl -s {shlex.quote(f'{url}/infer')} -d @-"
    body = json.dumps({"model": name, "messages": [{"role": "user", "content": "What is the sky?"}]})
    server = url.partition("/v2/")[0]
    return f"curl -s {server}/v1/chat/completions -H 'content-type: application/json' -d {shlex.quote(body)}"


def _told(word: str, tensors: Iterable[Tensor]) -> list[str]:
    return [f"  {word}  {tensor.name}  {tensor.datatype}  {list(tensor.shape)}" for tensor in tensors]


def _end_for(ending: LoadFailure) -> int:
    print(f"edgemodel: {ending.reason}: {ending.message}", file=sys.stderr)
    return serving.EXIT_MODEL
