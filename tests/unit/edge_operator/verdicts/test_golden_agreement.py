"""The check GoldenAgreement."""

from edgemodel import reasons
from edgemodel.verdict import Verdict
from tests.support.verdicts import analysis_of, golden, judged

GOLDEN = analysis_of({"name": "golden", "type": "GoldenAgreement"})
STRICT = analysis_of({"name": "golden", "type": "GoldenAgreement", "goldenAgreement": {"minPercent": "99.5"}})
CAMERAS = {"camera-1": "default", "camera-2": "default"}


def test_the_node_that_fails_is_named_with_its_own_items() -> None:
    answers = (golden("camera-1", agree=370, disagree=0), golden("camera-2", agree=184, disagree=1))
    nodes = {"camera-1": "default", "camera-2": "default"}
    found = judged(STRICT, golden=answers, nodes=nodes, on_trial=tuple(nodes))
    assert found.message == "golden set agrees on 99.45 %, limit 99.5 % (n = 185 on node camera-2)"


def test_what_the_artifact_demands_is_enough_unless_the_check_demands_more() -> None:
    answers = (golden(agree=62, disagree=2, least=95),)
    assert judged(GOLDEN, golden=answers).verdict is Verdict.PASS
    found = judged(STRICT, golden=answers)
    assert found.verdict is Verdict.FAIL
    assert found.reason == reasons.GOLDEN_MISMATCH
    assert found.message == "golden set agrees on 96.87 %, limit 99.5 % (n = 64 on node camera-1)"


def test_the_node_that_agrees_least_decides() -> None:
    answers = (golden("camera-1"), golden("camera-2", 60, 4))
    found = judged(STRICT, nodes=CAMERAS, on_trial=tuple(CAMERAS), golden=answers)
    assert found.verdict is Verdict.FAIL
    assert "camera-2" in found.message


def test_an_artifact_without_a_golden_set_is_not_waited_for() -> None:
    found = judged(GOLDEN)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert not found.waits
    assert found.reason == reasons.NO_BASELINE


def test_nodes_that_do_not_report_are_waited_for() -> None:
    found = judged(GOLDEN, reporting=(), golden=(golden(),))
    assert found.waits
    assert found.reason == reasons.METRICS_UNAVAILABLE


def test_an_answer_of_a_node_that_no_longer_reports_counts_for_nothing() -> None:
    answers = (golden("camera-1"), golden("camera-2", 1, 63))
    found = judged(GOLDEN, nodes=CAMERAS, on_trial=tuple(CAMERAS), reporting=("camera-1",), golden=answers)
    assert found.verdict is Verdict.PASS
