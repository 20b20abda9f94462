"""The results of a measurement from a real Prometheus with gaps, restarts, replicas, delays and nonsense, number by
number.

Each test has an EdgeModel of its own, whose history is generated above it; one Prometheus has them all.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import inf, nan
from pathlib import Path
from random import Random
from typing import Any

import pytest
from aiohttp import web

from edge_operator.decide.analysis import CHECKS, plan_checks
from edge_operator.decide.analysis.checks.latency import BY_MINUTE
from edge_operator.decide.analysis.checks.time_to_first_token import BY_MINUTE as FIRST_BY_MINUTE
from edge_operator.decide.analysis.checks.time_to_first_token import TIMES
from edge_operator.decide.analysis.golden_set import GoldenCount, golden_counts
from edge_operator.decide.analysis.share_test import REQUESTS, REQUESTS_BY_MINUTE, WARM_UP_REQUESTS
from edge_operator.decide.measurement import (
    Answer,
    Counts,
    MeasurementPlan,
    Minutes,
    Sample,
    Samples,
    Window,
    of_warm_up,
    queries,
)
from edge_operator.prometheus import Prometheus, PrometheusSettings, WaveMeasurement
from edge_operator.prometheus.measure import KEPT, LATE, NO_USERS
from edge_statistics.dispersion import Moments
from edgemodel import metrics
from edgemodel.analysis import WITHOUT_SPEC
from tests.support.prometheus import History, run_prometheus
from tests.support.verdicts import counted, golden_samples

pytestmark = pytest.mark.lab_programs

SINCE = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOW = SINCE + timedelta(seconds=600)
FIRST, LAST = 5, 590
"""The first and the last scrape of the wave, in seconds; scrapes come every 15 seconds."""
BEFORE = FIRST - 15
A_DAY = 86_400
DEADLINE_SECONDS = 30
EVERY_SERIES = tuple(dict.fromkeys(series for check in CHECKS.values() for series in check.series))
BUCKET = f"{metrics.DURATION_SECONDS}_bucket"
PAST = History()


def scrapes(first: int, last: int = LAST) -> list[int]:
    return list(range(first, last + 1, 15))


def labels(model: str, node: str, revision: str, process: str, **more: str) -> dict[str, str]:
    return {"namespace": "vision", "model": model, "revision": revision, "node": node, "process": process, **more}


def counter(
    name: str,
    model: str,
    node: str = "camera-1",
    revision: str = "m-2",
    process: str = "a",
    *,
    began: int = 0,
    seen: Sequence[int] = (),
    rate: int = 2,
    **more: str,
) -> None:
    """Adds the counter of a process that began at ``began`` and was scraped at ``seen``, in seconds from SINCE on."""
    times = [SINCE.timestamp() + second for second in seen or scrapes(FIRST)]
    start = rate * (times[0] - SINCE.timestamp() - began)
    PAST.counter(name, labels(model, node, revision, process, **more), times, rate, start)


def server(
    model: str,
    node: str = "camera-1",
    revision: str = "m-2",
    process: str = "a",
    *,
    began: int = 0,
    seen: Sequence[int] = (),
    rate: int = 2,
    **more: str,
) -> None:
    """Adds a server that answers ``rate`` requests a second."""
    who = (model, node, revision, process)
    counter(metrics.REQUESTS_TOTAL, *who, began=began, seen=seen, rate=rate, **{"outcome": metrics.OK, **more})
    times = [SINCE.timestamp() + second for second in seen or scrapes(FIRST)]
    PAST.add(metrics.MODEL_INFO, labels(*who, **more), [(at, 1) for at in times])


def gauge(name: str, value: float, model: str, node: str = "camera-1", process: str = "a", **more: str) -> None:
    """Adds a gauge of the candidate with ``value`` at the last scrape; for a counter, all that it counted since it
    began in the wave."""
    PAST.add(name, labels(model, node, "m-2", process, **more), [(SINCE.timestamp() + LAST, value)])


def histogram(buckets: Mapping[str, float], model: str, node: str = "camera-1", **more: str) -> None:
    for edge, count in buckets.items():
        gauge(BUCKET, count, model, node, le=edge, **more)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with run_prometheus(tmp_path_factory.mktemp("prometheus"), PAST) as address:
        yield f"http://{address}"


def plan(model: str, **changes: Any) -> MeasurementPlan:
    usual = MeasurementPlan(
        "vision",
        model,
        "m-2",
        "m-1",
        SINCE,
        baseline=timedelta(hours=1),
        interval=timedelta(seconds=15),
        series=EVERY_SERIES,
    )
    return replace(usual, **changes)


async def measured(address: str, model: str, **changes: Any) -> Samples:
    async with Prometheus(PrometheusSettings(address)) as prometheus:
        return await WaveMeasurement(prometheus).carry_out(plan(model, **changes), NOW)


def in_whole(found: Samples) -> Samples:
    """Returns the samples without the sums over minutes, which tests of their own compare."""
    kept = (
        Counts(node.node, {series: of for series, of in node.values.items() if not isinstance(series, Minutes)})
        for node in found.baseline
    )
    return replace(found, baseline=tuple(node for node in kept if node.values))


def samples(*trial: Counts, age: float = NOW.timestamp() - SINCE.timestamp() - LAST, **more: Any) -> Samples:
    """Returns the samples of an answer from ``age`` seconds ago, in which the nodes of ``trial`` report."""
    reporting = {counts.node: NOW - timedelta(seconds=age) for counts in trial}
    return Samples(NOW, "m-2", SINCE, trial, **{"reporting": reporting, **more})


# --- what belongs to the wave ---


server("whole", rate=2)
counter(metrics.REQUESTS_TOTAL, "whole", rate=1, outcome=metrics.SERVER_ERROR)
counter(metrics.REQUESTS_TOTAL, "whole", rate=3, outcome=metrics.REFUSED)
counter(metrics.REQUESTS_TOTAL, "whole", rate=5, outcome=metrics.CLIENT_ERROR)
gauge(metrics.FEEDBACK_TOTAL, 40, "whole", correct="true")
gauge(metrics.FEEDBACK_TOTAL, 3, "whole", correct="false")
gauge(metrics.GOLDEN_ITEMS, 63, "whole", result="agree")
gauge(metrics.GOLDEN_ITEMS, 1, "whole", result="disagree")
gauge(metrics.GOLDEN_MIN_PERCENT, 97.5, "whole")
histogram({"0.1": 1000, "1.0": 1170, "+Inf": 1180}, "whole")
server("whole", "camera-2", "m-1", began=-7200, seen=scrapes(-7195), rate=4)
for edge, rate in (("0.1", 3), ("+Inf", 4)):
    counter(BUCKET, "whole", "camera-2", "m-1", began=-7200, seen=scrapes(-7195), rate=rate, le=edge)
server("whole", namespace="other")
server("whole-2")
server("whole", revision="m-0")


async def test_all_that_was_counted_and_nothing_of_another_namespace_model_or_revision(address: str) -> None:
    """An error of a client says nothing about the model, and is left out."""

    def of_stable(seconds: int) -> Counts:
        return counted("camera-2", 4 * seconds, durations={0.1: 3 * seconds, inf: 4 * seconds})

    durations = {0.1: 1000, 1.0: 1170, inf: 1180}
    assert in_whole(await measured(address, "whole")) == samples(
        counted("camera-1", 2 * LAST, 3 * LAST, LAST, durations, right=40, wrong=3),
        control=(of_stable(LAST - FIRST),),
        baseline=(of_stable(BEFORE + 3595),),
        present=golden_samples([GoldenCount("camera-1", 63, 1, 97.5)]),
    )


async def test_without_stable_there_is_nothing_to_compare_with(address: str) -> None:
    found = await measured(address, "whole", stable=None)
    assert (found.control, found.baseline) == ((), ())
    assert REQUESTS.of(found.trial[0], metrics.OK) == 2 * LAST


server("before", revision="m-1", began=-A_DAY, seen=scrapes(-7195))
server("before", revision="m-1", process="b", began=0, rate=1000)
for name, more in ((metrics.REQUESTS_TOTAL, {"outcome": metrics.SERVER_ERROR}), (BUCKET, {"le": "+Inf"})):
    counter(name, "before", revision="m-1", process="c", began=-100, seen=scrapes(-85), rate=1, **more)


@pytest.mark.parametrize(("back", "first"), [(3600, -3595), (600, -595), (86_400, -7195)])
async def test_the_baseline_holds_nothing_from_after_the_wave_began(address: str, back: int, first: int) -> None:
    found = await measured(address, "before", baseline=timedelta(seconds=back))
    counts = counted("camera-1", 2 * (BEFORE - first), server_errors=BEFORE + 85, durations={inf: BEFORE + 85})
    assert in_whole(found).baseline == (counts,)


# --- by minute ---


def bursts() -> dict[str, list[tuple[float, float]]]:
    """Returns the points of counters of good and failed requests that grow by other numbers every 15 seconds."""
    draw = Random(1)
    totals, found = {metrics.OK: 0, metrics.SERVER_ERROR: 0}, {metrics.OK: [], metrics.SERVER_ERROR: []}
    for second in range(-3000, 1, 15):
        bad = draw.random() < 0.2
        for outcome, most in ((metrics.OK, 40), (metrics.SERVER_ERROR, 6 if bad else 0)):
            totals[outcome] += draw.randint(0, most)
            found[outcome].append((SINCE.timestamp() + second, totals[outcome]))
    return found


BURSTS = bursts()
for outcome, points in BURSTS.items():
    PAST.add(metrics.REQUESTS_TOTAL, labels("bursts", "camera-1", "m-1", "a", outcome=outcome), points)
PAST.add(
    metrics.REQUESTS_TOTAL, labels("bursts", "camera-1", "m-1", "a", outcome=metrics.CLIENT_ERROR), BURSTS[metrics.OK]
)
for edge, of in (("0.1", [metrics.OK]), ("+Inf", list(BURSTS))):
    buckets = [(pairs[0][0], sum(value for _, value in pairs)) for pairs in zip(*map(BURSTS.get, of), strict=True)]
    PAST.add(BUCKET, labels("bursts", "camera-1", "m-1", "a", le=edge), buckets)


async def test_the_sums_over_minutes_are_those_of_the_counts_of_each_minute(address: str) -> None:
    """Errors of clients are among neither: a histogram has none, and the counter's are left out."""
    (node,) = (await measured(address, "bursts")).baseline
    grown = {
        outcome: [later[1] - earlier[1] for earlier, later in pairwise(points[::4])]
        for outcome, points in BURSTS.items()
    }
    total = [sum(counts) for counts in zip(*grown.values(), strict=True)]
    assert len(total) == 50

    def sums(counts: list[float]) -> Moments:
        pairs = list(zip(counts, total, strict=True))
        products = ([k for k, _ in pairs], [n for _, n in pairs], [k * k for k, _ in pairs], [k * n for k, n in pairs])
        return Moments(*map(sum, products), sum(n * n for _, n in pairs))

    for outcome, counts in grown.items():
        assert REQUESTS_BY_MINUTE.moments(node, outcome) == pytest.approx(sums(counts))
    assert BY_MINUTE.moments(node, 0.1) == pytest.approx(sums(grown[metrics.OK]))
    slow = BY_MINUTE.moments(node, 0.1)
    assert slow is not None
    assert slow.complement() == pytest.approx(sums(grown[metrics.SERVER_ERROR]))


FIRST_BUCKET = f"{metrics.FIRST_TOKEN_SECONDS}_bucket"
for length, buckets in (("32", {"0.4": 7, "+Inf": 9}), ("512", {"0.4": 0, "+Inf": 5})):
    for edge, count in buckets.items():
        PAST.add(
            FIRST_BUCKET,
            labels("lengths", "camera-1", "m-2", "a", prompt=length, le=edge),
            [(SINCE.timestamp() + LAST, count)],
        )
        counter(
            FIRST_BUCKET,
            "lengths",
            "camera-1",
            "m-1",
            began=-7200,
            seen=scrapes(-3595, 0),
            rate=count,
            le=edge,
            prompt=length,
        )


async def test_times_to_the_first_token_are_counted_by_length_and_by_minute_together(address: str) -> None:
    found = await measured(address, "lengths")
    (trial,), (before,) = found.trial, found.baseline
    assert TIMES.of(trial) == {"32": {0.4: 7, inf: 9}, "512": {0.4: 0, inf: 5}}
    seconds = BEFORE + 3595
    of_before = {"32": {0.4: 7 * seconds, inf: 9 * seconds}, "512": {0.4: 0, inf: 5 * seconds}}
    assert TIMES.of(before) == of_before
    moments = FIRST_BY_MINUTE.moments(before, 0.4)
    assert moments is not None
    assert moments.n / moments.k == pytest.approx((9 + 5) / 7)


gauge(FIRST_BUCKET, 9, "falling-lengths", le="0.4", prompt="32")
gauge(FIRST_BUCKET, 3, "falling-lengths", le="+Inf", prompt="32")


async def test_buckets_of_one_length_that_contradict_each_other_name_their_node(address: str) -> None:
    found = await measured(address, "falling-lengths")
    assert found.contradictory == {"camera-1": "a histogram falls from one bucket to the next"}


async def test_of_a_long_baseline_evenly_spaced_minutes_are_summed(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "MAX_MINUTES", 30)
    (node,) = (await measured(address, "bursts")).baseline
    points = dict(BURSTS[metrics.SERVER_ERROR])
    ends = [at for at in points if at % 120 == 0 and at - 60 in points]
    assert len(ends) == 25
    found = REQUESTS_BY_MINUTE.moments(node, metrics.SERVER_ERROR)
    assert found is not None
    assert found.k == sum(points[at] - points[at - 60] for at in ends)


@pytest.mark.parametrize("baseline", [timedelta(seconds=1), timedelta(hours=1), timedelta(hours=5), timedelta(days=40)])
def test_no_query_makes_prometheus_keep_more_minutes_than_it_can(baseline: timedelta) -> None:
    """A rollout that soaks for days has a baseline of days."""
    (span,) = (span for span in plan("m", baseline=baseline).spans(NOW) if span.window is Window.BASELINE)
    text = REQUESTS_BY_MINUTE.query(span)
    assert text is not None
    found = {(int(seconds), int(every)) for seconds, every in re.findall(r"\[(\d+)s:(\d+)s\]", text)}
    ((seconds, every),) = found
    assert seconds == baseline.total_seconds()
    assert every % 60 == 0
    assert seconds / every <= 240
    assert every == 60 or seconds / every > 120


# --- restarts, gaps, replicas, delays ---


server("restart", process="a", began=-100, seen=scrapes(-85, 200))
server("restart", process="b", began=210, seen=scrapes(215))
server("restart", "camera-2", "m-1", process="c", began=-A_DAY, seen=scrapes(-3595, 200))
server("restart", "camera-2", "m-1", process="d", began=210, seen=scrapes(215))


async def test_the_requests_before_and_after_a_restart_of_a_server_count(address: str) -> None:
    control = 2 * (200 - FIRST) + 2 * (LAST - 215)
    assert in_whole(await measured(address, "restart")) == samples(
        counted("camera-1", 2 * (200 - BEFORE) + 2 * (LAST - 210)),
        control=(counted("camera-2", control),),
        baseline=(counted("camera-2", 2 * (BEFORE + 3595)),),
    )


GAPS = {
    "gap-within": (60, 180),
    "gap-across": (-60, 60),
    "long-gap-across": (-210, 210),
    "long-gap-from-the-beginning": (0, 420),
    "long-gap-within": (100, 520),
}
for name, (gone, back) in GAPS.items():
    seen = [second for second in scrapes(-3595) if not gone < second < back]
    server(name, began=-1000, seen=[second for second in seen if second > -1000])
    server(name, "camera-2", "m-1", began=-A_DAY, seen=seen, rate=3)


@pytest.mark.parametrize(
    ("model", "before", "first"),
    [
        ("gap-within", BEFORE, FIRST),
        ("gap-across", -70, 65),
        ("long-gap-across", -220, 215),
        ("long-gap-from-the-beginning", BEFORE, 425),
        ("long-gap-within", BEFORE, FIRST),
    ],
)
async def test_a_gap_across_the_beginning_counts_the_candidate_from_before_it_and_stable_from_after_it(
    address: str, model: str, before: int, first: int
) -> None:
    assert in_whole(await measured(address, model)) == samples(
        counted("camera-1", 2 * (LAST - before)),
        control=(counted("camera-2", 3 * (LAST - first)),),
        baseline=(counted("camera-2", 3 * (before + 3595)),),
    )


server("lost", seen=scrapes(65))
server("lost", "camera-2", "m-1", began=-30 * A_DAY, seen=scrapes(65), rate=3)


async def test_what_stable_counted_before_prometheus_lost_its_history_is_not_the_waves(address: str) -> None:
    """The candidate's process began in the wave, so all of its counts belong to it."""
    assert await measured(address, "lost") == samples(
        counted("camera-1", 2 * LAST), control=(counted("camera-2", 3 * (LAST - 65)),)
    )


for replica, late in (("a", 0), ("b", 7)):
    shifted = [second + late for second in scrapes(-3595)]
    for process, first, last in (("a", -200, 300), ("b", 320, 600)):
        own = [second for second in shifted if first < second < last]
        server("replicas", process=process, began=first, seen=own, replica=replica)
    gauge(metrics.GOLDEN_ITEMS, 64, "replicas", result="agree", replica=replica)
    gauge(metrics.GOLDEN_MIN_PERCENT, 95, "replicas", replica=replica)
    histogram({"0.1": 100, "+Inf": 110}, "replicas", replica=replica)
    server("replicas", "camera-2", "m-1", began=-A_DAY, seen=shifted, replica=replica)


async def test_two_replicas_of_prometheus_count_nothing_twice(address: str) -> None:
    """The replica that scrapes later knows more: of the end, and of the time before the wave."""
    assert in_whole(await measured(address, "replicas")) == samples(
        counted("camera-1", 2 * (297 - (BEFORE + 7)) + 2 * (LAST + 7 - 320), durations={0.1: 100, inf: 110}),
        age=3,
        control=(counted("camera-2", 2 * (LAST + 7 - FIRST)),),
        baseline=(counted("camera-2", 2 * (BEFORE + 7 + 3595)),),
        present=golden_samples([GoldenCount("camera-1", 64, 0, 95)]),
    )


for name, last in (("behind-3", 410), ("behind-6", 230)):
    server(name, seen=scrapes(FIRST, last))
    server(name, "camera-2", "m-1", began=-A_DAY, seen=scrapes(-3595, last))


@pytest.mark.parametrize(("model", "last", "reports"), [("behind-3", 410, True), ("behind-6", 230, False)])
async def test_late_samples_count_up_to_their_time_and_are_reported_as_old(
    address: str, model: str, last: int, reports: bool
) -> None:
    """Prometheus looks back five minutes, beyond which a node counts as not reporting."""
    assert in_whole(await measured(address, model)) == samples(
        counted("camera-1", 2 * last),
        control=(counted("camera-2", 2 * (last - FIRST)),),
        baseline=(counted("camera-2", 2 * (BEFORE + 3595)),),
        reporting={"camera-1": SINCE + timedelta(seconds=last)} if reports else {},
    )


# --- warm-up ---


WARM = {metrics.WARM_UP_LABEL: metrics.WARM_UP}


def warmed(
    model: str, node: str, revision: str, process: str, total: int, *, seen: Sequence[int], after: int = 0
) -> None:
    """Adds what a process counted in its warm-up, at ``seen`` in seconds from SINCE on: 0 at the first scrape, then
    ``total``. The first ``after`` of ``seen`` are those of its warm-up."""
    for name, more in (
        (metrics.REQUESTS_TOTAL, {"outcome": metrics.OK}),
        (BUCKET, {"le": "0.1"}),
        (BUCKET, {"le": "+Inf"}),
    ):
        points = [(SINCE.timestamp() + second, total if at >= after else 0) for at, second in enumerate(seen)]
        PAST.add(name, labels(model, node, revision, process, **more, **WARM), points)


server("warm", began=70, seen=scrapes(FIRST))
warmed("warm", "camera-1", "m-2", "a", 60, seen=scrapes(FIRST), after=1)
server("warm", process="b", began=410, seen=scrapes(350))
warmed("warm", "camera-1", "m-2", "b", 20, seen=scrapes(350), after=1)
server("warm", "camera-2", process="c", began=-200, seen=scrapes(-190))
warmed("warm", "camera-2", "m-2", "c", 500, seen=scrapes(-265), after=1)
for node, process, total in (("camera-1", "d", 31), ("camera-1", "e", 9), ("camera-3", "f", 7)):
    server("warm", node, "m-1", process, began=-A_DAY, seen=scrapes(-3595, BEFORE))
    warmed("warm", node, "m-1", process, total, seen=scrapes(-3595, BEFORE))
warmed("warm", "camera-3", "m-1", "g", 1000, seen=scrapes(FIRST))


async def test_a_warm_up_is_that_of_the_candidates_new_processes_and_of_stables_earlier_ones(address: str) -> None:
    """Processes of earlier waves have theirs behind them. Stable's are read as they were when the wave began; they have
    not grown for a day."""
    found = await measured(address, "warm")
    trial, baseline = (
        {counts.node: of_warm_up(counts) for counts in window} for window in (found.trial, found.baseline)
    )

    def warm(node: str, total: int) -> Counts:
        return counted(node, total, durations={0.1: total, inf: total})

    assert trial["camera-1"] == warm("camera-1", 60 + 20)
    assert REQUESTS.total(trial["camera-2"]) == 0
    assert baseline == {"camera-1": warm("camera-1", 31 + 9), "camera-3": warm("camera-3", 7)}
    assert not any(counts.values.keys() & {WARM_UP_REQUESTS} for counts in found.control)


async def test_requests_of_the_warm_up_are_not_among_the_others(address: str) -> None:
    found = await measured(address, "warm")
    assert {counts.node: REQUESTS.total(counts) for counts in found.trial} == {
        "camera-1": 2 * (LAST - 70) + 2 * (LAST - 410),
        "camera-2": 2 * (LAST - BEFORE),
    }
    assert {counts.node: REQUESTS.total(counts) for counts in found.baseline} == {
        "camera-1": 2 * 2 * (BEFORE + 3595),
        "camera-3": 2 * (BEFORE + 3595),
    }
    minutes = {counts.node: REQUESTS_BY_MINUTE.moments(counts, metrics.OK) for counts in found.baseline}
    assert minutes["camera-1"] == Moments(
        *(x * y for x, y in zip(minutes["camera-3"] or (), (2, 2, 4, 4, 4), strict=True))
    )


# --- impossible numbers ---


IMPOSSIBLE = {
    "nan": (nan, "a counter is nan"),
    "infinite": (inf, "a counter is nan"),
    "negative": (-5, "a counter grew by -5"),
    "fractional": (2.5, "a counter grew by 2.5"),
}
for node, (value, _) in IMPOSSIBLE.items():
    gauge(metrics.REQUESTS_TOTAL, value, "impossible", node, outcome=metrics.OK)
    gauge(metrics.REQUESTS_TOTAL, 7, "impossible", node, outcome=metrics.REFUSED)
server("impossible", "falling", began=-200, seen=scrapes(-100, BEFORE))
gauge(metrics.REQUESTS_TOTAL, 0, "impossible", "falling", outcome=metrics.OK)
histogram({"0.1": 5, "1.0": 4, "+Inf": 5}, "impossible", "shrinking")
histogram({"0.1": 5, "1.0": 5}, "impossible", "endless")
histogram({"fast": 5, "+Inf": 5}, "impossible", "edgeless")
histogram({"NaN": 5, "+Inf": 5}, "impossible", "unordered")
gauge(metrics.GOLDEN_ITEMS, nan, "impossible", "golden", result="agree")
gauge(metrics.GOLDEN_MIN_PERCENT, 95, "impossible", "golden")
server("impossible", "sound")
histogram({"0.1": 5, "1.0": 5, "+Inf": 6}, "impossible", "sound")


async def test_impossible_numbers_are_reported_and_those_of_other_nodes_stay(address: str) -> None:
    assert await measured(address, "impossible") == samples(
        counted("sound", 2 * LAST, durations={0.1: 5, 1.0: 5, inf: 6}),
        contradictory={
            **{node: reason for node, (_, reason) in IMPOSSIBLE.items()},
            "falling": f"a counter grew by -{2 * (BEFORE + 200)}",
            "shrinking": "a histogram falls from one bucket to the next",
            "endless": "a histogram has no bucket of infinity",
            "edgeless": "a histogram has an edge that is not a number",
            "unordered": "a histogram has an edge that is not a number",
            "golden": "a counter is nan",
        },
    )


for process, agree in (("a", 60), ("b", 64)):
    gauge(metrics.GOLDEN_ITEMS, agree, "golden", process=process, result="agree")
    gauge(metrics.GOLDEN_ITEMS, 64 - agree, "golden", process=process, result="disagree")
    gauge(metrics.GOLDEN_MIN_PERCENT, 90, "golden", process=process)


async def test_the_process_with_the_lowest_golden_agreement_on_a_node_is_reported(address: str) -> None:
    assert golden_counts((await measured(address, "golden")).present) == (GoldenCount("camera-1", 60, 4, 90),)


# --- fleets, names, queries of users ---


class Counting(Prometheus):
    """A client that counts: every answer to ``vector`` is one request."""

    asked = 0

    async def vector(self, query: str, at: datetime) -> list[Sample]:
        self.asked += 1
        return await super().vector(query, at)


for model, size in (("few", 3), ("many", 500)):
    for number in range(size):
        server(model, f"camera-{number:03}", seen=[FIRST, LAST], rate=number)
        server(model, f"camera-{number:03}", "m-1", began=-A_DAY, seen=[-3590, BEFORE], rate=number)


async def test_many_nodes_take_as_many_queries_as_few(address: str) -> None:
    checks = plan_checks(WITHOUT_SPEC)
    by_default = tuple(dict.fromkeys(series for check in checks for series in check.type.series))
    asked = {}
    for model, size in (("few", 3), ("many", 500)):
        counting = Counting(PrometheusSettings(address))
        async with counting as prometheus:
            found = await WaveMeasurement(prometheus).carry_out(plan(model, series=by_default), NOW)
        asked[model] = counting.asked
        assert {node.node for node in found.baseline} == {f"camera-{number:03}" for number in range(size)}
        seen = in_whole(found)
        baseline = (counted(f"camera-{number:03}", number * (BEFORE + 3590)) for number in range(size))
        assert seen == samples(
            *(counted(f"camera-{number:03}", number * LAST) for number in range(size)),
            baseline=tuple(node for node in baseline if node.values),
        )
    assert asked["few"] == asked["many"] <= 15


async def test_the_time_before_is_queried_now_and_then(address: str) -> None:
    counting = Counting(PrometheusSettings(address))
    async with counting as prometheus:
        measurement, asked, found = WaveMeasurement(prometheus), [], []
        for after in (LATE - timedelta(seconds=15), LATE, LATE + timedelta(seconds=15), LATE + KEPT):
            found.append(await measurement.carry_out(plan("few"), SINCE + after))
            asked.append(counting.asked)
            counting.asked = 0
        assert asked[0] == asked[1] == asked[3] > asked[2]
        assert found[2].baseline is found[1].baseline is not found[0].baseline
        assert found[0].baseline == found[1].baseline == found[3].baseline != ()
        longer = await measurement.carry_out(plan("few", baseline=timedelta(minutes=5)), SINCE + LATE + KEPT)
        assert longer.baseline != found[3].baseline


NAMES = (
    'camera"1',
    "camera\\1",
    "camera\\\\1",
    "camera.1",
    "camera-1",
    "camera-.*",
    "camera|1",
    "camera",
    "1",
    "(camera",
    "[^a]{2}$",
    "camera\n1",
    "camera·1",
    "Kamera “Süd”",
    '"} or {node="camera-1',
)
for node in NAMES:
    server("names", node)
    histogram({"0.1": 3, "+Inf": 4}, "names", node)


@pytest.mark.parametrize("node", NAMES)
async def test_nodes_are_distinguished_whatever_their_names(address: str, node: str) -> None:
    durations = {node: {0.1: 3, inf: 4}}
    trial = (counted(name, 2 * LAST, durations=durations.get(name, {})) for name in sorted(NAMES))
    assert await measured(address, "names", sampled_nodes=(node,)) == samples(*trial)


async def test_histograms_of_several_nodes_are_read_at_once(address: str) -> None:
    trial = (counted(name, 2 * LAST, durations={0.1: 3, inf: 4}) for name in sorted(NAMES))
    assert await measured(address, "names", sampled_nodes=NAMES) == samples(*trial)


QUERIES = {
    "fine": (f"sum({metrics.MODEL_INFO}{{model='few'}})", Answer(3.0)),
    "scalar": ("6 * 7", Answer(42.0)),
    "nan": ("0 / 0", Answer(None, "the result is nan")),
    "infinite": ("vector(-1 / 0)", Answer(None, "the result is -inf")),
    "none": ("edgemodel_never_heard_of", Answer(None, "no result")),
    "three": (f"{metrics.MODEL_INFO}{{model='few'}}", Answer(None, "3 results, want one: aggregate them")),
    "matrix": ("up[5m]", None),
    "syntax": ("sum(", None),
    "fine again": ("vector(1)", Answer(1.0)),
}


async def test_a_query_of_a_user_that_gives_no_number_hinders_no_other(address: str) -> None:
    found = await measured(address, "restart", queries=tuple((name, query) for name, (query, _) in QUERIES.items()))
    assert list(found.answers) == list(QUERIES)
    for name, (_, expected) in QUERIES.items():
        if expected is not None:
            assert found.answers[name] == expected
    for name, said in (("matrix", "gives a matrix, want an instant vector"), ("syntax", "400: .*parse error")):
        assert found.answers[name].value is None
        assert re.search(said, found.answers[name].problem)
    assert found.trial


async def test_queries_of_users_can_be_switched_off(address: str) -> None:
    async with Prometheus(PrometheusSettings(address, answers_users=False)) as prometheus:
        found = await WaveMeasurement(prometheus).carry_out(plan("restart", queries=(("fine", "1"),)), NOW)
    assert found.answers == {"fine": Answer(None, NO_USERS)}
    assert found.trial


# --- scraping ---


@asynccontextmanager
async def serving(node: str) -> AsyncIterator[str]:
    """Yields the address of a server that answered 7 requests."""
    mine = labels("scraped", node, "m-2", "a")
    text = exposed(metrics.REQUESTS_TOTAL, {**mine, "outcome": "ok"}, 7) + exposed(metrics.MODEL_INFO, mine, 1)
    app = web.Application()

    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=text)

    app.router.add_get("/metrics", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def exposed(name: str, labels: Mapping[str, str], value: int) -> str:
    text = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return f"{name}{{{text}}} {value}\n"


async def until(address: str, began: datetime, condition: Callable[[Samples], bool]) -> Samples:
    """Returns the samples at the first time that ``condition`` held."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    async with Prometheus(PrometheusSettings(address)) as prometheus:
        while True:
            now = datetime.now(UTC)
            found = await WaveMeasurement(prometheus).carry_out(plan("scraped", since=began), now)
            if condition(found):
                return found
            assert time.monotonic() < deadline, found
            await asyncio.sleep(0.05)  # Prometheus announces no scrape


async def test_a_server_that_goes_away_reports_no_more_and_what_it_counted_stays(tmp_path: Path) -> None:
    began = datetime.now(UTC) - timedelta(seconds=1)
    both = (counted("camera-1", 7), counted("camera-2", 7))
    async with serving("camera-1") as stays, AsyncExitStack() as other:
        goes = await other.enter_async_context(serving("camera-2"))
        job = {"job_name": "edge", "honor_labels": True, "scrape_interval": "200ms", "scrape_timeout": "200ms"}
        scrape = {"scrape_configs": [{**job, "static_configs": [{"targets": [stays, goes]}]}]}
        with run_prometheus(tmp_path, scrape=json.dumps(scrape)) as address:
            found = await until(f"http://{address}", began, lambda found: len(found.reporting) == 2)
            assert found.trial == both
            await other.aclose()
            found = await until(f"http://{address}", began, lambda found: len(found.reporting) < 2)
            assert found.reporting.keys() == {"camera-1"}
            assert found.trial == both
            assert began < found.reporting["camera-1"] <= found.measured_at
