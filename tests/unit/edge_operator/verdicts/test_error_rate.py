"""The check ErrorRate."""

import re
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemodel import reasons
from edgemodel.verdict import Verdict
from tests.support.verdicts import analysis_of, counts, golden, judged

ERRORS = analysis_of({"name": "errors", "type": "ErrorRate"})
BEFORE = (counts(total=2000, errors=1),)
for_all = settings(deadline=None, derandomize=True, database=None)


def test_a_candidate_that_fails_one_request_in_twenty_fails() -> None:
    found = judged(ERRORS, (counts(total=400, errors=20),), BEFORE)
    assert found.verdict is Verdict.FAIL
    assert found.reason == reasons.ERROR_RATE_TOO_HIGH
    assert (found.observed, found.limit, found.sample_count) == ("5", "1.1", 400)
    assert found.message == (
        "5 % of requests failed, limit 1.1 % (n = 400 on 1 node; 0.101 % expected, half again as many as before: no "
        "node on stable shows a drift)"
    )


def test_a_candidate_that_fails_no_more_than_before_passes() -> None:
    found = judged(ERRORS, (counts(total=1000, errors=1),), BEFORE)
    assert found.verdict is Verdict.PASS
    assert not found.waits


def test_a_pass_says_what_it_rules_out_and_what_would_have_been_found() -> None:
    message = judged(ERRORS, (counts(total=1000, errors=1),), BEFORE).message
    assert "would find an increase of 1.93 points by now; one of 1 points is ruled out, a smaller one is not" in message


def test_few_requests_decide_nothing_and_it_says_how_many_would() -> None:
    found = judged(ERRORS, (counts(total=50),), BEFORE)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.waits
    assert found.reason == reasons.ANALYSIS_INCONCLUSIVE
    assert found.message.endswith(
        "would find an increase of 10.9 points by now; not enough to decide, about 226 more requests would, in 45 "
        "minutes at the present rate"
    )


def test_the_stated_number_of_requests_makes_it_pass_and_much_fewer_do_not() -> None:
    """The number is for the share of failures that was seen, which is 0."""
    (result, _) = judged(ERRORS, (counts(total=50),), BEFORE).results
    more = round(result.requests_to_decide)
    assert judged(ERRORS, (counts(total=50 + more),), BEFORE).verdict is Verdict.PASS
    assert judged(ERRORS, (counts(total=50 + more // 2),), BEFORE).verdict is Verdict.INCONCLUSIVE


def test_the_minutes_are_those_of_the_present_rate() -> None:
    """Fifty requests in ten minutes are five a minute."""
    (result, _) = judged(ERRORS, (counts(total=50),), BEFORE).results
    assert result.requests_a_minute == pytest.approx(5)
    assert result.minutes_to_decide == pytest.approx(result.requests_to_decide / 5)


def test_after_a_verdict_no_request_is_missing() -> None:
    for errors in (0, 40):
        found = judged(ERRORS, (counts(total=2000, errors=errors),), BEFORE)
        assert found.verdict is not Verdict.INCONCLUSIVE
        assert {(result.requests_to_decide, result.minutes_to_decide) for result in found.results} == {(0, 0)}


def test_a_share_at_the_limit_takes_no_number_of_requests() -> None:
    found = judged(ERRORS, (counts(total=4000, errors=44),), BEFORE)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert "no number of requests decides" in found.message


def test_a_single_failed_request_among_few_does_not_fail_the_check() -> None:
    for total in (1, 2, 10, 100):
        assert judged(ERRORS, (counts(total=total, errors=1),), BEFORE).verdict is Verdict.INCONCLUSIVE


def test_a_node_that_always_failed_five_percent_is_compared_with_itself() -> None:
    before = (counts(total=2000, errors=100),)
    assert judged(ERRORS, (counts(total=2000, errors=100),), before).verdict is Verdict.PASS
    assert judged(ERRORS, (counts(total=2000, errors=400),), before).verdict is Verdict.FAIL


def test_a_bad_node_does_not_hide_a_candidate_that_fails_on_good_nodes() -> None:
    """The pooled share would be 5 %, as before; node by node it is not."""
    before = (counts("bad", 1000, 100), counts("good", 1000, 0))
    assert judged(ERRORS, (counts("good", 1000, 50),), before).verdict is Verdict.FAIL


def test_when_nodes_on_stable_fail_too_the_candidate_is_not_failed() -> None:
    before = (counts("camera-1", 2000, 2), counts("camera-2", 2000, 2))
    control = (counts("camera-2", 500, 25),)
    found = judged(ERRORS, (counts("camera-1", 400, 20),), before, control)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason == reasons.CONTROL_DEGRADED
    assert "5 % on nodes that still run stable (n = 500)" in found.message


def test_a_candidate_that_fails_nothing_passes_though_nodes_on_stable_degrade() -> None:
    before = (counts("camera-1", 2000, 2), counts("camera-2", 2000, 2))
    found = judged(ERRORS, (counts("camera-1", 1000),), before, (counts("camera-2", 500, 25),))
    assert found.verdict is Verdict.PASS
    assert "40 times the odds of before" in found.message


def test_a_candidate_that_degrades_much_more_than_nodes_on_stable_fails() -> None:
    before = (counts("camera-1", 2000, 2), counts("camera-2", 2000, 2))
    found = judged(ERRORS, (counts("camera-1", 1000, 150),), before, (counts("camera-2", 500, 25),))
    assert found.verdict is Verdict.FAIL


def test_a_candidate_that_degrades_a_little_more_than_nodes_on_stable_is_undecided() -> None:
    """The drift of the others is uncertain itself."""
    before = (counts("camera-1", 2000, 2), counts("camera-2", 2000, 2))
    found = judged(ERRORS, (counts("camera-1", 1000, 60),), before, (counts("camera-2", 500, 25),))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.waits


@pytest.mark.parametrize("controls", [200, 500, 2000, 10_000])
@pytest.mark.parametrize("errors_before", [1, 2, 10, 50])
def test_a_candidate_that_fails_as_often_as_nodes_on_stable_do_now_is_not_failed(
    errors_before: int, controls: int
) -> None:
    """The fewer failed before, the less is known of how many times as many it is now."""
    before = tuple(counts(node, 2000, errors_before) for node in ("camera-1", "camera-2"))
    control = (counts("camera-2", controls, controls // 20),)
    for total in (controls // 2, controls, 2 * controls, 5 * controls):
        trial = (counts("camera-1", total, total // 20),)
        assert judged(ERRORS, trial, before, control).verdict is not Verdict.FAIL


def test_a_handful_of_requests_on_stable_is_not_a_control_group() -> None:
    before = (counts("camera-1", 2000, 2), counts("camera-2", 2000, 2))
    found = judged(ERRORS, (counts("camera-1", 400, 20),), before, (counts("camera-2", 9, 1),))
    assert found.verdict is Verdict.FAIL


def test_many_requests_that_do_not_fit_the_candidate_fail_it() -> None:
    found = judged(ERRORS, (counts(total=100, refused=90),), BEFORE)
    assert found.verdict is Verdict.FAIL
    assert "90 % of requests did not fit the model, limit 20 %" in found.message


def test_a_few_wrong_requests_do_not_fail_the_candidate() -> None:
    found = judged(ERRORS, (counts(total=300, refused=12),), BEFORE)
    assert found.verdict is Verdict.PASS


@for_all
@given(st.integers(50, 100_000), st.floats(0, 0.5), st.floats(0.1, 20))
def test_the_limit_is_the_users_increase_above_what_is_expected(total: int, share: float, points: float) -> None:
    analysis = analysis_of({"name": "e", "type": "ErrorRate", "errorRate": {"maxIncreasePercent": f"{points:.4f}"}})
    errors = round(share * total)
    found = judged(analysis, (counts(total=1000, errors=round(share * 1000)),), (counts(total=total, errors=errors),))
    (expected,) = re.findall(r"; ([0-9.]+) % expected", found.message)
    assert float(found.limit) - float(expected) == pytest.approx(points, abs=0.01 * float(found.limit) + 1e-3)


@for_all
@given(st.data(), st.integers(1, 100_000))
def test_the_more_failed_before_the_more_is_allowed(data: st.DataObject, total: int) -> None:
    fewer, more = sorted(data.draw(st.tuples(st.integers(0, total), st.integers(0, total))))
    strict, lenient = (judged(ERRORS, (counts(total=100),), (counts(total=total, errors=n),)) for n in (fewer, more))
    assert float(strict.limit) <= float(lenient.limit)


def test_with_a_small_baseline_what_is_expected_is_uncertain_and_the_same_candidate_is_not_failed() -> None:
    trial = (counts(total=200, errors=7),)
    verdicts = [judged(ERRORS, trial, (counts(total=total),)).verdict for total in (20, 20_000)]
    assert verdicts == [Verdict.INCONCLUSIVE, Verdict.FAIL]


def test_without_a_baseline_half_a_percent_and_the_increase_are_allowed() -> None:
    """Expected are 0.2 %, and half again as many."""
    found = judged(ERRORS, (counts(total=400),), is_first=True)
    assert found.limit == "1.3"
    assert "0.3 % expected)" in found.message


def test_a_first_revision_is_held_to_the_floor() -> None:
    assert judged(ERRORS, (counts(total=400, errors=20),), is_first=True).verdict is Verdict.FAIL
    assert judged(ERRORS, (counts(total=400),), is_first=True).verdict is Verdict.PASS


def test_a_node_with_a_small_baseline_is_expected_no_better_than_all_together() -> None:
    """The evidence of 20 good requests is small: the node may fail as often as its variant does."""
    others = [counts(f"camera-{number}", 5000, 250) for number in range(2, 7)]
    before = (counts("camera-1", 20), *others)
    found = judged(ERRORS, (counts("camera-1", 2000, 100),), before)
    assert found.verdict is Verdict.PASS
    assert judged(ERRORS, (counts("camera-1", 2000, 100),), (counts("camera-1", 2000), *others)).verdict is Verdict.FAIL


def test_without_a_request_the_golden_set_decides_and_it_says_so() -> None:
    found = judged(ERRORS, (), (), on_trial=("camera-1",), golden=(golden(),))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert not found.waits
    assert found.reason == reasons.NO_TRAFFIC
    assert found.message == "no request on 1 node: the golden set (100 % of 64 items agree) decides instead"


def test_where_stable_had_traffic_the_first_request_is_waited_for_for_a_minute() -> None:
    for seconds, waits in ((20, True), (90, False)):
        serving = timedelta(seconds=seconds)
        found = judged(ERRORS, (), BEFORE, on_trial=("camera-1",), golden=(golden(),), serving=serving)
        assert found.waits is waits


def test_without_a_request_and_without_a_golden_set_it_waits() -> None:
    found = judged(ERRORS, (), (), on_trial=("camera-1",))
    assert found.waits
    assert found.reason == reasons.NO_TRAFFIC


def test_a_golden_set_of_one_node_does_not_speak_for_another() -> None:
    on_trial = ("camera-1", "camera-2")
    nodes = dict.fromkeys(on_trial, "default")
    assert judged(ERRORS, (), (), nodes=nodes, on_trial=on_trial, golden=(golden(),)).waits


def test_when_most_nodes_do_not_report_nothing_passes() -> None:
    trial = (counts("camera-1", 1000),)
    on_trial = ("camera-1", "camera-2", "camera-3")
    nodes = dict.fromkeys(on_trial, "default")
    found = judged(ERRORS, trial, BEFORE, nodes=nodes, on_trial=on_trial, reporting=("camera-1",))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason == reasons.METRICS_UNAVAILABLE
    assert "1 of 3 nodes" in found.message


def test_when_most_nodes_do_not_report_the_others_can_still_fail_the_check() -> None:
    trial = (counts("camera-1", 400, 40),)
    on_trial = ("camera-1", "camera-2", "camera-3")
    nodes = dict.fromkeys(on_trial, "default")
    found = judged(ERRORS, trial, BEFORE, nodes=nodes, on_trial=on_trial, reporting=("camera-1",))
    assert found.verdict is Verdict.FAIL


def test_a_node_that_has_just_begun_to_serve_is_waited_for() -> None:
    trial = (counts("camera-1", 1000),)
    on_trial = ("camera-1", "camera-2")
    nodes = dict.fromkeys(on_trial, "default")
    found = judged(
        ERRORS,
        trial,
        BEFORE,
        nodes=nodes,
        on_trial=on_trial,
        reporting=("camera-1",),
        serving=timedelta(seconds=20),
    )
    assert found.waits
    assert found.reason == reasons.METRICS_UNAVAILABLE
