"""From a plan to samples: asks, and reads what comes back without believing what cannot be."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from math import inf, isfinite, isnan, nan

from edge_operator.decide.analysis import MeasurementPlan
from edge_operator.decide.samples import Answer, Counts, GoldenCount, Samples
from edge_operator.prometheus import queries
from edge_operator.prometheus.client import Prometheus, PrometheusError, Sample
from edgemodel import metrics

LONG_AGO_SECONDS = 1e9
NO_USERS = "PromQL checks are switched off for this Prometheus (chart value prometheus.promQLChecks)"


async def measure(prometheus: Prometheus, plan: MeasurementPlan, now: datetime) -> Samples:
    """All of what ``plan`` asks for, at the same moment. Raises PrometheusError.

    A candidate's process that was not there before the wave began in it: all it counted is the wave's. Stable's have
    counted for weeks, and Prometheus may have lost what it knew of them: of those, only growth that it saw counts.
    """
    mine = {"namespace": plan.namespace, "model": plan.model}
    on_trial = {**mine, "revision": plan.candidate}
    seconds = max(round((now - plan.since).total_seconds()), 1)
    back = max(round(plan.baseline.total_seconds()), 1)
    names, timed = queries.COUNTERS, queries.BUCKETS

    def since(kind: tuple[str, ...], labels: Mapping[str, str], nodes: tuple[str, ...]) -> str:
        return queries.counted_since(queries.select(kind, labels, nodes), seconds)

    asked: dict[str, tuple[str, datetime]] = {
        "trial": (since(names, on_trial, ()), now),
        "trial timed": (since(timed, on_trial, plan.nodes), now),
        "reporting": (queries.age_of_newest(queries.select((metrics.MODEL_INFO,), on_trial)), now),
        "golden": (
            queries.least(queries.select((metrics.GOLDEN_ITEMS,), on_trial), metrics.PROCESS_LABEL, "result"),
            now,
        ),
        "golden least": (queries.least(queries.select((metrics.GOLDEN_MIN_PERCENT,), on_trial)), now),
    }
    if plan.stable is not None:
        stable = {**mine, "revision": plan.stable}
        for key, kind, nodes in (("", names, ()), (" timed", timed, plan.nodes)):
            selector = queries.select(kind, stable, nodes)
            asked["control" + key] = (queries.counted_within(selector, seconds), now)
            asked["baseline" + key] = (queries.counted_within(selector, back), plan.since)
    found = dict(zip(asked, await _all(prometheus, asked), strict=True))
    answers = {name: await _answer(prometheus, query, now) for name, query in plan.queries}
    contradictory: dict[str, str] = {}
    golden = _golden(found["golden"], found["golden least"], contradictory)

    def counts(key: str) -> tuple[Counts, ...]:
        return _counts([*found.get(key, ()), *found.get(f"{key} timed", ())], contradictory)

    return Samples(
        measured_at=now,
        candidate=plan.candidate,
        since=plan.since,
        trial=counts("trial"),
        control=counts("control"),
        baseline=counts("baseline"),
        reporting={
            sample.labels.get("node", ""): now - timedelta(seconds=sample.value)
            for sample in found["reporting"]
            if isfinite(sample.value) and abs(sample.value) < LONG_AGO_SECONDS
        },
        golden=golden,
        answers=answers,
        contradictory=contradictory,
    )


async def _all(prometheus: Prometheus, asked: Mapping[str, tuple[str, datetime]]) -> list[list[Sample]]:
    """The answers, in order. Raises the first PrometheusError, when all have ended."""
    tasks = [prometheus.vector(query, at) for query, at in asked.values()]
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    found: list[list[Sample]] = []
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
        found.append(answer)
    return found


async def _answer(prometheus: Prometheus, query: str, now: datetime) -> Answer:
    """To a user's query; one that fails hinders no other check."""
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


@dataclass
class _Node:
    totals: dict[str, int] = field(default_factory=dict)
    durations: dict[float, int] = field(default_factory=dict)


def _counts(samples: list[Sample], contradictory: dict[str, str]) -> tuple[Counts, ...]:
    nodes: defaultdict[str, _Node] = defaultdict(_Node)
    for sample in samples:
        name = sample.labels.get("node", "")
        problem = _impossible(sample.value)
        if problem is not None:
            contradictory[name] = problem
            continue
        node, value = nodes[name], round(sample.value)
        if "le" in sample.labels:
            node.durations[_edge(sample.labels["le"])] = value
        elif "outcome" in sample.labels:
            node.totals[sample.labels["outcome"]] = value
        elif "correct" in sample.labels:
            node.totals[f"correct={sample.labels['correct']}"] = value
    for name, node in nodes.items():
        problem = _contradiction(node.durations)
        if problem is not None:
            contradictory[name] = problem
    return tuple(
        Counts(
            node=name,
            ok=node.totals.get(metrics.OK, 0),
            refused=node.totals.get(metrics.REFUSED, 0),
            server_errors=node.totals.get(metrics.SERVER_ERROR, 0),
            durations=node.durations,
            right=node.totals.get(f"correct={metrics.FEEDBACK_RIGHT}", 0),
            wrong=node.totals.get(f"correct={metrics.FEEDBACK_WRONG}", 0),
        )
        for name, node in sorted(nodes.items())
        if name not in contradictory
    )


def _golden(items: list[Sample], least: list[Sample], contradictory: dict[str, str]) -> tuple[GoldenCount, ...]:
    """Of each node, that of the process that agrees least."""
    limits = {sample.labels.get("node", ""): sample.value for sample in least}
    found: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for sample in items:
        name = sample.labels.get("node", "")
        problem = _impossible(sample.value)
        if problem is not None:
            contradictory[name] = problem
        else:
            process = sample.labels.get(metrics.PROCESS_LABEL, "")
            found[name, process][sample.labels.get("result", "")] = round(sample.value)
    agree, disagree = metrics.GOLDEN_RESULTS
    counts = [
        GoldenCount(name, counted[agree], counted.get(disagree, 0), limits[name])
        for (name, _), counted in found.items()
        if name not in contradictory and counted.get(agree, 0) + counted.get(disagree, 0) > 0
        if agree in counted and isfinite(limits.get(name, inf))
    ]
    counts.sort(key=lambda count: (count.node, -count.agree / (count.agree + count.disagree)))
    return tuple({count.node: count for count in counts}.values())


def _impossible(value: float) -> str | None:
    """Counters count: whole numbers from 0 on."""
    if not isfinite(value):
        return f"a counter is {value}"
    if value < 0 or abs(value - round(value)) > 1e-6 * max(1.0, abs(value)):
        return f"a counter grew by {value:g}"
    return None


def _edge(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return nan


def _contradiction(durations: Mapping[float, int]) -> str | None:
    if not durations:
        return None
    if any(map(isnan, durations)):
        return "a histogram has an edge that is no number"
    if inf not in durations:
        return "a histogram has no bucket of infinity"
    if any(durations[below] > durations[above] for below, above in pairwise(sorted(durations))):
        return "a histogram falls from one bucket to the next"
    return None
