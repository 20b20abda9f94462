"""The check GoldenAgreement compares the golden set's outputs on every node with those of the compression Job.

A server that agrees on less than its artifact requires never becomes ready and is rolled back for that. This check can
require more, and its status shows the agreement of the nodes.
"""

from dataclasses import dataclass

from edge_operator.decide.analysis.check_type import CheckType
from edge_operator.decide.analysis.evidence import Evidence, Judged, on_nodes
from edge_operator.decide.analysis.golden_set import ITEMS, MIN_PERCENT, GoldenCount, golden_counts
from edge_operator.decide.analysis.share_test import reporting
from edgemodel import reasons
from edgemodel.reasons import REASONS
from edgemodel.setting_kinds import Amount, Settings
from edgemodel.verdict import Verdict


@dataclass(frozen=True)
class GoldenAgreementRule:
    """The rule of the check GoldenAgreement."""

    min_percent: float | None = None
    """The minimum share in percent; None: the share that the artifact requires."""


def parse(settings: Settings) -> GoldenAgreementRule:
    """Returns the rule for ``goldenAgreement`` settings, which are complete."""
    least = settings["minPercent"]
    return GoldenAgreementRule(None if least is None else float(least))


def judge(name: str, rule: GoldenAgreementRule, evidence: Evidence) -> Judged:
    """Returns the verdict for the node with the lowest agreement."""
    if not evidence.quorum:
        return evidence.undecided(name, reporting(evidence), reasons.METRICS_UNAVAILABLE, waits=True)
    golden = golden_counts(evidence.present)
    if not golden:
        message = "the artifact has no golden set"
        return evidence.undecided(name, message, reasons.NO_BASELINE, waits=False)

    def least(count: GoldenCount) -> float:
        return count.min_percent if rule.min_percent is None else rule.min_percent

    worst = min(golden, key=lambda count: count.share - least(count) / 100)
    fails = 100 * worst.agree < least(worst) * (worst.agree + worst.disagree)
    # Rounded down, so that what is shown as enough is enough.
    observed, limit = f"{10_000 * worst.agree // (worst.agree + worst.disagree) / 100:g}", f"{least(worst):g}"
    shown = [worst] if fails else golden
    items = sum(count.agree + count.disagree for count in shown)
    where = f"on node {worst.node}" if fails else on_nodes(len(golden))
    return Judged(
        name=name,
        variant=evidence.variant,
        verdict=Verdict.FAIL if fails else Verdict.PASS,
        observed=observed,
        limit=limit,
        sample_count=items,
        message=f"golden set agrees on {observed} %, limit {limit} % (n = {items} {where})",
    )


CHECK = CheckType(
    type="GoldenAgreement",
    doc="The share of golden items that agree; every server runs the golden set on its node at start.",
    settings={
        "minPercent": Amount(
            "Minimum share of golden items that agree on every node, in percent; a decimal string from 0 to 100. "
            "Default: the share that the artifact requires for its server to become ready.",
            unit="percent",
            example="99.5",
        )
    },
    parse=parse,
    judge=judge,
    fails_with=REASONS[reasons.GOLDEN_MISMATCH],
    series=(ITEMS, MIN_PERCENT),
)
