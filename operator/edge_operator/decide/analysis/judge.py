"""All checks of all variants together: from samples to one judgement of the candidate.

Measuring, judging one check, combining checks and moving stay apart: here is the second and the third. One check that
fails condemns the candidate; a wave passes when nothing is left to wait for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from edge_operator.decide.analysis.accuracy import judge_accuracy
from edge_operator.decide.analysis.error_rate import judge_error_rate
from edge_operator.decide.analysis.evidence import Evidence, Judged
from edge_operator.decide.analysis.golden_agreement import judge_golden_agreement
from edge_operator.decide.analysis.latency import judge_latency
from edge_operator.decide.analysis.promql import judge_promql
from edge_operator.decide.analysis.wave_baseline import WaveBaseline
from edge_operator.decide.samples import Counts, Samples
from edgemodel import reasons
from edgemodel.analysis import AccuracyRule, Analysis, AnalysisCheck, ErrorRateRule, GoldenAgreementRule, LatencyRule
from edgemodel.verdict import Verdict

PATIENCE = timedelta(seconds=60)
"""For so long at least, and for three intervals, what was last measured holds when Prometheus does not answer."""


@dataclass(frozen=True)
class OnTrial:
    """A node whose server of the candidate is ready."""

    node: str
    variant: str
    since: datetime


@dataclass(frozen=True)
class Judgement:
    """``judged`` is empty where there are no checks, and before anything was measured (``measured`` False)."""

    judged: tuple[Judged, ...] = ()
    measured: bool = True
    measured_at: datetime | None = None
    since: datetime | None = None
    """When the measuring of the wave began."""
    reaches: datetime | None = None
    """Up to when half of the nodes have been counted; None where fewer report. Remote writes come late."""

    @property
    def failed(self) -> Judged | None:
        return next((item for item in self.judged if item.verdict is Verdict.FAIL), None)

    @property
    def waiting(self) -> tuple[Judged, ...]:
        return tuple(item for item in self.judged if item.waits)


NOTHING_TO_JUDGE = Judgement()
NOT_MEASURED = Judgement(measured=False)


def judge(
    analysis: Analysis,
    samples: Samples | None,
    wave_baseline: WaveBaseline | None,
    candidate: str,
    nodes: tuple[OnTrial, ...],
    variants: Mapping[str, str],
    is_first: bool,
    now: datetime,
) -> Judgement:
    """``variants``: node -> variant, of every placed node: samples of other nodes count for nothing."""
    if not analysis.checks:
        return NOTHING_TO_JUDGE
    if samples is None or wave_baseline is None or not nodes:
        return NOT_MEASURED
    if (samples.candidate, samples.since) != (candidate, wave_baseline.since):
        return NOT_MEASURED
    if now - samples.measured_at > max(PATIENCE, 3 * analysis.interval):
        return Judgement(_unreachable(analysis, samples, nodes), True, samples.measured_at, wave_baseline.since)
    judged: list[Judged] = []
    for variant in sorted({item.variant for item in nodes}):
        evidence = _evidence(variant, samples, wave_baseline, nodes, variants, is_first)
        judged += [_judge_one(check, evidence) for check in analysis.checks if not _is_query(check)]
    whole = _evidence("", samples, wave_baseline, nodes, variants, is_first)
    judged += [_judge_one(check, whole) for check in analysis.checks if _is_query(check)]
    return Judgement(tuple(judged), True, samples.measured_at, wave_baseline.since, _reach(samples, nodes))


def _reach(samples: Samples, nodes: tuple[OnTrial, ...]) -> datetime | None:
    trusted = samples.reporting.keys() - samples.contradictory
    newest = [samples.reporting[item.node] for item in nodes if item.node in trusted]
    half = (len(nodes) + 1) // 2
    return sorted(newest, reverse=True)[half - 1] if len(newest) >= half else None


def _judge_one(check: AnalysisCheck, evidence: Evidence) -> Judged:
    rule = check.rule
    match rule:
        case ErrorRateRule():
            return judge_error_rate(check.name, rule, evidence)
        case LatencyRule():
            return judge_latency(check.name, rule, evidence)
        case GoldenAgreementRule():
            return judge_golden_agreement(check.name, rule, evidence)
        case AccuracyRule():
            return judge_accuracy(check.name, rule, evidence)
    return judge_promql(check.name, rule, evidence)


def _is_query(check: AnalysisCheck) -> bool:
    """A query is about the whole EdgeModel; everything else is judged for each variant."""
    return not isinstance(check.rule, ErrorRateRule | LatencyRule | GoldenAgreementRule | AccuracyRule)


def _evidence(
    variant: str,
    samples: Samples,
    wave_baseline: WaveBaseline,
    nodes: tuple[OnTrial, ...],
    variants: Mapping[str, str],
    is_first: bool,
) -> Evidence:
    on_trial = {item.node: max(item.since, wave_baseline.since) for item in nodes if item.variant == variant}

    def mine(counts: tuple[Counts, ...]) -> tuple[Counts, ...]:
        return tuple(c for c in counts if variants.get(c.node) == variant and c.node not in samples.contradictory)

    reporting = {node for node in samples.reporting if node in on_trial and node not in samples.contradictory}
    return Evidence(
        variant=variant,
        nodes=on_trial,
        measured_at=samples.measured_at,
        trial=tuple(counts for counts in mine(samples.trial) if counts.node in on_trial),
        control=tuple(counts for counts in mine(samples.control) if counts.node not in on_trial),
        baseline=mine(samples.baseline),
        reporting=frozenset(reporting),
        golden=samples.golden,
        answers=samples.answers,
        contradictory={node: why for node, why in samples.contradictory.items() if node in on_trial},
        alpha=wave_baseline.alpha,
        is_first=is_first,
        wave_baseline=wave_baseline.of_variant(variant),
    )


def _unreachable(analysis: Analysis, samples: Samples, nodes: tuple[OnTrial, ...]) -> tuple[Judged, ...]:
    message = f"Prometheus does not answer: {samples.problem or 'nothing was measured for a while'}"
    return tuple(
        Judged(check.name, variant, Verdict.INCONCLUSIVE, "", "", 0, message, reasons.METRICS_UNAVAILABLE, waits=True)
        for check in analysis.checks
        for variant in ([""] if _is_query(check) else sorted({item.variant for item in nodes}))
    )
