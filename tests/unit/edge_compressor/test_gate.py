from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from edge_compressor.gate import (
    Budget,
    Measurements,
    PairedAnswers,
    judge,
    judge_accuracy,
    parse_budget,
    samples_to_decide,
)
from edgemodel import reasons
from edgemodel.verdict import Verdict


def answers(samples: int, lost: int, won: int) -> PairedAnswers:
    """``lost``: only the source is right."""
    right = samples - lost - won
    return PairedAnswers(samples, right + lost, right + won, lost, won)


MEASURED = Measurements(
    answers(2000, 10, 8), same_file=False, size_bytes=1000, latency_milliseconds=3.0, latency_runs=200
)


def accuracy(samples: int, lost: int, won: int, limit: str) -> Any:
    return judge_accuracy(replace(MEASURED, answers=answers(samples, lost, won)), Decimal(limit))


def test_a_drop_whose_interval_lies_below_the_limit_passes() -> None:
    check = accuracy(2000, 10, 8, "1.0")
    assert check.verdict is Verdict.PASS
    assert check.message == "accuracy drops 0.10 %, limit 1.0 % (90 % interval -0.27 to 0.48 %, n = 2000)"


def test_a_drop_whose_interval_lies_above_the_limit_fails_with_both_numbers() -> None:
    check = accuracy(2000, 80, 20, "0.5")
    assert check.verdict is Verdict.FAIL
    assert check.message == "accuracy drops 3.0 %, limit 0.5 % (90 % interval 2.2 to 3.9 %, n = 2000)"
    assert (check.observed, check.limit, check.sample_count) == ("3.0", "0.5", 2000)


def test_a_limit_inside_the_interval_is_inconclusive_and_says_how_many_samples_would_decide() -> None:
    check = accuracy(200, 1, 0, "1.0")
    assert check.verdict is Verdict.INCONCLUSIVE
    assert "would decide" in check.message


def test_the_advised_number_of_samples_does_decide_and_far_fewer_do_not() -> None:
    few = answers(200, 2, 1)
    enough = samples_to_decide(few, 0.01)
    assert enough is not None
    assert 200 < enough < 10_000
    rates = (0.01, 0.005)
    decided = accuracy(enough * 2, round(enough * 2 * rates[0]), round(enough * 2 * rates[1]), "1.0")
    undecided = accuracy(enough // 2, round(enough // 2 * rates[0]), round(enough // 2 * rates[1]), "1.0")
    assert (decided.verdict, undecided.verdict) == (Verdict.PASS, Verdict.INCONCLUSIVE)


def test_without_a_discordant_pair_the_advice_is_z_squared_times_one_by_the_limit() -> None:
    assert samples_to_decide(answers(100, 0, 0), 0.01) == pytest.approx(2.7055 * 0.99 / 0.01, abs=1)


def test_no_number_of_samples_decides_a_drop_that_is_the_limit() -> None:
    assert samples_to_decide(answers(1000, 10, 0), 0.01) is None
    assert "no number of samples decides" in accuracy(1000, 10, 0, "1.0").message


def test_equal_answers_on_a_set_too_small_for_the_margin_are_not_passed() -> None:
    assert accuracy(100, 0, 0, "1.0").verdict is Verdict.INCONCLUSIVE
    assert accuracy(300, 0, 0, "1.0").verdict is Verdict.PASS


def test_a_limit_of_zero_is_met_only_by_an_artifact_that_is_better() -> None:
    assert accuracy(100_000, 0, 0, "0").verdict is Verdict.INCONCLUSIVE
    assert accuracy(2000, 5, 40, "0").verdict is Verdict.PASS


def test_the_source_itself_drops_nothing_on_however_few_samples() -> None:
    for measured in (replace(MEASURED, answers=answers(3, 0, 0)), replace(MEASURED, answers=None)):
        check = judge_accuracy(replace(measured, same_file=True), Decimal(0))
        assert (check.verdict, check.observed) == (Verdict.PASS, "0")


def test_accuracy_without_labels_is_inconclusive_never_passed() -> None:
    check = judge_accuracy(replace(MEASURED, answers=None), Decimal(1))
    assert (check.verdict, check.sample_count) == (Verdict.INCONCLUSIVE, 0)
    assert "label" in check.message


@pytest.mark.parametrize(("size", "verdict"), [(999, Verdict.PASS), (1000, Verdict.PASS), (1001, Verdict.FAIL)])
def test_size_may_reach_its_limit_and_not_pass_it(size: int, verdict: Verdict) -> None:
    (check,) = judge(replace(MEASURED, size_bytes=size), Budget(max_size_bytes=1000)).checks
    assert check.verdict is verdict
    assert check.message == f"size {size} bytes, limit 1000 bytes"


def test_latency_is_judged_by_its_median_and_unmeasured_is_inconclusive() -> None:
    budget = Budget(max_latency_milliseconds=Decimal("2.5"))
    assert judge(MEASURED, budget).reason == reasons.BUDGET_EXCEEDED
    assert judge(MEASURED, budget).message == "latency 3 ms (median, one thread), limit 2.5 ms (n = 200)"
    assert judge(replace(MEASURED, latency_milliseconds=None), budget).reason == reasons.EVALUATION_INCONCLUSIVE


def test_a_fail_weighs_more_than_an_inconclusive_and_all_checks_are_told() -> None:
    budget = Budget(max_accuracy_drop_percent=Decimal("0.2"), max_size_bytes=999, when_inconclusive="Proceed")
    decision = judge(MEASURED, budget)
    assert decision.reason == reasons.BUDGET_EXCEEDED
    assert [check.verdict for check in decision.checks] == [Verdict.INCONCLUSIVE, Verdict.FAIL]
    assert decision.message == "size 1000 bytes, limit 999 bytes"


def test_an_open_question_stalls_unless_the_budget_says_proceed() -> None:
    budget = Budget(max_accuracy_drop_percent=Decimal("0.2"))
    assert judge(MEASURED, budget).reason == reasons.EVALUATION_INCONCLUSIVE
    proceeding = judge(MEASURED, replace(budget, when_inconclusive="Proceed"))
    assert proceeding.reason is None
    assert proceeding.checks[0].verdict is Verdict.INCONCLUSIVE


def test_no_budget_judges_nothing() -> None:
    decision = judge(MEASURED, parse_budget({}))
    assert (decision.reason, decision.checks) == (None, ())


def test_a_budget_is_read_as_it_stands_in_the_manifest() -> None:
    assert parse_budget(
        {
            "maxAccuracyDropPercent": "1.50",
            "maxSizeBytes": 5_000_000,
            "maxLatencyMilliseconds": "20",
            "whenInconclusive": "Proceed",
        }
    ) == Budget(Decimal("1.50"), 5_000_000, Decimal(20), "Proceed")


@pytest.mark.parametrize(
    "budget",
    [
        {"maxAccuracyDrop": "1"},
        {"maxAccuracyDropPercent": "one"},
        {"maxAccuracyDropPercent": "101"},
        {"maxAccuracyDropPercent": "NaN"},
        {"maxSizeBytes": "many"},
        {"maxSizeBytes": 0},
        {"maxSizeBytes": True},
        {"maxLatencyMilliseconds": "-1"},
        {"whenInconclusive": "Maybe"},
    ],
)
def test_a_budget_that_is_none_is_refused_by_the_name_of_its_key(budget: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(budget))):
        parse_budget(budget)
