"""The metrics contract: the server exports these, queries and alerts are made from them.

The server sets the identity labels itself, from its environment, so that no relabelling by a user's
Prometheus can break a verdict. Prometheus keeps a scraped label over its own with ``honor_labels``; without it, the
chart's scrape configurations set labels of the same names from what the cluster says of the pod.
"""

IDENTITY_LABELS = ("namespace", "model", "revision", "variant", "node")

PROCESS_LABEL = "process"
"""Another value in every process of a server. Within one a counter never falls, so what it counted is its largest
value: restarts, gaps between scrapes and a second replica of Prometheus change nothing, and nothing is extrapolated."""

REQUESTS_TOTAL = "edgemodel_inference_requests_total"
"""Counter of inference requests by ``outcome``.

``ok``; ``refused``: well-formed, but it does not fit this model, and would fit another; ``client_error``: wrong for any
model; ``server_error``: the server's fault, a full queue included."""
OK, REFUSED, CLIENT_ERROR, SERVER_ERROR = OUTCOMES = ("ok", "refused", "client_error", "server_error")

DURATION_SECONDS = "edgemodel_inference_duration_seconds"
"""Histogram of the whole of a request in the server; one bucket edge is the latency objective."""
DURATION_BUCKETS = (
    0.0004, 0.00063, 0.001, 0.0016, 0.0025, 0.004, 0.0063, 0.01, 0.016, 0.025, 0.04, 0.063, 0.1, 0.16, 0.25, 0.4, 0.63,
    1.0, 1.6, 2.5, 4.0, 6.3, 10.0,
)  # fmt: skip
"""Five edges a decade: a model that becomes 1.6x slower moves by a whole bucket."""

QUEUE_SECONDS = "edgemodel_queue_duration_seconds"
"""Histogram of the time a request waited for a worker."""
QUEUE_BUCKETS = (0.0001, 0.001, 0.01, 0.1, 1.0)

GOLDEN_ITEMS = "edgemodel_golden_items"
"""Gauge of golden items by ``result`` at the start of this process."""
GOLDEN_RESULTS = ("agree", "disagree")

GOLDEN_MIN_PERCENT = "edgemodel_golden_min_percent"
"""Gauge of the share of golden items, in 0..100, that has to agree: with less, the server does not serve."""

REPLAY_ITEMS = "edgemodel_replay_items"
"""Gauge of items of recent requests by ``result`` (of GOLDEN_RESULTS): before it served, this model was asked what the
one before it had been asked, and both agreed or not. Only with ``spec.serving.shadowReplay``."""

FEEDBACK_TOTAL = "edgemodel_feedback_total"
"""Counter of labelled predictions by ``correct``, of the revision that made them."""
FEEDBACK_RIGHT, FEEDBACK_WRONG = FEEDBACK_RESULTS = ("true", "false")

PREDICTIONS_TOTAL = "edgemodel_predictions_total"
"""Counter of predicted items by ``class``: the position of the largest score, or the whole number that it is. Of a
sample, at most a hundred requests a second: shares tell drift, and there are enough of them."""
OTHER = "other"
"""The ``class`` of all that have no counter of their own."""

CONFIDENCE = "edgemodel_prediction_confidence"
"""Histogram of the probability, in 0..1, of the predicted class. With the classes it tells drift: a change of what the
model sees. It never rolls back."""
CONFIDENCE_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)

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
