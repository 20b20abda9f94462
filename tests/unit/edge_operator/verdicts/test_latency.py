"""The check Latency: an objective, a node compared with itself, and nodes compared with nodes."""

from datetime import timedelta

import pytest

from edge_operator.decide.measurement import Counts
from edgemodel import reasons
from edgemodel.metrics import DURATION_BUCKETS
from edgemodel.verdict import Verdict
from tests.support.verdicts import analysis_of, counts, judged

OBJECTIVE = analysis_of({"name": "latency", "type": "Latency", "latency": {"objectiveMilliseconds": 50}})
SLOWDOWN = analysis_of({"name": "latency", "type": "Latency"})
BOTH = analysis_of(
    {"name": "latency", "type": "Latency", "latency": {"objectiveMilliseconds": 50, "maxSlowdownPercent": "50"}}
)
BEFORE = (counts(total=2000, slow=4),)


def test_a_candidate_that_misses_the_objective_more_often_fails() -> None:
    found = judged(OBJECTIVE, (counts(total=400, slow=40),), BEFORE)
    assert found.verdict is Verdict.FAIL
    assert found.reason == reasons.LATENCY_TOO_HIGH
    assert "10 % of requests took longer than 50 ms, limit 1.32 %" in found.message


def test_a_candidate_that_misses_it_no_more_often_passes() -> None:
    assert judged(OBJECTIVE, (counts(total=1000, slow=2),), BEFORE).verdict is Verdict.PASS


def test_a_minute_in_which_all_requests_are_slow_does_not_fail_the_check() -> None:
    """Another program had the processor: 300 slow requests in a row are not 300 independent observations."""
    trial = (counts(total=6000, slow=300),)
    before = (counts(total=20_000, slow=600),)
    found = judged(OBJECTIVE, trial, before, serving=timedelta(minutes=20))
    assert found.verdict is not Verdict.FAIL


def test_the_objective_of_a_first_revision_is_absolute() -> None:
    assert judged(OBJECTIVE, (counts(total=400, slow=40),), is_first=True).verdict is Verdict.FAIL


def test_servers_without_an_edge_at_the_objective_are_judged_at_the_next_edge_that_all_have() -> None:
    """Stable was rolled out before the objective was set."""
    before = (counts(total=2000, slow=4, edges=DURATION_BUCKETS),)
    found = judged(OBJECTIVE, (counts(total=400, slow=40),), before)
    assert found.verdict is Verdict.FAIL
    assert "took longer than 63 ms" in found.message


def test_a_candidate_twice_as_slow_as_its_node_was_fails() -> None:
    found = judged(SLOWDOWN, (counts(total=600, typical=0.030),), (counts(total=2000),))
    assert found.verdict is Verdict.FAIL
    assert "took longer than nine in ten did on their node before" in found.message


def test_a_candidate_as_fast_as_its_node_was_passes() -> None:
    assert judged(SLOWDOWN, (counts(total=600),), (counts(total=2000),)).verdict is Verdict.PASS


def test_a_fast_candidate_on_a_slow_node_is_not_compared_with_fast_nodes() -> None:
    before = (counts("slow", 2000, typical=0.060), counts("fast", 2000, typical=0.006))
    assert judged(SLOWDOWN, (counts("slow", 600, typical=0.060),), before).verdict is Verdict.PASS
    assert judged(SLOWDOWN, (counts("fast", 600, typical=0.060),), before).verdict is Verdict.FAIL


def test_a_slow_node_with_few_requests_before_is_not_held_against_fast_nodes() -> None:
    fast = tuple(counts(f"fast-{number}", 2000, typical=0.022) for number in range(9))
    before = (*fast, counts("slow", 40, typical=0.3))
    assert judged(SLOWDOWN, (counts("slow", 300, typical=0.3),), before).verdict is not Verdict.FAIL


def test_a_slow_candidate_is_found_on_a_node_with_few_requests_before() -> None:
    """Otherwise it would hold every candidate, good or bad."""
    before = (counts("n1", total=26), counts("n2", total=4000, typical=0.005), counts("n3", total=4000))
    found = judged(SLOWDOWN, (counts("n1", total=10, typical=0.050),), before, serving=timedelta(minutes=20))
    assert found.verdict is Verdict.FAIL
    assert judged(SLOWDOWN, (counts("n1", total=10),), before, serving=timedelta(minutes=20)).verdict is Verdict.PASS


def test_a_node_without_any_request_before_is_not_judged_by_the_others() -> None:
    before = (counts("fast", 2000, typical=0.006),)
    found = judged(SLOWDOWN, (counts("slow", 300, typical=0.3),), before)
    assert (found.verdict, found.waits) == (Verdict.INCONCLUSIVE, True)
    assert found.message == "stable served no request there to compare with"
    both = (counts("slow", 300, typical=0.3), counts("fast", 600, typical=0.006))
    assert judged(SLOWDOWN, both, before).verdict is Verdict.PASS


def test_ten_times_slower_is_found_within_half_a_minute() -> None:
    trial = (counts(total=30, typical=0.120),)
    found = judged(SLOWDOWN, trial, (counts(total=2000),), serving=timedelta(seconds=30))
    assert found.verdict is Verdict.FAIL


def test_a_first_revision_has_nothing_to_be_slower_than_and_nothing_waits_for_it() -> None:
    found = judged(SLOWDOWN, (counts(total=600),), is_first=True)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason == reasons.NO_BASELINE
    assert not found.waits


def test_when_stable_had_no_traffic_it_waits() -> None:
    assert judged(SLOWDOWN, (counts(total=600),)).waits


def test_when_all_nodes_become_slow_together_the_candidate_is_not_failed() -> None:
    names = [f"camera-{number}" for number in range(1, 4)]
    before = tuple(counts(name, 2000) for name in names)
    control = tuple(counts(name, 600, typical=0.060) for name in names[1:])
    found = judged(SLOWDOWN, (counts("camera-1", 600, typical=0.060),), before, control)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason == reasons.CONTROL_DEGRADED


def test_one_limit_out_of_two_is_enough_to_fail() -> None:
    assert judged(BOTH, (counts(total=600, typical=0.030),), (counts(total=2000),)).verdict is Verdict.FAIL


# --- nodes against nodes ---


def fleet(slow: float = 1.0, weather: float = 1.0, nodes: int = 8) -> tuple[tuple[Counts, ...], ...]:
    """Returns (trial, baseline, control): the second half of the nodes is on trial, and ``slow`` times slower."""
    speeds = [0.010 * 1.3**number for number in range(nodes)]
    baseline = tuple(counts(f"n{number}", 500, typical=speed) for number, speed in enumerate(speeds))
    after = [
        counts(f"n{number}", 500, typical=speed * weather * (slow if number >= nodes // 2 else 1.0))
        for number, speed in enumerate(speeds)
    ]
    return tuple(after[nodes // 2 :]), baseline, tuple(after[: nodes // 2])


def test_the_median_of_nodes_on_trial_against_that_of_nodes_on_stable_fails_too() -> None:
    """All nodes became slower, so the control group keeps the sequential test undecided, and the permutation test
    decides."""
    found = judged(SLOWDOWN, *fleet(slow=4, weather=2.5))
    assert found.verdict is Verdict.FAIL
    assert "median latency is" in found.message
    assert "4 nodes against 4" in found.message


def test_a_slowdown_of_all_nodes_does_not_fail_it() -> None:
    assert judged(SLOWDOWN, *fleet(weather=4)).verdict is not Verdict.FAIL


def test_a_slowdown_within_the_limit_does_not() -> None:
    assert judged(SLOWDOWN, *fleet(slow=1.3)).verdict is not Verdict.FAIL


def test_two_nodes_against_two_are_too_few() -> None:
    found = judged(SLOWDOWN, *fleet(slow=4, weather=2.5, nodes=4))
    assert "median latency" not in found.message


def test_nodes_with_few_requests_are_left_out() -> None:
    trial, baseline, control = fleet(slow=4, weather=2.5)
    few = tuple(counts(item.node, 50, typical=0.1) for item in trial)
    assert "median latency" not in judged(SLOWDOWN, few, baseline, control).message


@pytest.mark.parametrize("typical", [0.0001, 30.0])
def test_latencies_beyond_the_histogram_neither_fail_nor_break_the_check(typical: float) -> None:
    found = judged(SLOWDOWN, (counts(total=600, typical=typical),), (counts(total=2000, typical=typical),))
    assert found.verdict is not Verdict.FAIL
