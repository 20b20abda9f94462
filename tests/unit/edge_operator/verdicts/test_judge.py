"""All checks together: combined, fixed for a wave, and reported; and the data that do not count."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from edge_cli.status import describe
from edge_operator.decide.analysis import WaveBaseline, report
from edge_operator.decide.analysis.evidence import ALPHA
from edge_operator.decide.analysis.limits import Before
from edge_operator.decide.analysis.share_test import REQUESTS, Measure
from edge_operator.decide.analysis.share_test.before_switch import BeforeSwitch
from edge_operator.decide.measurement import Baseline, Samples
from edgemodel import metrics, reasons
from edgemodel.analysis import Analysis, parse_analysis
from edgemodel.plain import from_api, to_api
from edgemodel.status import CheckStatus, EdgeModelStatus, StoredAnalysis
from edgemodel.verdict import Verdict
from tests.support.verdicts import BEGAN, CANDIDATE, NOW, analysis_of, counts, golden, judged, judgement

ROOT = Path(__file__).resolve().parents[4]
ERRORS = {"name": "errors", "type": "ErrorRate"}
LATENCY = {"name": "latency", "type": "Latency"}
GOLDEN = {"name": "golden", "type": "GoldenAgreement"}
THREE = analysis_of(ERRORS, LATENCY, GOLDEN)
BEFORE = (counts(total=2000),)


def test_one_failed_check_fails_the_candidate_whatever_the_others_decide() -> None:
    found = judgement(THREE, (counts(total=600, errors=60),), BEFORE, golden=(golden(),))
    assert found.failed is not None
    assert found.failed.name == "errors"


def test_when_all_pass_nothing_is_waited_for() -> None:
    found = judgement(THREE, (counts(total=600),), BEFORE, golden=(golden(),))
    assert [item.verdict for item in found.judged] == [Verdict.PASS] * 3
    assert not found.waiting


def test_each_variant_has_a_verdict_of_its_own() -> None:
    nodes = {"camera-1": "default", "pi-1": "pi"}
    before = (counts("camera-1", 2000), counts("pi-1", 2000))
    trial = (counts("camera-1", 5000), counts("pi-1", 600, errors=60))
    found = judgement(analysis_of(ERRORS), trial, before, nodes=nodes, golden=())
    assert {item.variant: item.verdict for item in found.judged} == {"default": Verdict.PASS, "pi": Verdict.FAIL}
    assert found.failed is not None
    assert found.failed.variant == "pi"


def test_the_level_is_shared_out_among_checks_and_variants_that_can_fail_by_chance() -> None:
    assert WaveBaseline.begin(THREE, 1, NOW).alpha == pytest.approx(ALPHA / 2)
    assert WaveBaseline.begin(THREE, 3, NOW).alpha == pytest.approx(ALPHA / 6)
    assert WaveBaseline.begin(analysis_of(GOLDEN), 1, NOW).alpha == ALPHA


def test_numbers_of_nodes_that_are_not_ours_count_for_nothing() -> None:
    trial = (counts("camera-1", 600), counts("stranger", 600, errors=600))
    found = judgement(analysis_of(ERRORS), trial, BEFORE, nodes={"camera-1": "default"}, on_trial=("camera-1",))
    assert found.failed is None


def test_numbers_of_a_node_whose_server_is_not_ready_count_for_nothing() -> None:
    trial = (counts("camera-1", 600), counts("camera-2", 600, errors=600))
    assert judgement(analysis_of(ERRORS), trial, BEFORE, on_trial=("camera-1",)).failed is None


def test_a_node_whose_numbers_contradict_themselves_counts_as_not_reporting() -> None:
    trial = (counts("camera-1", 600, errors=600),)
    found = judgement(analysis_of(ERRORS), trial, BEFORE, contradictory={"camera-1": "a counter is nan"})
    (errors,) = found.judged
    assert errors.verdict is Verdict.INCONCLUSIVE
    assert errors.reason == reasons.METRICS_UNAVAILABLE


def test_samples_of_another_wave_are_not_judged_by() -> None:
    wave_baseline = WaveBaseline.begin(THREE, 1, BEGAN + timedelta(seconds=30))
    before = judgement(THREE, (counts(total=600, errors=600),), BEFORE)
    assert before.failed is not None
    other = WaveBaseline.begin(THREE, 1, BEGAN)
    found = judgement(THREE, (counts(total=600, errors=600),), BEFORE, wave_baseline=other)
    assert found.failed is not None
    assert wave_baseline.since != other.since
    assert not _judged_with(THREE, other, wave_baseline).measured


def _judged_with(analysis: Analysis, measured: WaveBaseline, now: WaveBaseline) -> Any:
    from edge_operator.decide.analysis import OnTrial, judge

    samples = Samples(NOW, CANDIDATE, measured.since, trial=(counts(total=600, errors=600),), baseline=Baseline(BEFORE))
    nodes = (OnTrial("camera-1", "default", BEGAN),)
    return judge(analysis, samples, now, CANDIDATE, nodes, {"camera-1": "default"}, False, NOW)


def test_before_anything_was_measured_nothing_is_judged() -> None:
    from edge_operator.decide.analysis import OnTrial, judge

    nodes = (OnTrial("camera-1", "default", BEGAN),)
    wave_baseline = WaveBaseline.begin(THREE, 1, BEGAN)
    assert not judge(THREE, None, wave_baseline, CANDIDATE, nodes, {"camera-1": "default"}, False, NOW).measured


def test_without_checks_there_is_nothing_to_wait_for() -> None:
    found = judgement(parse_analysis({"checks": []}), (counts(total=1, errors=1),), BEFORE)
    assert found.measured
    assert not found.judged


@pytest.mark.parametrize(("minutes", "unreachable"), [(0.5, False), (2, True)])
def test_the_last_measurement_holds_for_a_minute_without_prometheus(minutes: float, unreachable: bool) -> None:
    found = judgement(
        THREE,
        (counts(total=600),),
        BEFORE,
        golden=(golden(),),
        now=NOW + timedelta(minutes=minutes),
        problem="connection refused",
    )
    assert bool(found.waiting) is unreachable
    if unreachable:
        assert {item.reason for item in found.waiting} == {reasons.METRICS_UNAVAILABLE}
        assert "connection refused" in found.waiting[0].message


def test_an_old_failed_measurement_no_longer_rolls_back() -> None:
    found = judgement(THREE, (counts(total=600, errors=60),), BEFORE, now=NOW + timedelta(minutes=2))
    assert found.failed is None


# --- the baseline of a wave ---


def test_the_first_pooled_limits_hold_for_the_wave() -> None:
    """Prometheus lost its data, so the baseline from the wave's beginning is used."""
    first = judgement(analysis_of(ERRORS), (counts(total=10),), (counts(total=2000, errors=100),))
    wave_baseline = WaveBaseline.begin(analysis_of(ERRORS), 1, BEGAN).with_baselines(first.judged)
    later = judgement(analysis_of(ERRORS), (counts(total=2000, errors=100),), (), wave_baseline=wave_baseline)
    assert later.failed is None
    without = judgement(analysis_of(ERRORS), (counts(total=2000, errors=100),), ())
    assert without.failed is not None


def test_frozen_parameters_survive_status_and_are_dropped_when_the_checks_change() -> None:
    first = judgement(THREE, (counts(total=600),), BEFORE)
    wave_baseline = WaveBaseline.begin(THREE, 1, BEGAN).with_baselines(first.judged)
    stored = from_api(StoredAnalysis, to_api(wave_baseline.stored()))
    assert stored == wave_baseline.stored()
    again = WaveBaseline.of(stored, THREE)
    assert again is not None
    assert again.stored() == stored
    assert again.since == BEGAN
    assert {key[2] for key in again.baselines} == {"failed", "refused", "slowdown"}
    assert WaveBaseline.of(stored, analysis_of(ERRORS)) is None
    assert WaveBaseline.of(None, THREE) is None


def test_what_is_frozen_does_not_move_with_later_data() -> None:
    early = judgement(analysis_of(ERRORS), (counts(total=10),), (counts(total=2000),))
    wave_baseline = WaveBaseline.begin(analysis_of(ERRORS), 1, BEGAN).with_baselines(early.judged)
    late = judgement(analysis_of(ERRORS), (counts(total=10),), (counts(total=2000, errors=500),))
    assert wave_baseline.with_baselines(late.judged).baselines == wave_baseline.baselines


# --- reported ---


def test_an_entry_is_rewritten_only_when_its_verdict_changes_or_its_evidence_doubles() -> None:
    analysis = analysis_of(ERRORS)
    status: tuple[CheckStatus, ...] = ()
    written = []
    for total in range(0, 1200, 10):
        found = report(status, judgement(analysis, (counts(total=total),), BEFORE, golden=(golden(),)), CANDIDATE)
        if found.checks != status:
            written.append(total)
            status = found.checks
        assert [item.message for item in found.judgement.judged] == [check.message for check in status]
    assert written == [0, 10, 20, 40, 80, 160, 280, 560, 1120]


def test_the_evidence_of_an_entry_is_that_of_its_last_write() -> None:
    """Metrics have it live; status is written when its meaning changes."""

    def entry(before: Sequence[CheckStatus], total: int) -> CheckStatus:
        (check,) = report(before, judgement(analysis_of(ERRORS), (counts(total=total),), BEFORE), CANDIDATE).checks
        return check

    first = entry([], 100)
    same, doubled = entry([first], 190), entry([first], 200)
    assert same == first
    assert (first.requests_to_decide or 0) - (doubled.requests_to_decide or 0) == pytest.approx(100, abs=2)
    assert first.evidence != doubled.evidence
    assert float(first.detectable_percent or 0) > float(doubled.detectable_percent or 0) > 1


def test_an_entry_has_the_evidence_of_both_measures_with_its_limits() -> None:
    found = judgement(analysis_of(ERRORS), (counts(total=600),), BEFORE)
    (check,) = report([], found, CANDIDATE).checks
    (judged,) = found.judged
    assert [(item.measure, item.hypothesis) for item in check.evidence] == [
        (measure, hypothesis)
        for measure in ("failed", "refused")
        for hypothesis in ("Worse", "AboveLimit", "BelowLimit")
    ]
    told = {
        (item.measure, item.hypothesis, ratio.alternative): float(ratio.log_likelihood_ratio)
        for item in check.evidence
        for ratio in item.ratios
    }
    for result in judged.results:
        for hypothesis in result.hypotheses:
            for multiple, ratio in hypothesis.ratios.items():
                assert told[result.measure, hypothesis.name, f"{multiple:g}"] == pytest.approx(ratio, abs=5e-4)
    assert len(told) == 2 * (4 + 2 + 2)
    assert from_api(CheckStatus, to_api(check)) == check


def test_a_number_that_is_not_known_is_left_out() -> None:
    """A share at the limit takes no number of requests; with a handful, no increase would be found."""
    (near,) = report([], judgement(analysis_of(ERRORS), (counts(total=4000, errors=44),), BEFORE), CANDIDATE).checks
    assert near.requests_to_decide is None
    (few,) = report([], judgement(analysis_of(ERRORS), (counts(total=1),), BEFORE), CANDIDATE).checks
    assert few.detectable_percent is None
    assert "would find no increase by now" in few.message
    assert not {"requestsToDecide", "detectablePercent"} & (to_api(near).keys() & to_api(few).keys())


def test_the_example_of_the_documentation_is_what_the_command_shows() -> None:
    before = tuple(counts(f"camera-{number}", 2000, 8) for number in range(1, 11))
    trial, control = (
        tuple(counts(f"camera-{number}", 80, int(number == numbers[0])) for number in numbers)
        for numbers in (range(1, 4), range(4, 11))
    )
    (check,) = report([], judgement(analysis_of(ERRORS), trial, before, control), CANDIDATE).checks
    shown = describe({"metadata": {"namespace": "n", "name": "m"}, "status": {"checks": [to_api(check)]}}, wide=True)
    lines = [line.strip() for line in shown.splitlines() if line.startswith("    errors  default  ")]
    told = [line for line in lines if "failed  " in line or "finds" in line]
    assert len(told) == 4
    text = (ROOT / "docs" / "verdicts.md").read_text()
    assert [line for line in told if line not in text] == []


def test_a_check_that_is_no_test_of_shares_has_no_evidence() -> None:
    (check,) = report([], judgement(analysis_of(GOLDEN), golden=(golden(),)), CANDIDATE).checks
    assert not {"evidence", "detectablePercent", "requestsToDecide"} & to_api(check).keys()


def test_entries_stay_while_nothing_is_measured_and_go_with_their_revision() -> None:
    found = report([], judgement(analysis_of(ERRORS), (counts(total=600),), BEFORE), CANDIDATE)
    status = EdgeModelStatus(checks=(CheckStatus("maxSizeBytes", Verdict.PASS, "", "", 0, ""), *found.checks))
    none = judgement(analysis_of(ERRORS), measured_at=NOW, wave_baseline=WaveBaseline.begin(THREE, 1, BEGAN))
    assert report(status.checks_of(CANDIDATE), _not_measured(none), CANDIDATE).checks == found.checks
    assert report(status.checks_of("m-other"), _not_measured(none), "m-other").checks == ()


def _not_measured(found: Any) -> Any:
    from dataclasses import replace

    return replace(found, judged=(), measured=False)


def test_an_entry_says_verdict_observed_limit_n_and_when() -> None:
    (check,) = report([], judgement(analysis_of(ERRORS), (counts(total=600),), BEFORE), CANDIDATE).checks
    written = to_api(check)
    assert len(written.pop("evidence")) == 6
    assert written == {
        "name": "errors",
        "variant": "default",
        "revision": CANDIDATE,
        "verdict": "Pass",
        "observed": "0",
        "limit": "1.03",
        "sampleCount": 600,
        "measuredAt": "2026-01-01T12:10:00Z",
        "message": "0 % of requests failed, limit 1.03 % (n = 600 on 1 node; 0.0326 % expected, half again as many as "
        "before: no node on stable shows a drift); would find an increase of 2.28 points by now; one of 1 points is "
        "ruled out, a smaller one is not",
        "detectablePercent": "2.28",
        "requestsToDecide": 0,
    }


def test_what_is_kept_of_the_time_before_is_that_of_its_check() -> None:
    """Checks that differ in their limits, in their names alone or in their kinds judge the same samples, in turns."""
    latency = {"type": "Latency", "latency": {"objectiveMilliseconds": 50}}
    checks = [
        {"name": "errors", "type": "ErrorRate"},
        {"name": "errors", "type": "ErrorRate", "errorRate": {"maxIncreasePercent": "3"}},
        {"name": "errors", **latency},
        {"name": "slow", **latency},
        {"name": "slow", "type": "Latency", "latency": {"objectiveMilliseconds": 20}},
        {"name": "slow", "type": "Latency", "latency": {"maxSlowdownPercent": "50"}},
        {"name": "slow", "type": "Latency"},
    ]
    before = Baseline(counts(f"camera-{number}", 900, 4, slow=number) for number in range(1, 6))
    trial, control = (
        tuple(counts(f"camera-{number}", 400, 3, slow=9) for number in numbers) for numbers in ((1, 2), (3, 4, 5))
    )
    for check in (*checks, *reversed(checks)):
        kept, anew = (judged(analysis_of(check), trial, given, control) for given in (before, Baseline(before)))
        assert kept == anew


def test_two_checks_with_a_measure_of_the_same_name_keep_their_own() -> None:
    before = Baseline([counts("camera-1", 900, 4, refused=7)])

    def measure(outcome: str) -> Measure:
        return Measure(
            key="bad",
            settings=(1.0,),
            words="were bad",
            bad=lambda found, _: REQUESTS.of(found, outcome),
            total=REQUESTS.total,
            before=lambda found: Before(REQUESTS.of(found, outcome), REQUESTS.total(found), 0.01),
            minutes=lambda *_: None,
            without_baseline=None,
        )

    failed, refused = (
        BeforeSwitch.of(name, before, measure(outcome)).nodes["camera-1"].bad
        for name, outcome in (("first", metrics.SERVER_ERROR), ("second", metrics.REFUSED))
    )
    assert (failed, refused) == (4, 7)
