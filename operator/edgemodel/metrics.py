"""The metrics contract: the server exports these, queries and alerts are made from them.

The server sets the identity labels itself, from its environment, so that no relabelling by a user's
Prometheus can break a verdict. Prometheus keeps a scraped label over its own with ``honor_labels``.
"""

IDENTITY_LABELS = ("namespace", "model", "revision", "variant", "node")

REQUESTS_TOTAL = "edgemodel_inference_requests_total"
"""Counter of inference requests by ``outcome``: ok, client_error, server_error."""
OUTCOMES = ("ok", "client_error", "server_error")

DURATION_SECONDS = "edgemodel_inference_duration_seconds"
"""Histogram of the whole of a request in the server; one bucket edge is the latency objective."""
DURATION_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

QUEUE_SECONDS = "edgemodel_queue_duration_seconds"
"""Histogram of the time a request waited for a worker."""

GOLDEN_ITEMS = "edgemodel_golden_items"
"""Gauge of golden items by ``result`` at the start of this process."""
GOLDEN_RESULTS = ("agree", "disagree")

MODEL_INFO = "edgemodel_model_info"
"""Gauge, always 1, with ``artifact_digest`` and ``source_digest``."""

MEMORY_BYTES = "edgemodel_memory_bytes"
"""Gauge of the resident memory of the server."""

THREADS = "edgemodel_threads"
"""Gauge of the threads of the server."""


def duration_buckets(objective_seconds: float | None) -> tuple[float, ...]:
    """Bucket edges in seconds, ascending, with one at the objective, so that it needs no interpolation."""
    if objective_seconds is None:
        return DURATION_BUCKETS
    return tuple(sorted({*DURATION_BUCKETS, objective_seconds}))
