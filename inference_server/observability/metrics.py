"""The metrics of the server, by the contract in ``edgemodel.metrics``, with the identity labels on every series.

They are counted here and not by prometheus-client, whose locks and loops take 4 µs of every request; it writes the
exposition.
"""

import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from dataclasses import astuple
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from edgemodel import metrics as contract
from edgemodel.artifact import ArtifactManifest
from edgemodel.version import VERSION
from inference_server.identity import Identity
from inference_server.observability.drift import Drift
from inference_server.observability.histogram import Histogram, add_histogram
from inference_server.observability.token_families import TokenFamilies
from inference_server.observability.tokens import TokenMetrics

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class InlineRequests:
    """The requests that the event loop answered itself on the JSON fast path. Only the event loop writes here, so there
    is no lock."""

    __slots__ = ("decoding", "duration", "encoding", "last", "running")

    def __init__(self, duration: Histogram) -> None:
        self.duration = duration
        self.decoding = self.running = self.encoding = 0.0
        """The total seconds of all requests."""
        self.last = 0.0
        """The ``perf_counter()`` at the last answer."""

    def record(self, started: float, received: float, decoded: float, ran: float, now: float) -> None:
        """Counts one answered request, by ``perf_counter()`` at the end of each part of its work."""
        self.decoding += decoded - received
        self.running += ran - decoded
        self.encoding += now - ran
        self.last = now
        self.duration.observe(now - started)


class Counted(NamedTuple):
    """Requests by outcome, and the durations of those with the outcome ok."""

    outcomes: dict[str, int]
    duration: Histogram


class ModelMetrics:
    """The counts of one revision of one model. It is safe to call from several threads."""

    def __init__(self, identity: Identity, manifest: ArtifactManifest, objective_seconds: float | None) -> None:
        self.labels = (*astuple(identity), secrets.token_hex(4))
        self.digests = (manifest.artifact_digest, manifest.source_digest)
        self._outcomes = dict.fromkeys(contract.OUTCOMES, 0)
        self._duration = Histogram(contract.duration_buckets(objective_seconds))
        self._queue = Histogram(contract.QUEUE_BUCKETS)
        self.inline = InlineRequests(copy(self._duration))
        self.failed_seconds = 0.0
        """The total seconds of the requests with another outcome than ok."""
        self.feedback = dict.fromkeys(contract.FEEDBACK_RESULTS, 0)
        self.golden: tuple[int, int, float] | None = None
        """The (items that agree, items that disagree, percent that has to agree); None without a golden set."""
        self.replayed: tuple[int, int] | None = None
        """The (items that agree, items that disagree); None if nothing was replayed."""
        self.drift = Drift()
        self.tokens: TokenMetrics | None = None
        """The counts of a model that generates text; None for any other."""
        self._warm_up: Counted | None = None
        """The counts at the end of the warm-up; None while it lasts."""
        self._lock = Lock()

    def record_request(self, outcome: str, seconds: float, queue_seconds: float | None = None) -> None:
        """Counts an infer request that ended ``seconds`` after its head arrived.

        ``outcome`` is one of contract.OUTCOMES. ``queue_seconds`` is None if the queue time was counted already, or the
        request never got so far.
        """
        with self._lock:
            self._outcomes[outcome] += 1
            if queue_seconds is not None:
                self._queue.observe(queue_seconds)
            if outcome == contract.OK:
                self._duration.observe(seconds)
            else:
                self.failed_seconds += seconds

    @property
    def outcomes(self) -> dict[str, int]:
        """Returns the number of requests by outcome."""
        return {**self._outcomes, contract.OK: self._outcomes[contract.OK] + self.inline.duration.count}

    @property
    def duration(self) -> Histogram:
        """The durations in seconds of the requests with the outcome ok."""
        return self._duration + self.inline.duration

    def end_warm_up(self) -> None:
        """Ends the warm-up. Only the event loop calls this, so that no request is counted meanwhile."""
        with self._lock:
            self._warm_up = Counted(self.outcomes, self.duration)
        if self.tokens is not None:
            self.tokens.end_warm_up()

    @property
    def is_warming_up(self) -> bool:
        """True until ``end_warm_up``."""
        return self._warm_up is None

    def warm_up_and_steady(self) -> tuple[Counted, Counted]:
        """Returns the counts of the warm-up and those since its end.

        A request pays nothing for the difference: what was counted at the end of the warm-up is subtracted here.
        """
        total = Counted(self.outcomes, self.duration)
        warm = self._warm_up or total
        outcomes = {outcome: count - warm.outcomes[outcome] for outcome, count in total.outcomes.items()}
        return warm, Counted(outcomes, total.duration - warm.duration)

    @property
    def queue(self) -> Histogram:
        """The seconds in the queue of the requests that got so far, 0 for one that did not wait."""
        waits = copy(self._queue)
        waits.observe_zeros(self.inline.duration.count)
        return waits

    def observe_queue_time(self, seconds: float) -> None:
        """Counts the queue time of an infer request that a worker begins."""
        with self._lock:
            self._queue.observe(seconds)

    def record_feedback(self, *, right: int, wrong: int) -> None:
        """Counts the items that feedback calls right and wrong."""
        with self._lock:
            self.feedback[contract.FEEDBACK_RIGHT] += right
            self.feedback[contract.FEEDBACK_WRONG] += wrong


class Exposition(Collector):
    """The metrics of all models, for Prometheus."""

    def __init__(self, models: Callable[[], Iterable[ModelMetrics]]) -> None:
        """Exports the metrics of ``models``, a function that returns those that are served now."""
        self._models = models
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def scrape(self) -> bytes:
        """Returns all metrics in the text exposition format of CONTENT_TYPE."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Returns nothing: the names are known only when the models are."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yields the metric families, with the counts of this moment."""
        requests = CounterMetricFamily(
            contract.REQUESTS_TOTAL, "Inference requests by outcome.", labels=_labels("outcome")
        )
        duration = HistogramMetricFamily(
            contract.DURATION_SECONDS,
            "Seconds from the head of an inference request to its answer, of requests with the outcome ok.",
            labels=_labels(),
        )
        queue = HistogramMetricFamily(
            contract.QUEUE_SECONDS,
            "Seconds that a request waited for a worker; 0 for one that needed none.",
            labels=_labels(),
        )
        feedback = CounterMetricFamily(
            contract.FEEDBACK_TOTAL, "Labelled predictions by correctness.", labels=_labels("correct")
        )
        predictions = CounterMetricFamily(
            contract.PREDICTIONS_TOTAL, "Predicted items by class.", labels=_labels("class")
        )
        confidence = HistogramMetricFamily(
            contract.CONFIDENCE, "Probability of the predicted class, in 0..1.", labels=_labels()
        )
        golden = _gauge(contract.GOLDEN_ITEMS, "Golden items by result at the start.", "result")
        golden_min = _gauge(contract.GOLDEN_MIN_PERCENT, "Share of golden items that has to agree.")
        replayed = _gauge(contract.REPLAY_ITEMS, "Items of recent requests by result, before it served.", "result")
        info = _gauge(
            contract.MODEL_INFO,
            "The artifact that is served, and the version of the server; always 1.",
            *("artifact_digest", "source_digest", "server_version"),
        )
        memory = _gauge(contract.MEMORY_BYTES, "Resident memory of the server.")
        threads = _gauge(contract.THREADS, "Threads of the server.")
        tokens = TokenFamilies()
        for model in self._models():
            warm, steady = model.warm_up_and_steady()
            for outcome, count in steady.outcomes.items():
                requests.add_metric((*model.labels, outcome), count)
            for family, histogram in ((duration, steady.duration), (queue, model.queue)):
                family.add_metric(model.labels, histogram.buckets, histogram.sum)
            if model.is_warming_up or any(warm.outcomes.values()):
                _add_warm_up(model.labels, warm, requests, duration)
            if model.tokens is not None:
                tokens.add(model.labels, model.tokens)
            for result, count in model.feedback.items():
                feedback.add_metric((*model.labels, result), count)
            classes, confidences = model.drift.counts()
            for name, count in classes.items():
                predictions.add_metric((*model.labels, name), count)
            if confidences.count:
                confidence.add_metric(model.labels, confidences.buckets, confidences.sum)
            if model.golden is not None:
                *counts, least = model.golden
                for result, items in zip(contract.GOLDEN_RESULTS, counts, strict=True):
                    golden.add_metric((*model.labels, result), items)
                golden_min.add_metric(model.labels, least)
            for result, items in zip(contract.GOLDEN_RESULTS, model.replayed or (), strict=False):
                replayed.add_metric((*model.labels, result), items)
            info.add_metric((*model.labels, *model.digests, VERSION), 1)
            memory.add_metric(model.labels, _resident_bytes())
            threads.add_metric(model.labels, _threads())
        yield from (
            requests,
            duration,
            queue,
            feedback,
            predictions,
            confidence,
            golden,
            golden_min,
            replayed,
            info,
            memory,
            threads,
            *tokens.families,
        )


def _add_warm_up(
    labels: tuple[str, ...], warm: Counted, requests: CounterMetricFamily, duration: HistogramMetricFamily
) -> None:
    """Adds the series of the warm-up to the families, which get one label more than these have."""
    mine = {**dict(zip(_labels(), labels, strict=True)), contract.WARM_UP_LABEL: contract.WARM_UP}
    for outcome, count in warm.outcomes.items():
        requests.add_sample(contract.REQUESTS_TOTAL, {**mine, "outcome": outcome}, count)
    add_histogram(duration, contract.DURATION_SECONDS, mine, warm.duration)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=_labels(*labels))


def _labels(*more: str) -> tuple[str, ...]:
    return (*contract.IDENTITY_LABELS, contract.PROCESS_LABEL, *more)


def _resident_bytes() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES


def _threads() -> float:
    return len(os.listdir("/proc/self/task"))
