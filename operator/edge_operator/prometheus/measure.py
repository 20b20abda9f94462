"""Carries out a MeasurementPlan: queries all of its series at the same moment, and reads the answers."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from math import isfinite

from edge_operator.decide.measurement import Answer, Counts, MeasurementPlan, Sample, Samples, Series, Window, queries
from edge_operator.decide.measurement.series import Values
from edge_operator.prometheus.client import Prometheus, PrometheusError
from edgemodel import metrics

LONG_AGO_SECONDS = 1e9
NO_USERS = "PromQL checks are switched off for this Prometheus (chart value prometheus.promQLChecks)"


async def measure(prometheus: Prometheus, plan: MeasurementPlan, now: datetime) -> Samples:
    """Returns the samples of all series of ``plan``, and the answers to the queries of users. Raises
    PrometheusError.

    The number of queries does not depend on the number of nodes.
    """
    asked = {
        (span.window, series): (text, span.at)
        for span in plan.spans(now)
        for series in plan.series
        if (text := series.query(span)) is not None
    }
    reporting = queries.age_of_newest(queries.select(metrics.MODEL_INFO, plan.labels_of(plan.candidate)))
    ages, *found = await _all(prometheus, [(reporting, now), *asked.values()])
    answers = {name: await _answer(prometheus, query, now) for name, query in plan.queries}
    windows, contradictory = _read(zip(asked, found, strict=True))
    return Samples(
        measured_at=now,
        candidate=plan.candidate,
        since=plan.since,
        trial=windows[Window.TRIAL],
        control=windows[Window.CONTROL],
        baseline=windows[Window.BASELINE],
        present=windows[Window.PRESENT],
        reporting={
            sample.node: now - timedelta(seconds=sample.value)
            for sample in ages
            if isfinite(sample.value) and abs(sample.value) < LONG_AGO_SECONDS
        },
        answers=answers,
        contradictory=contradictory,
    )


def _read(
    found: Iterable[tuple[tuple[Window, Series], list[Sample]]],
) -> tuple[dict[Window, tuple[Counts, ...]], dict[str, str]]:
    """Returns the samples of nodes by window, in order, and the nodes with impossible numbers, with the reasons."""
    nodes: dict[Window, defaultdict[str, dict[Series, Values]]] = {window: defaultdict(dict) for window in Window}
    contradictory: dict[str, str] = {}
    for (window, series), samples in found:
        read = series.read(samples)
        contradictory |= read.contradictory
        for node, values in read.values.items():
            nodes[window][node] |= {series: values} if values else {}
    windows = {
        window: tuple(Counts(node, values) for node, values in sorted(of.items()) if node not in contradictory)
        for window, of in nodes.items()
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
