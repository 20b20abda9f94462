"""GoldenAgreement: does the candidate answer on every node as it did where it was made?

A server that agrees on less than its artifact demands never gets ready, and is rolled back for that. This check may
demand more, and says in status what the nodes have answered.
"""

from edge_operator.decide.analysis.evidence import Evidence, Judged, on_nodes
from edge_operator.decide.analysis.shares import reporting
from edge_operator.decide.samples import GoldenCount
from edgemodel import reasons
from edgemodel.analysis import GoldenAgreementRule
from edgemodel.verdict import Verdict


def judge_golden_agreement(name: str, rule: GoldenAgreementRule, evidence: Evidence) -> Judged:
    """By the node that agrees least."""
    golden = [count for count in evidence.golden if count.node in evidence.reporting]

    def undecided(message: str, reason: str, waits: bool) -> Judged:
        return Judged(name, evidence.variant, Verdict.INCONCLUSIVE, "", "", 0, message, reason, waits)

    if not evidence.quorum:
        return undecided(reporting(evidence), reasons.METRICS_UNAVAILABLE, True)
    if not golden:
        return undecided("the artifact has no golden set", reasons.NO_BASELINE, False)

    def least(count: GoldenCount) -> float:
        return count.min_percent if rule.min_percent is None else rule.min_percent

    worst = min(golden, key=lambda count: _share(count) - least(count) / 100)
    fails = 100 * worst.agree < least(worst) * (worst.agree + worst.disagree)
    # Rounded down, so that what is shown as enough is enough.
    observed, limit = f"{10_000 * worst.agree // (worst.agree + worst.disagree) / 100:g}", f"{least(worst):g}"
    shown = [worst] if fails else golden
    items = sum(count.agree + count.disagree for count in shown)
    where = f"on node {worst.node}" if fails else on_nodes(len(golden))
    return Judged(
        name,
        evidence.variant,
        Verdict.FAIL if fails else Verdict.PASS,
        observed,
        limit,
        items,
        f"golden set agrees on {observed} %, limit {limit} % (n = {items} {where})",
        reasons.GOLDEN_MISMATCH if fails else "",
    )


def _share(count: GoldenCount) -> float:
    return count.agree / (count.agree + count.disagree)
