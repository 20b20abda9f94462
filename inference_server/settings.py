"""The settings of the server: from the environment that the operator sets, or from flags outside a cluster."""

import argparse
import math
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from edge_runtime.cores import usable_cores
from edge_runtime.tuning import Arena, Tuning
from edgemodel import metrics, names, serving
from edgemodel.generation import (
    CONTEXT_TOKENS,
    MAX_STREAM_SECONDS,
    NEW_TOKENS,
    PROMPT_SECONDS,
    SEQUENCES,
    Generation,
    TokenObjectives,
)

DEFAULT_PORT = 8080
DEFAULT_MAX_BODY_BYTES = 64 * 1024 * 1024
DEFAULT_QUEUE_LENGTH = 256
DEFAULT_TIMEOUT_SECONDS = 30
DEFAULT_DRAIN_SECONDS = 20
TERMINATION_LOG = "/dev/termination-log"


@dataclass(frozen=True)
class ServerSettings:
    """All that the flags and variables of a server say."""

    namespace: str
    model: str | None
    """The name of the model; None: the name in the artifact manifest. ``revision`` (its fingerprint) and ``variant``
    follow the same rule."""
    revision: str | None
    variant: str | None
    node: str
    host: str
    port: int
    models: tuple[Path, ...]
    """The artifacts' directories, ONNX files, or folders with one; at least one."""
    needs_manifest: bool
    """True if a model without a manifest is refused, as the artifact of an image is not whole without one."""
    explicit_model_control: bool
    latency_objective_seconds: float | None
    token_objectives: TokenObjectives
    """The objectives of models that generate text, at which their histograms have a bucket edge."""
    warm_up_seconds: int
    """The time after a model became ready in which its requests count as warm-up, in seconds."""
    concurrency: int
    queue_length: int
    max_batch_items: int
    shadow_replay_max_requests: int
    shadow_replay_from: str | None
    shadow_replay_token: str | None
    tuning: Tuning
    generation: Generation
    """The limits of models that generate text."""
    api_key_file: Path | None
    """The file with the key that clients must show; None: every client is served."""
    weights: str | None
    """``Mapped`` or ``Loaded``; None: by their size."""
    max_body_bytes: int
    timeout_seconds: int
    """The time that a request may wait for its turn, in seconds."""
    drain_seconds: int
    termination_log: Path
    listener_flags: Mapping[str, Any]
    """The values of the flags that the types of listeners declare, by name."""


AddFlags = Callable[[argparse.ArgumentParser], None]


def parse(
    arguments: Sequence[str], environment: Mapping[str, str], listener_flags: Sequence[AddFlags] = ()
) -> ServerSettings:
    """Returns the settings of flags and variables: a flag overrides its variable, and an empty variable counts as
    unset.

    ``listener_flags`` add the flags of listeners. Exits with 2 and a message for an invalid value.
    """
    return _settings(_parser(environment, listener_flags), arguments)


def parse_serve(arguments: Sequence[str], listener_flags: Sequence[AddFlags]) -> ServerSettings:
    """Returns the settings of ``edgemodel serve``: no variables, at least one model, and clients on this machine
    only."""
    parser = serve_parser(listener_flags)
    if not parser.parse_args(arguments).models:
        parser.error("name a model: an ONNX file, or the folder of an artifact")
    return _settings(parser, arguments)


def serve_parser(listener_flags: Sequence[AddFlags]) -> argparse.ArgumentParser:
    """Returns the parser of ``edgemodel serve``."""
    parser = _parser(None, listener_flags, prog="edgemodel serve")
    parser.set_defaults(host="127.0.0.1")
    return parser


def _settings(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> ServerSettings:
    given = vars(parser.parse_args(arguments))
    directory = given.pop("model_directory")
    named = tuple(given.pop("models"))
    models = named or (directory,)
    if len(models) > 1 and any(given[name] for name in ("model", "revision", "variant")):
        parser.error("--model, --revision and --variant name one model, and there are several")
    given |= {
        "models": models,
        "needs_manifest": not named,
        "explicit_model_control": given.pop("model_control") == "explicit",
    }
    given["tuning"] = Tuning(
        intra_op_threads=given.pop("intra_op_threads"),
        arena=given.pop("memory_arena"),
        prepacking=given.pop("prepacking") == "on",
        mapped=None if given["weights"] is None else given["weights"] == serving.MAPPED,
        concurrency=given["concurrency"],
    )
    given["generation"] = Generation(
        context_tokens=given.pop("context_tokens"),
        sequences=given.pop("sequences"),
        max_new_tokens=given.pop("max_new_tokens"),
        max_stream_seconds=given.pop("max_stream_seconds"),
    )
    given["latency_objective_seconds"] = _seconds(given.pop("latency_objective_milliseconds"))
    given["token_objectives"] = TokenObjectives(
        first_token=_seconds(given.pop("first_token_objective_milliseconds")),
        inter_token=_seconds(given.pop("inter_token_objective_milliseconds")),
    )
    own = {field.name for field in fields(ServerSettings)}
    flags = {name: given.pop(name) for name in list(given) if name not in own}
    return ServerSettings(listener_flags=flags, **given)


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Help that names a default only where there is one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


def _parser(
    environment: Mapping[str, str] | None, listener_flags: Sequence[AddFlags], prog: str = "inference_server"
) -> argparse.ArgumentParser:
    """Returns the parser of a server; if ``environment`` is None, it takes no variables."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Serves ONNX models over the Open Inference Protocol v2.",
        formatter_class=_Help,
    )

    def variable(flag: str, name: str, default: object, text: str, parse: Callable[[str], object] = str) -> None:
        value = (environment or {}).get(name) or default
        told = text if environment is None else f"{text}; the variable {name}"
        parser.add_argument(flag, type=parse, default=value, help=told)

    parser.add_argument(
        "models", nargs="*", type=Path, help="ONNX files or artifacts' directories, in the place of --model-directory"
    )
    variable("--namespace", serving.NAMESPACE, "default", "namespace of the EdgeModel")
    variable("--model", serving.MODEL, None, "name of the EdgeModel, as in the manifest if not given")
    variable("--revision", serving.REVISION, None, "name of the revision, the artifact's fingerprint if not given")
    variable("--variant", serving.VARIANT, None, "name of the variant, as in the manifest if not given")
    variable("--node", serving.NODE, socket.gethostname(), "name of the node")
    variable("--port", serving.PORT, DEFAULT_PORT, "TCP port, 0 for any free one", integer_between(0, 65535))
    variable("--model-directory", serving.MODEL_DIRECTORY, names.MODEL_DIRECTORY, "directory of the artifact", Path)
    variable(
        "--latency-objective-milliseconds",
        serving.LATENCY_OBJECTIVE_MILLISECONDS,
        None,
        "a bucket of the duration histogram ends at this latency",
        _milliseconds,
    )
    variable(
        "--first-token-objective-milliseconds",
        serving.FIRST_TOKEN_OBJECTIVE_MILLISECONDS,
        None,
        "a bucket of the histogram of times to the first token ends here",
        _milliseconds,
    )
    variable(
        "--inter-token-objective-milliseconds",
        serving.INTER_TOKEN_OBJECTIVE_MILLISECONDS,
        None,
        "a bucket of the histogram of times between tokens ends here",
        _milliseconds,
    )
    variable(
        "--warm-up-seconds",
        serving.WARM_UP_SECONDS,
        metrics.WARM_UP_SECONDS,
        "requests within this time after the model is ready are counted with a label of their own",
        integer_between(0, 3600),
    )
    variable(
        "--shadow-replay-max-requests",
        serving.SHADOW_REPLAY_MAX_REQUESTS,
        0,
        "requests to remember, for a replay by the model that replaces this one; only counts are exported",
        integer_between(0, 4096),
    )
    variable(
        "--shadow-replay-from",
        serving.SHADOW_REPLAY_FROM,
        None,
        "URL of a server whose requests are replayed at the start",
    )
    variable("--shadow-replay-token", serving.SHADOW_REPLAY_TOKEN, None, "the token that such a server demands")
    add = parser.add_argument
    add(
        "--model-control",
        choices=("none", "explicit"),
        default="none",
        help="explicit: clients may load and unload the models that the server was started with",
    )
    add("--host", default="", help="address to listen on; every one if empty")
    tuning = serving.TUNING
    variable(
        "--concurrency", tuning["concurrency"], usable_cores(), "requests in work at a time", integer_between(1, 1024)
    )
    variable("--intra-op-threads", tuning["intraOpThreads"], 1, "threads of each of them", integer_between(1, 1024))
    variable(
        "--queue-length",
        tuning["queueLength"],
        DEFAULT_QUEUE_LENGTH,
        "requests that may wait; more are answered 503",
        integer_between(0, 1_000_000),
    )
    variable(
        "--max-batch-items",
        tuning["maxBatchItems"],
        1,
        "items of waiting requests that may run as one, where a model takes batches and treats each item alone",
        integer_between(1, 4096),
    )
    variable(
        "--memory-arena",
        tuning["memoryArena"],
        Arena.SHRINK,
        "memory of a run: Shrink releases that of a burst, Keep keeps it (fastest), Off keeps none",
        _arena,
    )
    add(
        "--prepacking",
        choices=("on", "off"),
        default="on",
        help="off: weights are not rearranged, which saves memory of their size and makes some models slower",
    )
    generate = serving.GENERATE
    variable(
        "--context-tokens",
        generate["contextTokens"],
        None,
        "tokens of a prompt and its answer together, of models that generate text; at most those of the model, "
        f"{CONTEXT_TOKENS} if not given",
        integer_between(1, 1_048_576),
    )
    variable(
        "--sequences",
        generate["sequences"],
        None,
        f"requests for text that are answered at a time, each with a cache of its own; {SEQUENCES} if not given",
        integer_between(1, 256),
    )
    variable(
        "--max-new-tokens",
        generate["maxNewTokens"],
        None,
        f"tokens of an answer at most; {NEW_TOKENS} if not given",
        integer_between(1, 1_048_576),
    )
    variable(
        "--max-stream-seconds",
        generate["maxStreamSeconds"],
        None,
        f"time of an answer at most, from the head of its request; {PROMPT_SECONDS} and one for each token of the "
        f"longest answer if not given, at most {MAX_STREAM_SECONDS}",
        integer_between(1, 3600),
    )
    variable(
        "--weights",
        serving.WEIGHTS,
        None,
        "Mapped: weights stay in their file, whose pages the kernel may drop; Loaded: they are copied into memory; "
        "by their size if not given",
        _weights,
    )
    variable(
        "--api-key-file",
        serving.API_KEY_FILE,
        None,
        "file with the key that clients must show, read again when it changes; every client is served if not given",
        Path,
    )
    add(
        "--max-body-bytes",
        type=integer_between(1, 2**40),
        default=DEFAULT_MAX_BODY_BYTES,
        help="limit of the body of a request, as sent and expanded",
    )
    add(
        "--timeout-seconds",
        type=integer_between(1, 86400),
        default=DEFAULT_TIMEOUT_SECONDS,
        help="a request that waits longer for its turn is answered 503; a request may set its own parameter timeout",
    )
    variable(
        "--drain-seconds",
        serving.DRAIN_SECONDS,
        DEFAULT_DRAIN_SECONDS,
        "the time for requests in work to end after a signal",
        integer_between(0, 3600),
    )
    for add_flags in listener_flags:
        add_flags(parser)
    add(
        "--termination-log",
        type=Path,
        default=TERMINATION_LOG,
        help="file that gets the reason of a fatal error, if it exists",
    )
    return parser


def integer_between(low: int, high: int) -> Callable[[str], int]:
    """Returns an argparse type for whole numbers in the range."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not an integer from {low} to {high}")
        return value

    return parse


def _arena(text: str) -> Arena:
    try:
        return Arena(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(Arena)}") from None


def _weights(text: str) -> str:
    if text not in serving.WEIGHTS_VALUES:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(serving.WEIGHTS_VALUES)}")
    return text


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _milliseconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of milliseconds above 0")
    return value
