"""The environment variables of an inference server, which the operator sets; and how a server says why it ended."""

import json
from typing import Final

NAMESPACE: Final = "EDGEMODEL_NAMESPACE"
MODEL: Final = "EDGEMODEL_MODEL"
REVISION: Final = "EDGEMODEL_REVISION"
VARIANT: Final = "EDGEMODEL_VARIANT"
NODE: Final = "EDGEMODEL_NODE"
PORT: Final = "EDGEMODEL_PORT"
MODEL_DIRECTORY: Final = "EDGEMODEL_MODEL_DIRECTORY"
LATENCY_OBJECTIVE_MILLISECONDS: Final = "EDGEMODEL_LATENCY_OBJECTIVE_MILLISECONDS"
"""Optional: a histogram bucket edge is put there."""

TUNING: Final = {
    "concurrency": "EDGEMODEL_CONCURRENCY",
    "intraOpThreads": "EDGEMODEL_INTRA_OP_THREADS",
    "queueLength": "EDGEMODEL_QUEUE_LENGTH",
    "maxBatchItems": "EDGEMODEL_MAX_BATCH_ITEMS",
    "memoryArena": "EDGEMODEL_MEMORY_ARENA",
}
"""Optional: a key of ``spec.serving.tuning`` -> its variable."""

SHADOW_REPLAY_MAX_REQUESTS: Final = "EDGEMODEL_SHADOW_REPLAY_MAX_REQUESTS"
"""Optional: how many requests are remembered for a candidate."""
SHADOW_REPLAY_FROM: Final = "EDGEMODEL_SHADOW_REPLAY_FROM"
"""Optional: the base URL of the server on the same node whose requests are asked again."""
SHADOW_REPLAY_TOKEN: Final = "EDGEMODEL_SHADOW_REPLAY_TOKEN"  # noqa: S105 - the name of a variable
"""Optional: what a server has to be shown before it tells what it was asked."""

EXIT_MODEL: Final = 3
"""The server ended because of its model (not loadable, or its golden set disagrees): restarting will not help."""


def ending(reason: str, message: str) -> bytes:
    """The termination message of a server that ends for a reason that a user should be told."""
    return json.dumps({"reason": reason, "message": message[:1000]}).encode()


def parse_ending(message: str) -> tuple[str, str] | None:
    """(reason, message) of ``ending``, or None when it is something else."""
    try:
        value = json.loads(message)
        return str(value["reason"]), str(value["message"])
    except (ValueError, KeyError, TypeError):
        return None
