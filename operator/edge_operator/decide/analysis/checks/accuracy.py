"""The check Accuracy compares the accuracy of candidate and stable, on labels that applications send back.

It compares independent samples with Newcombe's interval: the candidate's since the wave began, and stable's on the
same nodes before it. If those nodes have too few labels, it uses stable's labels on all nodes of the variant, before
and since.

The check is evaluated repeatedly, so the significance level is divided among the looks: the j-th doubling of the
labels gets ``6 / (pi^2 j^2)`` of it, and these shares sum to one. Looks within one doubling share most of their labels;
a simulation in a test verifies that they keep the total below the level.
"""

from dataclasses import dataclass
from math import floor, log2, pi
from statistics import NormalDist

from edge_operator.decide.analysis.check_type import CheckType
from edge_operator.decide.analysis.evidence import BETA, Evidence, Judged, on_nodes, percent
from edge_operator.decide.analysis.share_test import READ, reporting, served, without_requests
from edge_operator.decide.measurement import Counter, Counts, merge
from edge_statistics.newcombe import newcombe_interval
from edgemodel import metrics, reasons
from edgemodel.reasons import REASONS
from edgemodel.setting_kinds import Amount, Settings
from edgemodel.verdict import Verdict

FEEDBACK = Counter(metrics.FEEDBACK_TOTAL, "correct", metrics.FEEDBACK_RESULTS)
MIN_LABELS = 30
"""The minimum number of labels on each side; with fewer the check is Inconclusive."""


@dataclass(frozen=True)
class AccuracyRule:
    """The rule of the check Accuracy."""

    max_drop: float = 0.02
    """The allowed drop as a share: 0.02 is two percentage points."""


def parse(settings: Settings) -> AccuracyRule:
    """Returns the rule for ``accuracy`` settings, which are complete."""
    return AccuracyRule(float(settings["maxDropPercent"]) / 100)


def judge(name: str, rule: AccuracyRule, evidence: Evidence) -> Judged:
    """Returns the verdict on the drop in accuracy; Inconclusive with fewer than MIN_LABELS labels on either side."""
    candidate, stable = merge(evidence.trial), _stable(evidence)
    labels, before = FEEDBACK.total(candidate), FEEDBACK.total(stable)
    right, right_before = (FEEDBACK.of(counts, metrics.FEEDBACK_RIGHT) for counts in (candidate, stable))

    def undecided(message: str, reason: str = reasons.ANALYSIS_INCONCLUSIVE, waits: bool = True) -> Judged:
        return evidence.undecided(name, message, reason, waits=waits, sample_count=labels)

    if evidence.is_first:
        message = "a first revision: there is nothing to compare it with"
        return undecided(message, reasons.NO_BASELINE, waits=False)
    if not any(map(served, evidence.trial)) and not labels:
        return without_requests(name, evidence)
    if labels < MIN_LABELS:
        return undecided(f"{labels} labels came back for the candidate, at least {MIN_LABELS} are needed")
    if before < MIN_LABELS:
        return undecided(f"{before} labels came back for stable, at least {MIN_LABELS} are needed to compare")
    interval = newcombe_interval(right_before, before, right, labels, _z(evidence.alpha, labels))
    passing = newcombe_interval(right_before, before, right, labels, _z(BETA, labels))
    drop = right_before / before - right / labels
    verdict, reason, why = Verdict.INCONCLUSIVE, reasons.ANALYSIS_INCONCLUSIVE, "; not enough labels to decide"
    if interval.lower > rule.max_drop:
        verdict, reason, why = Verdict.FAIL, "", ""
    elif not evidence.quorum:
        reason, why = reasons.METRICS_UNAVAILABLE, f"; {reporting(evidence)}"
    elif passing.upper <= rule.max_drop:
        verdict, reason, why = Verdict.PASS, "", ""
    observed, limit = percent(drop), percent(rule.max_drop)
    nodes = sum(1 for counts in evidence.trial if FEEDBACK.total(counts))
    return Judged(
        name=name,
        variant=evidence.variant,
        verdict=verdict,
        observed=observed,
        limit=limit,
        sample_count=labels,
        message=(
            f"accuracy drops {observed} %, limit {limit} % ({percent(right / labels)} % of {labels} labels "
            f"{on_nodes(nodes)}, stable had {percent(right_before / before)} % of {before}; "
            f"interval {percent(interval.lower)} to {percent(passing.upper)} %){why}"
        ),
        reason=reason,
        waits=verdict is Verdict.INCONCLUSIVE,
    )


def _stable(evidence: Evidence) -> Counts:
    """Returns stable's samples on the nodes on trial themselves where these have enough labels, otherwise on all nodes.

    The same nodes are preferred because some cameras see harder pictures than others.
    """
    on_trial = {counts.node for counts in evidence.trial if FEEDBACK.total(counts)}
    own = merge([counts for counts in evidence.baseline if counts.node in on_trial])
    return own if FEEDBACK.total(own) >= MIN_LABELS else merge((*evidence.baseline, *evidence.control))


def _z(level: float, labels: int) -> float:
    look = 1 + floor(log2(labels / MIN_LABELS))
    return NormalDist().inv_cdf(1 - level * 6 / (pi * look) ** 2)


CHECK = CheckType(
    type="Accuracy",
    doc="The accuracy of predictions, from labels that applications send back.",
    settings={
        "maxDropPercent": Amount(
            "Maximum drop in accuracy of the candidate compared with stable, on labelled predictions, in percentage "
            "points; a decimal string from 0 to 100. Default: 2.",
            unit="percentage points",
            example="2.0",
            default="2",
        )
    },
    parse=parse,
    judge=judge,
    fails_with=REASONS[reasons.ACCURACY_TOO_LOW],
    series=(*READ, FEEDBACK),
    statistical=True,
)
