"""The metrics contract: the server exports these series, and queries and alerts use them.

The server sets the identity labels itself, from its environment, so that no relabelling by a user's Prometheus can
break a verdict. Prometheus keeps a scraped label over its own with ``honor_labels``; without it, the chart's scrape
configurations set labels of the same names from the pod's labels.
"""

from bisect import bisect_left

IDENTITY_LABELS = ("namespace", "model", "revision", "variant", "node")

PROCESS_LABEL = "process"
"""The label with a value of its own in every process of a server. Within one process a counter never falls, so its
total is its largest value: restarts, gaps between scrapes and a second replica of Prometheus change nothing, and
nothing is extrapolated."""

WARM_UP_LABEL = "warm_up"
WARM_UP = "true"
"""The value of WARM_UP_LABEL on REQUESTS_TOTAL and the histograms of times (DURATION_SECONDS, FIRST_TOKEN_SECONDS,
INTER_TOKEN_SECONDS) for what a process counted in its warm-up: before the model was ready, and in the first
WARM_UP_SECONDS after. Later requests have series without the label, and so do all of a server that knows no warm-up, so
the sum over both is the total as ever. The series of the warm-up exist while it lasts, and afterwards if anything was
counted in it."""
WARM_UP_SECONDS = 60
"""The usual length of the warm-up: loading goes on in the background, and caches fill."""

REQUESTS_TOTAL = "edgemodel_inference_requests_total"
"""Counter of inference requests by ``outcome``.

``ok``; ``refused``: well-formed, but does not fit this model, and would fit another; ``client_error``: wrong for any
model; ``server_error``: the server's fault, including a full queue. A stream counts once, at its end: one that breaks
after its status 200 by the server's fault is a ``server_error``.
"""
OK, REFUSED, CLIENT_ERROR, SERVER_ERROR = OUTCOMES = ("ok", "refused", "client_error", "server_error")

DURATION_SECONDS = "edgemodel_inference_duration_seconds"
"""Histogram of the total time of a request in the server; one bucket edge is the latency objective."""
DURATION_BUCKETS = (
    0.0004, 0.00063, 0.001, 0.0016, 0.0025, 0.004, 0.0063, 0.01, 0.016, 0.025, 0.04, 0.063, 0.1, 0.16, 0.25, 0.4, 0.63,
    1.0, 1.6, 2.5, 4.0, 6.3, 10.0,
)  # fmt: skip
"""The bucket edges in seconds, five per decade: a model that becomes 1.6x slower moves by a whole bucket."""

QUEUE_SECONDS = "edgemodel_queue_duration_seconds"
"""Histogram of the time a request waited for a worker."""
QUEUE_BUCKETS = (0.0001, 0.001, 0.01, 0.1, 1.0)

GOLDEN_ITEMS = "edgemodel_golden_items"
"""Gauge of golden items by ``result`` at the start of this process."""
GOLDEN_RESULTS = ("agree", "disagree")

GOLDEN_MIN_PERCENT = "edgemodel_golden_min_percent"
"""Gauge of the share of golden items, in 0..100, that has to agree; with less, the server does not serve."""

REPLAY_ITEMS = "edgemodel_replay_items"
"""Gauge of replayed requests' items by ``result`` (one of GOLDEN_RESULTS): before it served, this model answered the
latest requests of the model before it, and the answers agreed or not. Exists only with ``spec.serving.shadowReplay``.
"""

FEEDBACK_TOTAL = "edgemodel_feedback_total"
"""Counter of labelled predictions by ``correct``, for the revision that made them."""
FEEDBACK_RIGHT, FEEDBACK_WRONG = FEEDBACK_RESULTS = ("true", "false")

PREDICTIONS_TOTAL = "edgemodel_predictions_total"
"""Counter of predicted items by ``class``: the position of the largest score, or the whole number itself. At most a
hundred requests a second are counted: drift shows in the shares, and these suffice."""
OTHER = "other"
"""The ``class`` of all items that have no counter of their own."""

CONFIDENCE = "edgemodel_prediction_confidence"
"""Histogram of the probability, in 0..1, of the predicted class. With the classes it shows drift: a change of the
model's inputs. Drift never rolls back."""
CONFIDENCE_BUCKETS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)

MODEL_INFO = "edgemodel_model_info"
"""Gauge, always 1, with ``artifact_digest``, ``source_digest`` and ``server_version``."""

MEMORY_BYTES = "edgemodel_memory_bytes"
"""Gauge of the resident memory of the server."""

THREADS = "edgemodel_threads"
"""Gauge of the threads of the server."""

FIRST_TOKEN_SECONDS = "edgemodel_time_to_first_token_seconds"  # noqa: S105 - the name of a metric
"""Histogram by ``prompt`` of the time from the head of a request to its first token, with its wait in the queue,
whether the answer is streamed or not; one bucket edge is the objective. Only models that generate text have it."""
FIRST_TOKEN_BUCKETS = (
    0.01, 0.016, 0.025, 0.04, 0.063, 0.1, 0.16, 0.25, 0.4, 0.63, 1.0, 1.6, 2.5, 4.0, 6.3, 10.0, 16.0, 25.0, 40.0, 63.0,
    100.0,
)  # fmt: skip
PROMPT_LABEL = "prompt"
"""The label with the upper end of the bucket in which the prompt's length lies, in tokens; LONGEST beyond the last of
PROMPT_BUCKETS. The time to the first token grows with the prompt, so only prompts of like length compare."""
PROMPT_BUCKETS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768)
LONGEST = "+Inf"

INTER_TOKEN_SECONDS = "edgemodel_inter_token_seconds"  # noqa: S105 - the name of a metric
"""Histogram of the time between two tokens, one observation for each request: the mean of its gaps, since those of one
request depend on each other. A request with less than two tokens has none. One bucket edge is the objective."""
INTER_TOKEN_BUCKETS = (
    0.001, 0.0016, 0.0025, 0.004, 0.0063, 0.01, 0.016, 0.025, 0.04, 0.063, 0.1, 0.16, 0.25, 0.4, 0.63, 1.0, 1.6, 2.5,
    4.0, 6.3, 10.0,
)  # fmt: skip

TOKENS_TOTAL = "edgemodel_tokens_total"
"""Counter of tokens by ``direction``: ``in`` for those of prompts, ``out`` for generated ones."""
TOKENS_IN, TOKENS_OUT = TOKEN_DIRECTIONS = ("in", "out")

FINISHED_TOTAL = "edgemodel_finished_total"
"""Counter of requests that generated text by ``reason``, each counted at its end.

``stop``: the model ended its answer, or a text of ``stop`` came; ``length``: at the limit of tokens; ``time``: at the
limit of the time of a stream; ``cancelled``: the client hung up; ``error``: the server's fault, for a stream also after
its status 200. In REQUESTS_TOTAL, ``error`` is a ``server_error``, and all others are ``ok``.
"""
STOP, LENGTH, TIME, CANCELLED, ERROR = FINISH_REASONS = ("stop", "length", "time", "cancelled", "error")

CACHE_BYTES = "edgemodel_cache_bytes"
"""Gauge of the cache of keys and values by ``state``: ``used`` by the sequences in work, and ``reserved`` at the start
for as many sequences as the server takes, which includes what is used."""
CACHE_USED, CACHE_RESERVED = CACHE_STATES = ("used", "reserved")


def duration_buckets(objective_seconds: float | None, edges: tuple[float, ...] = DURATION_BUCKETS) -> tuple[float, ...]:
    """Returns the bucket edges in seconds, ascending, with one at the objective, so that it needs no interpolation."""
    if objective_seconds is None:
        return edges
    return tuple(sorted({*edges, objective_seconds}))


def prompt_bucket(tokens: int) -> str:
    """Returns the value of PROMPT_LABEL for a prompt of that many tokens."""
    place = bisect_left(PROMPT_BUCKETS, tokens)
    return str(PROMPT_BUCKETS[place]) if place < len(PROMPT_BUCKETS) else LONGEST
