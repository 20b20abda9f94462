"""The judgement of a check that has no requests to judge by."""

from edge_operator.decide.analysis.evidence import Evidence, Judged, on_nodes, percent
from edge_operator.decide.analysis.golden_set import golden_counts
from edge_operator.decide.analysis.share_test.counted_requests import WARM_UP_REQUESTS, served
from edgemodel import reasons

IDLE_SECONDS = 60
"""The time without a request after which a candidate counts as without traffic, if stable had traffic."""


def without_requests(name: str, evidence: Evidence) -> Judged:
    """Returns Inconclusive, with what is missing, because no request could be judged."""

    def undecided(message: str, reason: str, waits: bool) -> Judged:
        return evidence.undecided(name, message, reason, waits=waits)

    if not evidence.quorum:
        return undecided(reporting(evidence), reasons.METRICS_UNAVAILABLE, True)
    where = on_nodes(len(evidence.reporting))
    warm_up = sum(map(WARM_UP_REQUESTS.total, evidence.trial))
    is_served = any(map(served, evidence.trial))
    if evidence.is_first and (is_served or warm_up):
        return undecided("a first revision: there is nothing to compare it with", reasons.NO_BASELINE, False)
    if is_served:
        return undecided("stable served no request there to compare with", reasons.ANALYSIS_INCONCLUSIVE, True)
    if warm_up:
        few = f"only {warm_up} requests of the warm-up {where} so far: too early"
        return undecided(few, reasons.ANALYSIS_INCONCLUSIVE, True)
    shortest = min(map(evidence.seconds, evidence.nodes), default=0.0)
    if shortest < IDLE_SECONDS and any(map(served, (*evidence.baseline, *evidence.control))):
        return undecided(f"no request {where} yet", reasons.ANALYSIS_INCONCLUSIVE, True)
    if agreed := _golden_agrees(evidence):
        return undecided(f"no request {where}: {agreed} decides instead", reasons.NO_TRAFFIC, False)
    return undecided(f"no request {where}, and no golden set to decide instead", reasons.NO_TRAFFIC, True)


def _golden_agrees(evidence: Evidence) -> str:
    """Returns a text if every reporting node agrees with the golden set; otherwise an empty one."""
    answered = {count.node: count for count in golden_counts(evidence.present)}
    if not evidence.reporting or answered.keys() != evidence.reporting:
        return ""
    if any(100 * c.agree < c.min_percent * (c.agree + c.disagree) for c in answered.values()):
        return ""
    items = sum(count.agree + count.disagree for count in answered.values())
    return f"the golden set ({percent(sum(c.agree for c in answered.values()) / items)} % of {items} items agree)"


def reporting(evidence: Evidence) -> str:
    """Returns a text with the number of reporting nodes, and why a node that answers does not count."""
    wrong = "".join(f"; {node}: {why}" for node, why in sorted(evidence.contradictory.items())[:1])
    return f"Prometheus has the candidate's metrics of {len(evidence.reporting)} of {len(evidence.nodes)} nodes{wrong}"
