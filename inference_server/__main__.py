"""``python -m inference_server``: listen, load and test the model, serve until a signal."""

import os
import signal
import sys
from functools import partial
from pathlib import Path
from threading import Thread
from typing import NoReturn

from edgemodel import serving
from edgemodel.artifact import ArtifactManifest
from inference_server import logs, settings
from inference_server.app import App
from inference_server.boot import Ending, Ready
from inference_server.metrics import Identity
from inference_server.repository import Entry, Repository
from inference_server.server import Server, listen
from inference_server.workers import Workers


class Program:
    """The server and, beside it while it already answers probes, the thread that loads the models.

    Raises OSError when the port cannot be taken.
    """

    def __init__(self, options: settings.Settings, repository: Repository) -> None:
        self._repository = repository
        app = App(
            repository,
            Workers(options.threads, options.queue),
            max_body_bytes=options.max_body_bytes,
            explicit_model_control=options.explicit_model_control,
        )
        self._server = Server(
            app, drain_seconds=options.drain_seconds, plain_asgi=options.plain_asgi, on_listening=self._begin
        )
        self._listener = listen(options.host, options.port)
        self._ending: Ending | None = None

    def run(self) -> Ending | None:
        """Until a signal (None), or until a model turns out unfit."""
        self._server.run(sockets=[self._listener])
        return self._ending

    def _begin(self) -> None:
        logs.event("listening", port=self._listener.getsockname()[1], fast_lane=self._server.has_fast_lane)
        Thread(target=self._load, name="load", daemon=True).start()

    def _load(self) -> None:
        for name in self._repository.entries:
            outcome = self._repository.load(name)
            if isinstance(outcome, Ending):
                self._ending = outcome
                self._server.stop()
                return
            _log_ready(self._repository.entries[name], outcome)


def _log_ready(entry: Entry, ready: Ready) -> None:
    logs.event(
        "ready",
        model=entry.identity.model,
        revision=entry.identity.revision,
        variant=entry.identity.variant,
        digest=entry.manifest.artifact_digest,
        load_seconds=round(ready.load_seconds, 3),
        golden=str(ready.golden or "the artifact has no golden set"),
        golden_seconds=round(ready.golden_seconds, 3),
    )


def main() -> int:
    """The exit status: 0 after a signal, serving.EXIT_MODEL for an unfit model, 1 when the port cannot be taken."""
    signal.signal(signal.SIGTERM, lambda *_: _exit(0))  # until the server takes signals; process 1 has no default
    options = settings.parse(sys.argv[1:], os.environ)
    logs.configure()
    repository = Repository(partial(_identity, options), options.latency_objective_seconds, options.max_body_bytes)
    for path in options.models:
        if isinstance(entry := repository.add(path), Ending):
            return _end_for(entry, options.termination_log)
    try:
        ending = Program(options, repository).run()
    except OSError as error:
        logs.failure("cannot listen", port=options.port, error=str(error))
        return 1
    if ending is not None:
        return _end_for(ending, options.termination_log)
    logs.event("ended")
    return 0


def _identity(options: settings.Settings, manifest: ArtifactManifest) -> Identity:
    return Identity(
        namespace=options.namespace,
        model=options.model or manifest.model,
        revision=options.revision or manifest.fingerprint,
        variant=options.variant or manifest.variant,
        node=options.node,
    )


def _end_for(ending: Ending, termination_log: Path) -> int:
    logs.failure("the model cannot be served", reason=ending.reason, error=ending.message)
    if termination_log.exists():
        try:
            termination_log.write_bytes(serving.ending(ending.reason, ending.message))
        except OSError as error:
            logs.failure("cannot write the termination log", path=termination_log, error=str(error))
    return serving.EXIT_MODEL


def _exit(status: int) -> NoReturn:
    """Without the interpreter's clean-up, which would crash while a thread is inside the runtime's native code."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    _exit(main())
