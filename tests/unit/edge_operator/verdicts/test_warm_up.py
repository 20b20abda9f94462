"""The requests of a server's warm-up: no verdict on a candidate, beyond what the warm-ups of stable were like."""

from dataclasses import replace
from datetime import timedelta
from math import inf

import numpy as np
import pytest

from edge_operator.decide.analysis import WaveBaseline
from edge_operator.decide.analysis.share_test import REQUESTS_BY_MINUTE
from edge_operator.decide.measurement import Counts
from edge_statistics.dispersion import Moments
from edgemodel import metrics, reasons
from edgemodel.verdict import Verdict
from tests.support.verdicts import BEGAN, analysis_of, counted, counts, golden, judged, judgement, with_warm_up

ERRORS = analysis_of({"name": "errors", "type": "ErrorRate"})
OBJECTIVE = analysis_of({"name": "latency", "type": "Latency", "latency": {"objectiveMilliseconds": 50}})
SLOWDOWN = analysis_of({"name": "latency", "type": "Latency"})
CAMERAS = tuple(f"camera-{number}" for number in range(1, 11))
NODES = dict.fromkeys(CAMERAS, "default")


def stable(slow: int = 0, errors: int = 0) -> tuple[Counts, ...]:
    """Returns the baseline of ten nodes, with 80 requests of each one's warm-up."""
    return tuple(with_warm_up(counts(node, 2000, 2, slow=20), counts(node, 80, errors, slow=slow)) for node in CAMERAS)


def candidate(slow: int = 0, errors: int = 0, *, steady: int = 600, steady_slow: int = 6) -> tuple[Counts, ...]:
    """Returns the samples of three nodes on trial, with 80 requests of each one's warm-up."""
    return tuple(
        with_warm_up(counts(node, steady, slow=steady_slow), counts(node, 80, errors, slow=slow))
        for node in CAMERAS[:3]
    )


def control() -> tuple[Counts, ...]:
    return tuple(counts(node, 600, slow=6) for node in CAMERAS[3:])


def test_a_slow_warm_up_as_stable_had_one_does_not_hinder_a_pass() -> None:
    """By themselves these requests would fail the candidate: one in four is slow, where one in a hundred was before."""
    found = judged(OBJECTIVE, candidate(slow=20), stable(slow=20), control(), nodes=NODES)
    assert found.verdict is Verdict.PASS
    assert found.sample_count == 1800, "requests of the warm-up are not counted"
    as_steady = tuple(counts(node, 680, slow=26) for node in CAMERAS[:3])
    assert judged(OBJECTIVE, as_steady, stable(slow=20), control(), nodes=NODES).verdict is Verdict.FAIL


@pytest.mark.parametrize("analysis", [OBJECTIVE, ERRORS], ids=["latency", "errors"])
def test_a_warm_up_that_is_much_worse_than_those_of_stable_fails_the_candidate(analysis: object) -> None:
    kind = "errors" if analysis is ERRORS else "slow"
    trial, before = candidate(**{kind: 60}), stable(**{kind: 8})
    found = judged(analysis, trial, before, control(), nodes=NODES)  # type: ignore[arg-type]
    assert found.verdict is Verdict.FAIL
    assert "of requests of the warm-up" in found.message
    assert "expected after the warm-ups of stable" in found.message
    assert found.sample_count <= 240


def test_a_bad_warm_up_fails_a_candidate_before_any_later_request() -> None:
    trial = tuple(with_warm_up(Counts(node), counts(node, 80, 70)) for node in CAMERAS[:3])
    found = judged(ERRORS, trial, stable(errors=1), control(), nodes=NODES)
    assert found.verdict is Verdict.FAIL


def test_without_a_warm_up_of_stable_that_of_the_candidate_is_not_judged() -> None:
    """Stable's servers are of a release without warm-up, or nobody has called them in theirs."""
    before = tuple(counts(node, 2000, 2, slow=20) for node in CAMERAS)
    for analysis in (OBJECTIVE, ERRORS):
        for trial in (candidate(slow=70), candidate(errors=70)):
            assert judged(analysis, trial, before, control(), nodes=NODES).verdict is Verdict.PASS


def test_one_warm_up_of_stable_shows_no_distribution() -> None:
    """The page cache may have been warm in one start, and cold in the other."""
    nodes = dict.fromkeys(CAMERAS[:3], "default")
    trial = (with_warm_up(counts("camera-1", 600), counts("camera-1", 80, 70)),)
    before = [with_warm_up(counts(node, 2000, 2), counts(node, 80)) for node in nodes]
    alone = (before[0], *(counts(node, 2000, 2) for node in CAMERAS[1:3]))
    assert judged(ERRORS, trial, alone, nodes=nodes).verdict is Verdict.PASS
    assert "failed-warm-up" not in judged(ERRORS, trial, alone, nodes=nodes).pooled
    assert judged(ERRORS, trial, tuple(before), nodes=nodes).verdict is Verdict.FAIL


def test_a_candidate_that_stays_slow_is_found_by_its_later_requests() -> None:
    trial = candidate(slow=20, steady_slow=60)
    found = judged(OBJECTIVE, trial, stable(slow=20), control(), nodes=NODES)
    assert found.verdict is Verdict.FAIL
    assert (found.observed, found.sample_count) == ("10", 1800)


def test_a_warm_up_neither_passes_nor_holds_a_candidate() -> None:
    """It is undecided for ever, since no request comes after it."""
    trial = (with_warm_up(counts("camera-1", 3000, slow=30), counts("camera-1", 3)),)
    assert judged(OBJECTIVE, trial, stable(slow=20), control(), nodes=NODES).verdict is Verdict.PASS
    few = (with_warm_up(counts("camera-1", 3), counts("camera-1", 3000)),)
    assert judged(OBJECTIVE, few, stable(slow=20), control(), nodes=NODES).verdict is Verdict.INCONCLUSIVE


def test_all_nodes_worse_together_are_expected_in_the_warm_up_too() -> None:
    """Three times as many requests are slow on stable's nodes since the switch."""
    trial, weather = candidate(slow=40, steady_slow=18), tuple(counts(node, 600, slow=18) for node in CAMERAS[3:])
    assert judged(OBJECTIVE, trial, stable(slow=16), weather, nodes=NODES).verdict is not Verdict.FAIL


def test_warm_ups_that_differ_much_from_node_to_node_allow_more() -> None:
    differ = tuple(
        with_warm_up(counts(node, 2000, slow=20), counts(node, 80, slow=slow))
        for node, slow in zip(CAMERAS, (0, 40, 2, 30, 0, 50, 1, 20, 0, 37), strict=True)
    )
    alike = tuple(with_warm_up(counts(node, 2000, slow=20), counts(node, 80, slow=18)) for node in CAMERAS)
    trial = candidate(slow=64)
    assert judged(OBJECTIVE, trial, alike, control(), nodes=NODES).verdict is Verdict.FAIL
    assert judged(OBJECTIVE, trial, differ, control(), nodes=NODES).verdict is not Verdict.FAIL


def test_a_slowdown_is_not_looked_for_in_the_warm_up() -> None:
    slow = tuple(with_warm_up(counts(node, 600), counts(node, 80, typical=0.4)) for node in CAMERAS[:3])
    before = tuple(with_warm_up(counts(node, 2000), counts(node, 80)) for node in CAMERAS)
    steady = tuple(counts(node, 600) for node in CAMERAS[3:])
    assert judged(SLOWDOWN, slow, before, steady, nodes=NODES).verdict is Verdict.PASS


def test_a_node_with_requests_of_the_warm_up_alone_is_no_node_without_traffic() -> None:
    for serving in (timedelta(seconds=20), timedelta(seconds=200)):
        trial = (with_warm_up(Counts("camera-1"), counts("camera-1", 37)),)
        found = judged(ERRORS, trial, (counts(total=2000),), golden=(golden(),), serving=serving)
        assert found.verdict is Verdict.INCONCLUSIVE
        assert found.waits
        assert found.reason == reasons.ANALYSIS_INCONCLUSIVE
        assert found.message == "only 37 requests of the warm-up on 1 node so far: too early"


def test_what_the_nodes_of_an_earlier_wave_show_passes_no_wave_of_more_nodes_in_their_warm_up() -> None:
    before = tuple(counts(node, 2000, 2) for node in CAMERAS)
    old = (counts("camera-1", 3000),)
    new = tuple(with_warm_up(Counts(node), counts(node, 20)) for node in CAMERAS[1:4])
    found = judged(ERRORS, (*old, *new), before, nodes=NODES)
    assert (found.verdict, found.waits, found.reason) == (Verdict.INCONCLUSIVE, True, reasons.ANALYSIS_INCONCLUSIVE)
    assert found.message.endswith("; too early: on 3 nodes all requests are of the warm-up")
    later = tuple(with_warm_up(counts(node, 1), counts(node, 20)) for node in CAMERAS[1:3])
    assert judged(ERRORS, (*old, *later, new[2]), before, nodes=NODES).verdict is Verdict.PASS
    bad = (counts("camera-1", 3000, 600),)
    assert judged(ERRORS, (*bad, *new), before, nodes=NODES).verdict is Verdict.FAIL


def test_the_rate_of_requests_counts_those_of_the_warm_up_too() -> None:
    """A node that has served for two minutes has answered requests of one that count."""
    trial = (with_warm_up(counts("camera-1", 60), counts("camera-1", 60)),)
    found = judged(ERRORS, trial, (counts("camera-1", 2000, 2),), serving=timedelta(seconds=120))
    assert found.results[0].requests_a_minute == 60


def test_a_first_revision_has_nothing_to_wait_for() -> None:
    trial = (with_warm_up(Counts("camera-1"), counts("camera-1", 37)),)
    found = judged(OBJECTIVE, trial, is_first=True)
    assert (found.reason, found.waits) == (reasons.NO_BASELINE, False)


def test_the_warm_ups_of_stable_are_fixed_with_the_wave_and_outlive_the_data() -> None:
    before = stable(errors=8)
    begun = WaveBaseline.begin(ERRORS, 1, BEGAN)
    first = judgement(ERRORS, candidate(), before, control(), nodes=NODES, wave_baseline=begun)
    kept = begun.with_baselines(first.judged)
    again = WaveBaseline.of(kept.stored(), ERRORS)
    assert again is not None
    assert {measure for _, _, measure in again.baselines} == {
        "failed", "refused", "failed-warm-up", "refused-warm-up",
    }  # fmt: skip
    lost = tuple(counts(node, 2000, 2, slow=20) for node in CAMERAS)
    for errors, verdict in ((8, Verdict.PASS), (70, Verdict.FAIL)):
        (found,) = judgement(ERRORS, candidate(errors=errors), lost, control(), nodes=NODES, wave_baseline=again).judged
        assert found.verdict is verdict


def test_a_warm_up_that_began_alone_is_fixed_as_well() -> None:
    trial = (with_warm_up(Counts("camera-1"), counts("camera-1", 5)),)
    assert "failed-warm-up" in judged(ERRORS, trial, stable(errors=8), control(), nodes=NODES).pooled


def by_objective(node: str, total: int, slow: int) -> Counts:
    """Returns ``total`` requests, of which ``slow`` missed the objective of 50 ms."""
    return counted(node, int(total), durations={0.05: int(total - slow), inf: int(total)})


@pytest.mark.parametrize("mean", [0.01, 0.05, 0.2])
def test_hardly_any_good_candidate_is_failed_for_its_warm_up(mean: float) -> None:
    """Each process has another share of slow requests in its warm-up, whoever runs in it (Beta, its standard deviation
    is half its mean), and node 1 has a tenth of the requests of node 10."""
    draw = np.random.default_rng(1)
    strength, load = (1 - mean) / mean / 0.25 - 1, 80 * np.arange(1, 11) / 5.5
    failed = 0
    for _ in range(300):
        shares = draw.beta(mean * strength, (1 - mean) * strength, (2, 10))
        totals = draw.poisson(load, (2, 10))
        warm = [
            list(map(by_objective, CAMERAS, *pair)) for pair in zip(totals, draw.binomial(totals, shares), strict=True)
        ]
        now = draw.poisson(load * 8, (2, 10))
        steady = [list(map(by_objective, CAMERAS, *pair)) for pair in zip(now, draw.binomial(now, 0.01), strict=True)]
        before = tuple(map(with_warm_up, steady[0], warm[0]))
        trial = tuple(with_warm_up(Counts(counts.node), counts) for counts in warm[1][:3])
        failed += judged(OBJECTIVE, trial, before, tuple(steady[1][3:]), nodes=NODES).verdict is Verdict.FAIL
    assert failed <= 3


def test_requests_of_a_warm_up_come_together_as_later_ones_do() -> None:
    """A program that ran at the start of two servers takes their requests along: many bad ones are one event."""
    trial = tuple(with_warm_up(counts(node, 600), counts(node, 80, 14)) for node in CAMERAS[:2])

    def verdict(errors_a_minute: tuple[int, ...]) -> Verdict:
        minutes = Moments()
        for errors in errors_a_minute:
            minutes = minutes.plus(errors, 40)
        by_minute = {REQUESTS_BY_MINUTE: {metrics.SERVER_ERROR: minutes}}
        before = tuple(replace(item, values={**item.values, **by_minute}) for item in stable(errors=2))
        return judged(ERRORS, trial, before, control(), nodes=NODES).verdict

    one_by_one, together = (1, 0) * 25, (25, *[0] * 49)
    assert verdict(one_by_one) is Verdict.FAIL
    assert verdict(together) is not Verdict.FAIL
