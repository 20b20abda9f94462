"""The check ErrorRate."""

from datetime import timedelta

from edgemodel import reasons
from edgemodel.verdict import Verdict
from tests.support.verdicts import analysis_of, counts, golden, judged

ERRORS = analysis_of({"name": "errors", "type": "ErrorRate"})
BEFORE = (counts(total=2000, errors=1),)


def test_a_candidate_that_fails_one_request_in_twenty_fails() -> None:
    found = judged(ERRORS, (counts(total=400, errors=20),), BEFORE)
    assert found.verdict is Verdict.FAIL
    assert found.reason == reasons.ERROR_RATE_TOO_HIGH
    assert (found.observed, found.limit, found.sample_count) == ("5", "1.3", 400)
    assert found.message == "5 % of requests failed, limit 1.3 % (n = 400 on 1 node; up to 0.3 % expected)"


def test_a_candidate_that_fails_no_more_than_before_passes() -> None:
    found = judged(ERRORS, (counts(total=1000, errors=1),), BEFORE)
    assert found.verdict is Verdict.PASS
    assert not found.waits


def test_few_requests_decide_nothing_and_it_says_how_many_would() -> None:
    found = judged(ERRORS, (counts(total=50),), BEFORE)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.waits
    assert found.reason == reasons.ANALYSIS_INCONCLUSIVE
    assert "about 176 more good ones would pass" in found.message


def test_the_stated_number_of_good_requests_makes_it_pass() -> None:
    assert judged(ERRORS, (counts(total=50 + 176),), BEFORE).verdict is Verdict.PASS


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


def test_while_the_control_group_degrades_nothing_passes_either() -> None:
    before = (counts("camera-1", 2000, 2), counts("camera-2", 2000, 2))
    found = judged(ERRORS, (counts("camera-1", 1000),), before, (counts("camera-2", 500, 25),))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.waits


def test_a_handful_of_requests_on_stable_is_not_a_control_group() -> None:
    before = (counts("camera-1", 2000, 2), counts("camera-2", 2000, 2))
    found = judged(ERRORS, (counts("camera-1", 400, 20),), before, (counts("camera-2", 9, 1),))
    assert found.verdict is Verdict.FAIL


def test_many_requests_that_do_not_fit_the_candidate_fail_it() -> None:
    found = judged(ERRORS, (counts(total=100, refused=90),), BEFORE)
    assert found.verdict is Verdict.FAIL
    assert "90 % of requests did not fit the model, limit 20.3 %" in found.message


def test_a_few_wrong_requests_do_not_fail_the_candidate() -> None:
    found = judged(ERRORS, (counts(total=300, refused=12),), BEFORE)
    assert found.verdict is Verdict.PASS


def test_a_first_revision_is_held_to_the_floor() -> None:
    assert judged(ERRORS, (counts(total=400, errors=20),), is_first=True).verdict is Verdict.FAIL
    assert judged(ERRORS, (counts(total=400),), is_first=True).verdict is Verdict.PASS


def test_a_node_with_a_small_baseline_is_expected_no_better_than_all_together() -> None:
    """The evidence of 20 good requests is small: the node may fail as often as its variant does."""
    before = (counts("camera-1", 20), counts("camera-2", 5000, 250))
    assert judged(ERRORS, (counts("camera-1", 400, 20),), before).verdict is Verdict.PASS


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
