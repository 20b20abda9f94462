"""The check Accuracy, by labels that applications send back."""

import numpy as np
import pytest

from edgemodel import reasons
from edgemodel.verdict import Verdict
from tests.support.verdicts import analysis_of, counts, golden, judged

LABELS = analysis_of({"name": "labels", "type": "Accuracy", "accuracy": {"maxDropPercent": "2"}})
BEFORE = (counts(right=1900, wrong=100),)


def test_a_candidate_that_is_wrong_more_often_fails_with_both_numbers() -> None:
    found = judged(LABELS, (counts(right=160, wrong=40),), BEFORE)
    assert found.verdict is Verdict.FAIL
    assert found.reason == reasons.ACCURACY_TOO_LOW
    assert (found.observed, found.limit, found.sample_count) == ("15", "2", 200)
    assert "80 % of 200 labels on 1 node, stable had 95 % of 2000" in found.message


def test_a_candidate_as_good_as_stable_passes_once_there_are_labels_enough() -> None:
    assert judged(LABELS, (counts(right=190, wrong=10),), BEFORE).verdict is Verdict.INCONCLUSIVE
    before = (counts(right=3800, wrong=200),)
    assert judged(LABELS, (counts(right=3800, wrong=200),), before).verdict is Verdict.PASS


def test_a_handful_of_labels_decides_nothing() -> None:
    found = judged(LABELS, (counts(right=0, wrong=29),), BEFORE)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.waits
    assert "29 labels came back for the candidate, at least 30 are needed" in found.message


def test_without_labels_of_stable_there_is_nothing_to_compare_with_yet() -> None:
    found = judged(LABELS, (counts(right=100, wrong=100),), (counts(right=3),))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.waits


def test_a_first_revision_is_not_waited_for() -> None:
    found = judged(LABELS, (counts(right=100),), is_first=True)
    assert not found.waits
    assert found.reason == reasons.NO_BASELINE


def test_without_requests_no_label_is_waited_for() -> None:
    found = judged(LABELS, (), BEFORE, on_trial=("camera-1",), golden=(golden(),))
    assert not found.waits
    assert found.reason == reasons.NO_TRAFFIC
    assert judged(LABELS, (counts(total=100),), BEFORE, golden=(golden(),)).waits


def test_a_node_with_harder_pictures_is_compared_with_itself() -> None:
    before = (counts("dark", right=700, wrong=300), counts("bright", right=990, wrong=10))
    found = judged(LABELS, (counts("dark", right=700, wrong=300),), before)
    assert found.verdict is not Verdict.FAIL
    assert "stable had 70 % of 1000" in found.message


def test_labels_that_nodes_on_stable_get_meanwhile_count_where_there_are_none_from_before() -> None:
    control = (counts("camera-2", right=950, wrong=50),)
    found = judged(LABELS, (counts("camera-1", right=160, wrong=40),), (), control)
    assert found.verdict is Verdict.FAIL


@pytest.mark.slow
def test_repeated_looks_fail_a_good_candidate_in_less_than_one_of_twenty_cases() -> None:
    """The looks come every ten labels, up to 3,000 labels."""
    random = np.random.default_rng(1)
    condemned = 0
    for _ in range(300):
        right = np.cumsum(random.random(3000) < 0.95)
        for labels in range(40, 3001, 40):
            good = int(right[labels - 1])
            if judged(LABELS, (counts(right=good, wrong=labels - good),), BEFORE).verdict is Verdict.FAIL:
                condemned += 1
                break
    assert condemned / 300 <= 0.05
