"""The drift of nodes on stable: those of the variant, else those of all variants, else a fixed allowance."""

from math import inf

import pytest

from edge_operator.decide.analysis import WaveBaseline
from edge_operator.decide.analysis.evidence import Judged
from edge_operator.decide.measurement import Counts
from edgemodel import reasons
from edgemodel.verdict import Verdict
from tests.support.verdicts import BEGAN, analysis_of, counted, counts, judged, judgement

ERRORS = analysis_of({"name": "errors", "type": "ErrorRate"})
OBJECTIVE = analysis_of({"name": "latency", "type": "Latency", "latency": {"objectiveMilliseconds": 50}})
SLOWDOWN = analysis_of({"name": "latency", "type": "Latency"})
PI_ON_TRIAL = {"camera-1": "default", "camera-2": "default", "pi-1": "pi"}
BEFORE = (counts("camera-1", 4000, 40), counts("camera-2", 4000, 40), counts("pi-1", 4000, 40))


def test_the_message_says_which_nodes_on_stable_showed_the_drift() -> None:
    before = tuple(counts(f"camera-{number}", 2000, 20) for number in range(1, 7))
    control = tuple(counts(f"camera-{number}", 500, 5) for number in range(2, 7))
    found = judged(ERRORS, (counts("camera-1", 400, 4),), before, control)
    assert (
        "% expected by the drift of stable on camera-2, camera-3, camera-4 and 2 more: 1 times the odds"
        in found.message
    )


def test_without_nodes_on_stable_the_message_says_what_is_allowed_instead() -> None:
    found = judged(ERRORS, (counts("camera-1", 400, 4),), BEFORE[:1])
    assert "% expected, half again as many as before: no node on stable shows a drift" in found.message
    slow = judged(SLOWDOWN, (counts("camera-1", 400),), (counts("camera-1", 4000),))
    assert "% expected, what half of that slowdown makes: no node on stable shows a drift" in slow.message


def test_a_first_revision_has_no_node_on_stable_and_the_message_does_not_miss_any() -> None:
    assert "stable" not in judged(ERRORS, (counts(total=400, errors=20),), is_first=True).message


def test_a_variant_without_nodes_on_stable_takes_the_drift_of_the_whole_model() -> None:
    """All nodes fail five times as often from the switch on, and the nodes of the other variant show it."""
    trial, control = (counts("pi-1", 2000, 100),), (counts("camera-1", 2000, 100), counts("camera-2", 2000, 100))
    found = judged(ERRORS, trial, BEFORE, control, nodes=PI_ON_TRIAL)
    assert found.verdict is not Verdict.FAIL
    assert "by the drift of stable on camera-1, camera-2, of all variants" in found.message
    assert judged(ERRORS, trial, BEFORE, nodes=PI_ON_TRIAL).verdict is Verdict.FAIL


def test_a_candidate_that_is_bad_on_a_variant_fails_though_the_controls_are_of_another() -> None:
    trial, control = (counts("pi-1", 2000, 120),), (counts("camera-1", 2000, 20), counts("camera-2", 2000, 20))
    found = judged(ERRORS, trial, BEFORE, control, nodes=PI_ON_TRIAL)
    assert found.verdict is Verdict.FAIL
    assert found.reason == reasons.ERROR_RATE_TOO_HIGH


def test_a_variant_with_nodes_on_stable_of_its_own_takes_no_others() -> None:
    nodes = {**PI_ON_TRIAL, "pi-2": "pi"}
    before = (*BEFORE, counts("pi-2", 4000, 40))
    control = (counts("camera-1", 2000, 400), counts("pi-2", 2000, 20))
    found = judged(ERRORS, (counts("pi-1", 2000, 120),), before, control, nodes=nodes)
    assert found.verdict is Verdict.FAIL
    assert "by the drift of stable on pi-2: 1 times the odds" in found.message


def test_a_handful_of_requests_on_stable_nodes_of_the_variant_is_not_enough() -> None:
    nodes = {**PI_ON_TRIAL, "pi-2": "pi"}
    before = (*BEFORE, counts("pi-2", 4000, 40))
    control = (counts("camera-1", 2000, 60), counts("pi-2", 9, 0))
    found = judged(ERRORS, (counts("pi-1", 2000, 60),), before, control, nodes=nodes)
    assert "by the drift of stable on camera-1, pi-2, of all variants" in found.message


def test_each_control_is_compared_with_its_own_baseline_and_with_its_own_edge() -> None:
    """The cameras are ten times as slow as the pi, and have not changed; by the pi's edge all their requests would be
    slow."""
    before = (
        *(counts(f"camera-{number}", 4000, typical=0.02) for number in (1, 2)),
        counts("pi-1", 4000, typical=0.002),
    )
    control = tuple(counts(f"camera-{number}", 2000, typical=0.02) for number in (1, 2))
    slow = counts("pi-1", 2000, typical=0.006)
    found = judged(SLOWDOWN, (slow,), before, control, nodes=PI_ON_TRIAL)
    assert found.verdict is Verdict.FAIL
    assert "by the drift of stable on camera-1, camera-2, of all variants" in found.message


def test_a_slow_hour_on_nodes_of_another_variant_guards_the_slowdown_too() -> None:
    before = tuple(counts(name, 4000, typical=0.01) for name in PI_ON_TRIAL)
    control = tuple(counts(f"camera-{number}", 2000, typical=0.03) for number in (1, 2))
    found = judged(SLOWDOWN, (counts("pi-1", 2000, typical=0.03),), before, control, nodes=PI_ON_TRIAL)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason == reasons.CONTROL_DEGRADED


def test_a_control_of_another_variant_shows_as_much_as_one_of_the_same() -> None:
    before = (counts("camera-1", 4000, 40), counts("camera-2", 4000, 40))
    trial, control = (counts("camera-1", 800, 24),), (counts("camera-2", 2000, 60),)
    same = judged(ERRORS, trial, before, control)
    other = judged(ERRORS, trial, before, control, nodes={"camera-1": "default", "camera-2": "pi"})
    assert float(other.limit) == pytest.approx(float(same.limit), rel=0.05)
    assert float(same.limit) == pytest.approx(3.9, abs=0.3)


def in_the_last_wave(controls: int, minutes: int, all_nodes: int = 1, candidate: int = 1) -> Verdict:
    """Returns the verdict on 10 nodes with 80 requests a minute, of which 1 % failed in the 10 minutes before: all fail
    ``all_nodes`` times as often now, and the candidate ``candidate`` times as often as that."""
    names, total = [f"camera-{number}" for number in range(10)], 80 * minutes
    before = tuple(counts(name, 800, 8) for name in names)
    trial = tuple(counts(name, total, total * all_nodes * candidate // 100) for name in names[controls:])
    control = tuple(counts(name, total, total * all_nodes // 100) for name in names[:controls])
    return judged(ERRORS, trial, before, control).verdict


def test_two_controls_of_ten_nodes_are_enough_and_none_are_too_few() -> None:
    assert in_the_last_wave(2, 20, all_nodes=3) is Verdict.PASS
    assert in_the_last_wave(2, 5, candidate=3) is Verdict.FAIL
    assert in_the_last_wave(2, 5, all_nodes=3, candidate=3) is Verdict.FAIL
    assert in_the_last_wave(1, 5, candidate=3) is Verdict.INCONCLUSIVE
    assert in_the_last_wave(0, 5, all_nodes=3) is Verdict.FAIL
    assert in_the_last_wave(0, 20, candidate=2) is Verdict.PASS
    assert in_the_last_wave(2, 20, candidate=2) is not Verdict.PASS


def test_a_control_that_switches_at_the_end_still_shows_the_drift_of_the_wave() -> None:
    """All nodes fail five times as often in the last wave; the candidate has just come to the last one on stable."""
    before = (counts("camera-1", 4000, 40), counts("camera-2", 4000, 40))
    trial, control = (counts("camera-1", 2000, 100), counts("camera-2", 20, 1)), (counts("camera-2", 2000, 100),)
    found = judged(ERRORS, trial, before, control, switched=("camera-1",))
    assert found.verdict is not Verdict.FAIL
    assert "by the drift of stable on camera-2" in found.message


def test_a_node_that_switched_in_the_wave_is_no_control_though_stable_served_there_at_its_beginning() -> None:
    before = (counts("camera-1", 4000, 40), counts("camera-2", 4000, 40))
    trial, control = (counts("camera-1", 2000, 100), counts("camera-2", 2000, 100)), (counts("camera-2", 200, 20),)
    found = judged(ERRORS, trial, before, control)
    assert found.verdict is Verdict.FAIL
    assert "no node on stable shows a drift" in found.message


# --- nodes on stable that move for themselves ---

TEN = tuple(f"camera-{number}" for number in range(10))


def failing(on_trial: int, *on_stable: int) -> Judged:
    """Returns the verdict on three nodes with these failures in 1,000 requests each, beside nodes on stable with
    these; 4 in 1,000 failed before."""
    before = tuple(counts(name, 6000, 24) for name in TEN)
    trial = tuple(counts(name, 1000, on_trial) for name in TEN[:3])
    return judged(
        ERRORS,
        trial,
        before,
        tuple(counts(name, 1000, number) for name, number in zip(TEN[3:], on_stable, strict=False)),
    )


@pytest.mark.parametrize("others", [(4, 4), (4, 4, 4, 4, 4, 4), (480, 4, 4, 4, 4)])
def test_a_node_on_stable_that_breaks_hides_no_bad_candidate(others: tuple[int, ...]) -> None:
    found = failing(50, 500, *others)
    assert found.verdict is Verdict.FAIL
    assert "(without camera-3" in found.message
    assert "which moved by far more or less than the others): 1 times the odds" in found.message


@pytest.mark.parametrize("on_stable", [(500,), (500, 4), (500, 500, 4, 4), (500, 0, 400, 4)])
def test_where_nobody_can_tell_which_node_moved_for_itself_nothing_is_decided_by_it(on_stable: tuple[int, ...]) -> None:
    found = failing(50, *on_stable)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason == reasons.CONTROL_DEGRADED
    assert (
        "that much is expected, but too few nodes agree on it to pass a candidate; no number of requests"
        in found.message
    )
    assert failing(4, *on_stable).verdict is Verdict.PASS


def test_what_most_nodes_on_stable_show_is_expected() -> None:
    for on_stable in ((50, 50), (50, 48, 53, 4), (50, 55, 45, 52, 51, 49, 4)):
        assert failing(50, *on_stable).verdict is not Verdict.FAIL
    assert failing(20, 50, 55, 45, 52, 51, 49, 4).verdict is Verdict.PASS
    assert failing(200, 50, 55, 45, 52, 51, 49, 4).verdict is Verdict.FAIL


def slow(*on_stable: int) -> Judged:
    """Returns the verdict on three nodes on which 5 % of the requests are slow as ever, beside nodes on stable with
    these of 1,000; on the last one half of them were slow before."""
    names = TEN[3 : 3 + len(on_stable)]
    before = (
        *(counts(name, 6000, slow=300) for name in TEN[:3]),
        *(counts(name, 6000, slow=3000 if name == names[-1] else 300) for name in names),
    )
    trial = tuple(counts(name, 1000, slow=50) for name in TEN[:3])
    control = tuple(counts(name, 1000, slow=number) for name, number in zip(names, on_stable, strict=True))
    return judged(OBJECTIVE, trial, before, control)


@pytest.mark.parametrize("others", [(), (50,), (50, 50), (50,) * 6])
def test_a_node_on_stable_that_recovers_condemns_no_good_candidate(others: tuple[int, ...]) -> None:
    found = slow(*others, 50)
    assert found.verdict is not Verdict.FAIL
    assert float(found.limit) == pytest.approx(6, abs=0.1)


def test_what_gets_better_on_all_nodes_on_stable_is_expected_of_the_candidate() -> None:
    assert slow(5, 5, 5, 50).verdict is Verdict.FAIL


def test_a_node_on_stable_that_gets_slow_for_itself_does_not_hold_up_the_verdict_on_a_slowdown() -> None:
    before = tuple(counts(name, 4000, typical=0.01) for name in TEN)
    control = tuple(counts(name, 2000, typical=0.3 if name == TEN[3] else 0.01) for name in TEN[3:])
    for typical, verdict in ((0.01, Verdict.PASS), (0.04, Verdict.FAIL)):
        trial = tuple(counts(name, 2000, typical=typical) for name in TEN[:3])
        assert judged(SLOWDOWN, trial, before, control).verdict is verdict


@pytest.mark.parametrize("on_stable", [0, 2, 4])
def test_a_quiet_minute_of_the_only_node_on_stable_is_not_asked_of_the_candidate(on_stable: int) -> None:
    """One request in ten was slow on both nodes before, and one in eight is on trial."""
    before = (counts("camera-1", 1000, slow=100), counts("camera-2", 1000, slow=100))
    trial, control = (counts("camera-1", 200, slow=25),), (counts("camera-2", 100, slow=on_stable),)
    found = judged(OBJECTIVE, trial, before, control)
    alone = judged(OBJECTIVE, trial, before, (counts("camera-2", 100, slow=10),))
    assert found.verdict is not Verdict.FAIL
    assert float(found.limit) == pytest.approx(float(alone.limit), rel=0.1)


def with_tail(node: str, total: int, share: float) -> Counts:
    """Returns requests of which ``share`` took longer than 30 ms, and 6 % took from 20 to 30 ms."""
    durations = {0.01: 0.5, 0.015: 0.94 - share, 0.02: 0.94 - share, 0.03: 1 - share, inf: 1.0}
    return counted(node, total, durations={edge: round(total * part) for edge, part in durations.items()})


def test_of_a_slowdown_as_much_counts_for_a_pass_beside_one_node_on_stable_as_beside_none() -> None:
    """Half of the slowdown that is too much moves the share from 4 % to 10 %, which is more than half again as many."""
    before = tuple(with_tail(name, 40_000, 0.04) for name in TEN[:2])
    trial, control = (with_tail(TEN[0], 4000, 0.11),), (with_tail(TEN[1], 4000, 0.11),)
    assert judged(SLOWDOWN, trial, before[:1]).verdict is Verdict.PASS
    assert judged(SLOWDOWN, trial, before, control).verdict is Verdict.PASS


# --- a Prometheus that loses its data in the wave ---


@pytest.mark.parametrize(("candidate", "verdict"), [(3, Verdict.PASS), (9, Verdict.FAIL)])
def test_the_drift_outlives_what_prometheus_knew_of_the_time_before(candidate: int, verdict: Verdict) -> None:
    """All nodes fail three times as often as before the wave, when its parameters were fixed."""
    begun = WaveBaseline.begin(ERRORS, 1, BEGAN)
    before = tuple(counts(name, 6000, 60) for name in TEN)
    early = judgement(ERRORS, (counts(TEN[0], 20),), before, wave_baseline=begun)
    trial = tuple(counts(name, 3000, 30 * candidate) for name in TEN[:3])
    control = tuple(counts(name, 3000, 90) for name in TEN[3:])
    kept = begun.with_baselines(early.judged)
    found = judged(ERRORS, trial, (), control, wave_baseline=kept)
    assert found.verdict is verdict
    assert "by the drift of stable on camera-3, camera-4, camera-5 and 4 more" in found.message


def test_without_anything_from_before_the_nodes_on_stable_show_what_is_usual() -> None:
    """Nobody called stable in the hour before, and 3 % of the requests always miss the objective."""
    control = tuple(counts(name, 3000, slow=90) for name in TEN[3:])
    good, bad = (tuple(counts(name, 3000, slow=slow) for name in TEN[:3]) for slow in (90, 900))
    found = judged(OBJECTIVE, good, (), control)
    assert found.verdict is not Verdict.FAIL
    assert float(found.limit) == pytest.approx(4, abs=0.2)
    assert judged(OBJECTIVE, bad, (), control).verdict is Verdict.FAIL
