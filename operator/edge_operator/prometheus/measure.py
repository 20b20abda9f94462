"""Carries out a MeasurementPlan: queries all of its series at the same moment, and reads the answers.

What stable served before a wave stays the same, and is the most expensive to query: hours of every node. So it is
queried again only now and then, for a Prometheus that gets some of it late, by remote write or from a replica.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import isfinite

from edge_operator.decide.measurement import (
    Answer,
    Baseline,
    Counts,
    MeasurementPlan,
    Sample,
    Samples,
    Series,
    Window,
    queries,
)
from edge_operator.decide.measurement.series import Values
from edge_operator.prometheus.client import Prometheus, PrometheusError
from edgemodel import metrics

LONG_AGO_SECONDS = 1e9
NO_USERS = "PromQL checks are switched off for this Prometheus (chart value prometheus.promQLChecks)"
LATE = timedelta(minutes=2)
"""The time after a wave's beginning in which samples of before may still arrive; the baseline is queried each time."""
KEPT = timedelta(minutes=5)
"""The time for which it is kept after that."""


@dataclass(frozen=True)
class KeptBaseline:
    """The answers about the time before a wave."""

    plan: MeasurementPlan
    at: datetime
    """The time of the queries."""
    baseline: Baseline
    contradictory: dict[str, str]

    def holds_for(self, plan: MeasurementPlan, now: datetime) -> bool:
        """Returns whether ``plan`` has the same queries about that time, and new answers are not due yet."""
        settled = bool(self.baseline) and self.at - self.plan.since >= LATE and now - self.at < KEPT
        return settled and replace(self.plan, queries=plan.queries) == plan


class WaveMeasurement:
    """The measurement of one EdgeModel with a candidate on trial."""

    def __init__(self, prometheus: Prometheus) -> None:
        self._prometheus = prometheus
        self._kept: KeptBaseline | None = None

    async def carry_out(self, plan: MeasurementPlan, now: datetime) -> Samples:
        """Returns the samples of all series of ``plan``, those of before the wave as they are kept, and the answers to
        the queries of users. Raises PrometheusError.

        The number of queries does not depend on the number of nodes.
        """
        kept = self._kept if self._kept is not None and self._kept.holds_for(plan, now) else None
        samples, self._kept = await _measure(self._prometheus, plan, now, kept)
        return samples


async def _measure(
    prometheus: Prometheus, plan: MeasurementPlan, now: datetime, kept: KeptBaseline | None
) -> tuple[Samples, KeptBaseline]:
    asked = {
        (span.window, series): (text, span.at)
        for span in plan.spans(now)
        if kept is None or span.window is not Window.BASELINE
        for series in plan.series
        if (text := series.query(span)) is not None
    }
    reporting = queries.age_of_newest(queries.select(metrics.MODEL_INFO, plan.labels_of(plan.candidate)))
    ages, *found = await _all(prometheus, [(reporting, now), *asked.values()])
    answers = {name: await _answer(prometheus, query, now) for name, query in plan.queries}
    windows, of_windows = _read(zip(asked, found, strict=True))
    if kept is None:
        kept = KeptBaseline(plan, now, Baseline(windows[Window.BASELINE]), of_windows[Window.BASELINE])
    contradictory = {node: why for of in (kept.contradictory, *of_windows.values()) for node, why in of.items()}

    def trusted(window: Window) -> tuple[Counts, ...]:
        return tuple(counts for counts in windows[window] if counts.node not in contradictory)

    samples = Samples(
        measured_at=now,
        candidate=plan.candidate,
        since=plan.since,
        trial=trusted(Window.TRIAL),
        control=trusted(Window.CONTROL),
        baseline=kept.baseline,
        present=trusted(Window.PRESENT),
        reporting={
            sample.node: now - timedelta(seconds=sample.value)
            for sample in ages
            if isfinite(sample.value) and abs(sample.value) < LONG_AGO_SECONDS
        },
        answers=answers,
        contradictory=contradictory,
    )
    return samples, kept


def _read(
    found: Iterable[tuple[tuple[Window, Series], list[Sample]]],
) -> tuple[dict[Window, tuple[Counts, ...]], dict[Window, dict[str, str]]]:
    """Returns the samples of nodes by window, in order, and its nodes with impossible numbers, with the reasons."""
    nodes: dict[Window, defaultdict[str, dict[Series, Values]]] = {window: defaultdict(dict) for window in Window}
    contradictory: dict[Window, dict[str, str]] = {window: {} for window in Window}
    for (window, series), samples in found:
        read = series.read(samples)
        contradictory[window] |= read.contradictory
        for node, values in read.values.items():
            nodes[window][node] |= {series: values} if values else {}
    windows = {
        window: tuple(Counts(node, values) for node, values in sorted(of.items())) for window, of in nodes.items()
    }
    return windows, contradictory


async def _all(prometheus: Prometheus, asked: Sequence[tuple[str, datetime]]) -> list[list[Sample]]:
    """Returns the answers, in order. Raises the first PrometheusError once all have ended."""
    answers = await asyncio.gather(*(prometheus.vector(query, at) for query, at in asked), return_exceptions=True)
    found: list[list[Sample]] = []
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
        found.append(answer)
    return found


async def _answer(prometheus: Prometheus, query: str, now: datetime) -> Answer:
    """Returns the answer to a user's query; a failed one does not affect other checks."""
    if not prometheus.settings.answers_users:
        return Answer(None, NO_USERS)
    try:
        found = await prometheus.vector(query, now)
    except PrometheusError as error:
        return Answer(None, str(error))
    if len(found) != 1:
        return Answer(None, "no result" if not found else f"{len(found)} results, want one: aggregate them")
    value = found[0].value
    return Answer(value) if isfinite(value) else Answer(None, f"the result is {value}")
