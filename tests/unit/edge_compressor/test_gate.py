from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from edge_compressor.gate import (
    Measurements,
    OwnAnswers,
    PairedAnswers,
    PairedScores,
    WorstOutput,
    judge,
    judge_accuracy,
    judge_floor,
    samples_for_floor,
    samples_to_decide,
)
from edge_statistics.interval import Interval
from edgemodel import reasons
from edgemodel.budget import Budget, parse_budget
from edgemodel.verdict import Verdict


def answers(samples: int, lost: int, won: int) -> PairedAnswers:
    """Returns answers in which only the source is right for ``lost`` samples, and only the artifact for ``won``."""
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


def test_a_fail_outweighs_an_inconclusive_and_all_checks_are_reported() -> None:
    budget = Budget(max_accuracy_drop_percent=Decimal("0.2"), max_size_bytes=999, on_inconclusive="Proceed")
    decision = judge(MEASURED, budget)
    assert decision.reason == reasons.BUDGET_EXCEEDED
    assert [check.verdict for check in decision.checks] == [Verdict.INCONCLUSIVE, Verdict.FAIL]
    assert decision.message == "size 1000 bytes, limit 999 bytes"


def test_an_undecided_limit_stalls_unless_the_budget_says_proceed() -> None:
    budget = Budget(max_accuracy_drop_percent=Decimal("0.2"))
    assert judge(MEASURED, budget).reason == reasons.EVALUATION_INCONCLUSIVE
    proceeding = judge(MEASURED, replace(budget, on_inconclusive="Proceed"))
    assert proceeding.reason is None
    assert proceeding.checks[0].verdict is Verdict.INCONCLUSIVE


def test_no_budget_judges_nothing() -> None:
    decision = judge(MEASURED, parse_budget({}))
    assert (decision.reason, decision.checks) == (None, ())


def test_a_budget_is_read_as_in_the_manifest() -> None:
    assert parse_budget(
        {
            "maxAccuracyDropPercent": "1.50",
            "minAccuracyPercent": "90",
            "maxRelativeErrorPercent": "25.5",
            "maxSizeBytes": 5_000_000,
            "maxLatencyMilliseconds": "20",
            "onInconclusive": {"action": "Proceed"},
        }
    ) == Budget(Decimal("1.50"), Decimal(90), Decimal("25.5"), 5_000_000, Decimal(20), "Proceed")


@pytest.mark.parametrize(
    "budget",
    [
        {"maxAccuracyDrop": "1"},
        {"maxAccuracyDropPercent": "one"},
        {"maxAccuracyDropPercent": "101"},
        {"maxAccuracyDropPercent": "NaN"},
        {"minAccuracyPercent": "-5"},
        {"maxSizeBytes": "many"},
        {"maxSizeBytes": 0},
        {"maxSizeBytes": True},
        {"maxLatencyMilliseconds": "-1"},
        {"onInconclusive": {"action": "Maybe"}},
        {"onInconclusive": "Proceed"},
        {"onInconclusive": {"afterSeconds": 60}},
    ],
)
def test_an_invalid_budget_is_refused_with_the_name_of_its_key(budget: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(budget))):
        parse_budget(budget)


# --- a lower limit on the artifact's own score ---


def floor(samples: int, right: int, percent: str) -> Any:
    return judge_floor(replace(MEASURED, answers=None, own=OwnAnswers(samples, right)), Decimal(percent))


def test_a_floor_below_the_interval_passes() -> None:
    check = floor(1000, 950, "93")
    assert check.verdict is Verdict.PASS
    assert check.message == "accuracy is 95.0 %, floor 93 % (90 % interval 93.7 to 96.0 %, n = 1000)"


def test_a_floor_above_the_interval_fails() -> None:
    check = floor(1000, 950, "97")
    assert (check.verdict, check.observed, check.limit) == (Verdict.FAIL, "95.0", "97")


def test_a_floor_inside_the_interval_is_inconclusive_and_says_how_many_samples_would_decide() -> None:
    check = floor(200, 190, "93")
    assert check.verdict is Verdict.INCONCLUSIVE
    enough = samples_for_floor(OwnAnswers(200, 190), 0.93)
    assert enough is not None
    assert "samples would decide" in check.message
    assert floor(enough * 2, round(enough * 1.9), "93").verdict is Verdict.PASS
    assert floor(enough // 2, round(enough // 2 * 0.95), "93").verdict is Verdict.INCONCLUSIVE


def test_no_number_of_samples_decides_an_accuracy_that_is_the_floor() -> None:
    assert "no number of samples decides at this accuracy" in floor(100, 90, "90").message


def test_a_paired_comparison_gives_the_artifacts_own_score() -> None:
    check = judge_floor(MEASURED, Decimal(99))
    assert (check.verdict, check.observed) == (Verdict.PASS, "99.5")  # 1990 of 2000


def test_a_floor_without_labels_is_inconclusive_never_passed() -> None:
    assert judge_floor(replace(MEASURED, answers=None), Decimal(1)).verdict is Verdict.INCONCLUSIVE


def test_the_message_for_an_incomparable_source_names_the_lower_limit() -> None:
    check = judge_accuracy(replace(MEASURED, answers=None, own=OwnAnswers(100, 90)), Decimal(1))
    assert check.verdict is Verdict.INCONCLUSIVE
    assert "set minAccuracyPercent instead" in check.message


# --- scores that are not counts of right answers ---

SCORED = PairedScores(100, 0.80, 0.79, Interval(-0.01, 0.03), Interval(0.75, 0.83))


def scored(limit: str) -> Any:
    return judge_accuracy(replace(MEASURED, answers=SCORED, metric="mAP at IoU 0.5"), Decimal(limit))


def test_a_score_is_judged_by_its_own_interval_and_called_by_its_name() -> None:
    check = scored("3")
    assert check.verdict is Verdict.PASS
    assert check.message == "mAP at IoU 0.5 drops 1.0 %, limit 3 % (90 % interval -1.0 to 3.0 %, n = 100)"
    assert scored("2").verdict is Verdict.INCONCLUSIVE


def test_an_interval_twice_as_narrow_takes_four_times_the_samples() -> None:
    assert samples_to_decide(SCORED, 0.02) == pytest.approx(400, abs=1)
    assert samples_to_decide(SCORED, 0.01) is None


def test_the_floor_of_a_score_is_judged_by_the_interval_of_the_artifact() -> None:
    measured = replace(MEASURED, answers=SCORED)
    verdicts = [judge_floor(measured, Decimal(percent)).verdict for percent in ("75", "80", "84")]
    assert verdicts == [Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.FAIL]


def worst(percent: float) -> WorstOutput:
    return WorstOutput("y", percent, 64, "calibration set")


@pytest.mark.parametrize(
    ("percent", "budget", "verdicts"),
    [
        (39.9, Budget(), [Verdict.PASS]),
        (40.1, Budget(), [Verdict.FAIL]),
        (40.1, Budget(max_relative_error_percent=Decimal(50)), [Verdict.PASS]),
        (0.2, Budget(max_relative_error_percent=Decimal("0.1")), [Verdict.FAIL]),
        (300.0, Budget(max_relative_error_percent=Decimal(300)), [Verdict.PASS]),
        (99.0, Budget(max_accuracy_drop_percent=Decimal(90)), [Verdict.PASS]),  # which labels judge
        (99.0, Budget(min_accuracy_percent=Decimal(1)), [Verdict.PASS]),
    ],
)
def test_an_artifact_far_from_its_source_fails_unless_labels_judge(
    percent: float, budget: Budget, verdicts: list[Verdict]
) -> None:
    checks = judge(replace(MEASURED, error=worst(percent)), budget).checks
    assert [check.verdict for check in checks] == verdicts


def test_the_default_limit_of_the_relative_error_is_not_for_steps_that_train_or_prune() -> None:
    trained = replace(MEASURED, error=worst(250), keeps_function=False)
    assert judge(trained, Budget()).checks == ()
    assert judge(trained, Budget(max_relative_error_percent=Decimal(30))).reason == reasons.BUDGET_EXCEEDED


def test_an_accuracy_budget_without_labels_leaves_the_limit_of_the_relative_error_in_place() -> None:
    measured = replace(MEASURED, answers=None, error=worst(99))
    assert judge(measured, Budget(max_accuracy_drop_percent=Decimal(5))).reason == reasons.BUDGET_EXCEEDED


def test_the_message_of_a_relative_error_names_output_data_and_cure() -> None:
    decision = judge(replace(MEASURED, error=worst(136.3)), Budget())
    assert decision.message.startswith(
        "output 'y' is off by 136.3 % of its spread, limit 40 % (calibration set, n = 64)"
    )
    assert "budget.maxRelativeErrorPercent" in decision.message


def test_a_limit_of_the_relative_error_that_nothing_measured_is_undecided() -> None:
    decision = judge(MEASURED, Budget(max_relative_error_percent=Decimal(30)))
    assert decision.reason == reasons.EVALUATION_INCONCLUSIVE
    assert "datasets.calibration" in decision.message
