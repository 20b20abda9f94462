"""The environment variables of an inference server, which the operator sets, and the termination message of a
server."""

import json
from typing import Final

from edgemodel.json_text import parse_json

NAMESPACE: Final = "EDGEMODEL_NAMESPACE"
MODEL: Final = "EDGEMODEL_MODEL"
REVISION: Final = "EDGEMODEL_REVISION"
VARIANT: Final = "EDGEMODEL_VARIANT"
NODE: Final = "EDGEMODEL_NODE"
PORT: Final = "EDGEMODEL_PORT"
MODEL_DIRECTORY: Final = "EDGEMODEL_MODEL_DIRECTORY"
LATENCY_OBJECTIVE_MILLISECONDS: Final = "EDGEMODEL_LATENCY_OBJECTIVE_MILLISECONDS"
"""The latency objective, at which a histogram has a bucket edge; optional."""
FIRST_TOKEN_OBJECTIVE_MILLISECONDS: Final = "EDGEMODEL_FIRST_TOKEN_OBJECTIVE_MILLISECONDS"  # noqa: S105 - a variable
INTER_TOKEN_OBJECTIVE_MILLISECONDS: Final = "EDGEMODEL_INTER_TOKEN_OBJECTIVE_MILLISECONDS"  # noqa: S105 - a variable
"""The objectives of a model that generates text, at which its histograms have a bucket edge; optional."""
WARM_UP_SECONDS: Final = "EDGEMODEL_WARM_UP_SECONDS"
"""The time after a model became ready in which its requests count as warm-up; optional."""

TUNING: Final = {
    "concurrency": "EDGEMODEL_CONCURRENCY",
    "intraOpThreads": "EDGEMODEL_INTRA_OP_THREADS",
    "queueLength": "EDGEMODEL_QUEUE_LENGTH",
    "maxBatchItems": "EDGEMODEL_MAX_BATCH_ITEMS",
    "memoryArena": "EDGEMODEL_MEMORY_ARENA",
}
"""The variable of each key of ``spec.serving.tuning``; all are optional."""

GENERATE: Final = {
    "contextTokens": "EDGEMODEL_CONTEXT_TOKENS",
    "sequences": "EDGEMODEL_SEQUENCES",
    "maxNewTokens": "EDGEMODEL_MAX_NEW_TOKENS",
    "maxStreamSeconds": "EDGEMODEL_MAX_STREAM_SECONDS",
}
"""The variable of each key of ``spec.serving.generate``; all are optional."""
WEIGHTS: Final = "EDGEMODEL_SERVING_WEIGHTS"
"""Mapped or Loaded; optional."""
MAPPED, LOADED = WEIGHTS_VALUES = ("Mapped", "Loaded")
DRAIN_SECONDS: Final = "EDGEMODEL_DRAIN_SECONDS"
"""The time for requests in work to end after a signal; optional."""
API_KEY_FILE: Final = "EDGEMODEL_API_KEY_FILE"
"""The path of a file with the key that clients must show, which may change while the server runs; optional."""
API_KEY_DIRECTORY: Final = "/etc/edgemodel/api-key"
"""The directory with that file, in which the operator mounts a Secret."""

SHADOW_REPLAY_MAX_REQUESTS: Final = "EDGEMODEL_SHADOW_REPLAY_MAX_REQUESTS"
"""The number of requests that a server remembers for a candidate; optional."""
SHADOW_REPLAY_FROM: Final = "EDGEMODEL_SHADOW_REPLAY_FROM"
"""The base URL of the server on the same node whose requests are replayed; optional."""
SHADOW_REPLAY_TOKEN: Final = "EDGEMODEL_SHADOW_REPLAY_TOKEN"  # noqa: S105 - the name of a variable
"""The token that a server demands before it shows its latest requests; optional."""

EXIT_MODEL: Final = 3
"""The exit code of a server that ended because of its model (not loadable, or its golden set disagrees): a restart will
not help."""


def ending(reason: str, message: str) -> bytes:
    """Returns the termination message of a server that ends for a reason that the user should see."""
    return json.dumps({"reason": reason, "message": message[:1000]}).encode()


def parse_ending(message: str) -> tuple[str, str] | None:
    """Returns the (reason, message) of ``ending``; None for another text."""
    try:
        value = parse_json(message)
        return str(value["reason"]), str(value["message"])
    except (ValueError, KeyError, TypeError):
        return None
