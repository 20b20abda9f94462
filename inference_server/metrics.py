"""What the server measures, by the contract in ``edgemodel.metrics``, with the identity labels on every series."""

import os
import secrets
from dataclasses import astuple, dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest

from edgemodel import metrics as contract
from edgemodel.artifact import ArtifactManifest

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Identity:
    """Which server this is; the fields are ``contract.IDENTITY_LABELS``, in that order."""

    namespace: str
    model: str
    revision: str
    variant: str
    node: str


class Metrics:
    def __init__(self, identity: Identity, manifest: ArtifactManifest, objective_seconds: float | None) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # not annotated there
        self._registry = CollectorRegistry()
        self._identity = (*astuple(identity), secrets.token_hex(4))
        requests = Counter(
            contract.REQUESTS_TOTAL, "Inference requests by outcome.", _labels("outcome"), registry=self._registry
        )
        self._requests = {outcome: requests.labels(*self._identity, outcome) for outcome in contract.OUTCOMES}
        self._duration = self._histogram(
            contract.DURATION_SECONDS,
            "Seconds from the head of an inference request to its answer, of requests with the outcome ok.",
            contract.duration_buckets(objective_seconds),
        )
        self._queue = self._histogram(
            contract.QUEUE_SECONDS, "Seconds that a request waited for a worker.", contract.QUEUE_BUCKETS
        )
        feedback = Counter(
            contract.FEEDBACK_TOTAL, "Labelled predictions by correctness.", _labels("correct"), registry=self._registry
        )
        self._feedback = {result: feedback.labels(*self._identity, result) for result in contract.FEEDBACK_RESULTS}
        self._golden = self._gauge(contract.GOLDEN_ITEMS, "Golden items by result at the start.", "result")
        self._golden_min = self._gauge(contract.GOLDEN_MIN_PERCENT, "Share of golden items that has to agree.")
        info = self._gauge(
            contract.MODEL_INFO, "The artifact that is served; always 1.", "artifact_digest", "source_digest"
        )
        info.labels(*self._identity, manifest.artifact_digest, manifest.source_digest).set(1)
        memory = self._gauge(contract.MEMORY_BYTES, "Resident memory of the server.")
        memory.labels(*self._identity).set_function(_resident_bytes)
        threads = self._gauge(contract.THREADS, "Threads of the server.")
        threads.labels(*self._identity).set_function(_threads)

    def answered(self, outcome: str, seconds: float) -> None:
        """An inference request was answered, ``seconds`` after its head arrived; ``outcome``: of contract.OUTCOMES."""
        self._requests[outcome].inc()
        if outcome == contract.OK:
            self._duration.observe(seconds)

    def labelled(self, *, right: int, wrong: int) -> None:
        self._feedback[contract.FEEDBACK_RIGHT].inc(right)
        self._feedback[contract.FEEDBACK_WRONG].inc(wrong)

    def waited(self, seconds: float) -> None:
        self._queue.observe(seconds)

    def golden(self, *, agree: int, disagree: int, min_percent: float) -> None:
        self._golden_min.labels(*self._identity).set(min_percent)
        for result, items in zip(contract.GOLDEN_RESULTS, (agree, disagree), strict=True):
            self._golden.labels(*self._identity, result).set(items)

    def scrape(self) -> bytes:
        """All of it in the text exposition format of CONTENT_TYPE."""
        return generate_latest(self._registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        histogram = Histogram(name, text, _labels(), buckets=buckets, registry=self._registry)
        return histogram.labels(*self._identity)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, _labels(*labels), registry=self._registry)


def _labels(*more: str) -> tuple[str, ...]:
    return (*contract.IDENTITY_LABELS, contract.PROCESS_LABEL, *more)


def _resident_bytes() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES


def _threads() -> float:
    return len(os.listdir("/proc/self/task"))
