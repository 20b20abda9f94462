"""Accuracy: is the candidate wrong more often than stable, by the labels that applications send back?

Compared are independent samples, with Newcombe's interval: the candidate's since the wave began, and stable's on the
same nodes before, or, where those have too few labels, stable's on all nodes of the variant, before and since.

It is looked at again and again, so the level is shared out among the looks: the j-th doubling of the labels gets
``6 / (pi^2 j^2)`` of it, which sums up to one. Looks within one doubling share most of their labels; what they add is
not reckoned but simulated, in a test: it stays below the level.
"""

from math import floor, log2, pi
from statistics import NormalDist

from edge_operator.decide.analysis.evidence import BETA, Evidence, Judged, on_nodes, percent
from edge_operator.decide.analysis.shares import merge, reporting, served, without_requests
from edge_operator.decide.samples import Counts
from edge_statistics.newcombe import newcombe_interval
from edgemodel import reasons
from edgemodel.analysis import AccuracyRule
from edgemodel.verdict import Verdict

FEWEST_LABELS = 30
"""On each side; nothing is judged on fewer."""


def judge_accuracy(name: str, rule: AccuracyRule, evidence: Evidence) -> Judged:
    candidate = merge(evidence.trial)
    stable = _stable(evidence)
    labels, before = _labels(candidate), _labels(stable)

    def undecided(message: str, reason: str = reasons.ANALYSIS_INCONCLUSIVE, waits: bool = True) -> Judged:
        return Judged(name, evidence.variant, Verdict.INCONCLUSIVE, "", "", labels, message, reason, waits)

    if evidence.is_first:
        message = "a first revision: there is nothing to compare it with"
        return undecided(message, reasons.NO_BASELINE, waits=False)
    if not any(map(served, evidence.trial)) and not labels:
        return without_requests(name, evidence)
    if labels < FEWEST_LABELS:
        return undecided(f"{labels} labels came back for the candidate, at least {FEWEST_LABELS} are needed")
    if before < FEWEST_LABELS:
        return undecided(f"{before} labels came back for stable, at least {FEWEST_LABELS} are needed to compare")
    interval = newcombe_interval(stable.right, before, candidate.right, labels, _z(evidence.alpha, labels))
    passing = newcombe_interval(stable.right, before, candidate.right, labels, _z(BETA, labels))
    drop = stable.right / before - candidate.right / labels
    verdict = Verdict.INCONCLUSIVE
    if interval.lower > rule.max_drop:
        verdict = Verdict.FAIL
    elif passing.upper <= rule.max_drop and evidence.quorum:
        verdict = Verdict.PASS
    observed, limit = percent(drop), percent(rule.max_drop)
    nodes = sum(1 for counts in evidence.trial if _labels(counts))
    message = (
        f"accuracy drops {observed} %, limit {limit} % ({percent(candidate.right / labels)} % of {labels} labels "
        f"{on_nodes(nodes)}, stable had {percent(stable.right / before)} % of {before}; "
        f"interval {percent(interval.lower)} to {percent(passing.upper)} %)"
    )
    unsure, why = reasons.ANALYSIS_INCONCLUSIVE, "; not enough labels to decide"
    if not evidence.quorum:
        unsure, why = reasons.METRICS_UNAVAILABLE, f"; {reporting(evidence)}"
    reason = {Verdict.FAIL: reasons.ACCURACY_TOO_LOW, Verdict.INCONCLUSIVE: unsure}
    return Judged(
        name,
        evidence.variant,
        verdict,
        observed,
        limit,
        labels,
        message + ("" if verdict is not Verdict.INCONCLUSIVE else why),
        reason.get(verdict, ""),
        waits=verdict is Verdict.INCONCLUSIVE,
    )


def _stable(evidence: Evidence) -> Counts:
    """On the nodes on trial themselves where they have enough labels: some cameras see harder pictures than others."""
    on_trial = {counts.node for counts in evidence.trial if _labels(counts)}
    own = merge([counts for counts in evidence.baseline if counts.node in on_trial])
    return own if _labels(own) >= FEWEST_LABELS else merge((*evidence.baseline, *evidence.control))


def _labels(counts: Counts) -> int:
    return counts.right + counts.wrong


def _z(level: float, labels: int) -> float:
    look = 1 + floor(log2(labels / FEWEST_LABELS))
    return NormalDist().inv_cdf(1 - level * 6 / (pi * look) ** 2)
