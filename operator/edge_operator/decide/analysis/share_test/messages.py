"""The words for what was expected, what could be found, and why a test is undecided."""

from collections.abc import Sequence
from math import ceil, inf

from edge_operator.decide.analysis.evidence import Evidence, MeasureResult, on_nodes, percent
from edge_operator.decide.analysis.share_test.counted_requests import WARM_UP_REQUESTS, served
from edge_operator.decide.analysis.share_test.expected_share import Known
from edge_operator.decide.analysis.share_test.measure import Measure
from edge_operator.decide.analysis.share_test.measure_test import Tested
from edge_operator.decide.analysis.share_test.without_requests import reporting
from edgemodel import reasons
from edgemodel.verdict import Verdict

MAX_NAMED = 3
"""The largest number of nodes on stable in a message."""


def because_of(evidence: Evidence, measure: Measure, known: Known) -> str:
    """Returns which nodes on stable showed the drift, or what is allowed if none did, for a message."""
    groups = known.controls
    if evidence.is_first:
        return ""
    if known.drift is None:
        return f", {measure.allowance}: no node on stable shows a drift"
    named = _named([item.node for group in groups for item in group.shown])
    odd = _named([node for group in groups for node in group.odd])
    of = ", of all variants" if len(groups) > 1 else ""
    apart = f" (without {odd}, which moved by far more or less than the others)" if odd else ""
    return f" by the drift of stable on {named}{of}{apart}: {known.drift.factor:.2g} times the odds of before"


def _named(nodes: Sequence[str]) -> str:
    more = f" and {len(nodes) - MAX_NAMED} more" if len(nodes) > MAX_NAMED else ""
    return f"{', '.join(sorted(nodes)[:MAX_NAMED])}{more}"


def too_early(evidence: Evidence) -> str:
    """Returns a text if most nodes with requests have none after their warm-up yet, as after the switch of a large
    wave."""
    later = sum(1 for counts in evidence.trial if served(counts))
    early = sum(1 for counts in evidence.trial if WARM_UP_REQUESTS.total(counts) and not served(counts))
    return f"too early: {on_nodes(early)} all requests are of the warm-up" if early > later else ""


def why_undecided(evidence: Evidence, tested: Tested) -> tuple[str, str]:
    """Returns the (reason, message) of a test that does not pass."""
    more = _still_needed(tested.result)
    if tested.disturbed or tested.moved_up:
        worse = percent(tested.control_bad / tested.control_total)
        who = f"so did {worse} % on nodes that still run stable (n = {tested.control_total})"
        alone = ", but too few nodes agree on it to pass a candidate" if tested.disagree else ""
        then = (
            "nothing is decided while they are worse" if tested.disturbed else f"that much is expected{alone}; {more}"
        )
        return reasons.CONTROL_DEGRADED, f"; {who}: {then}"
    if not evidence.quorum:
        return reasons.METRICS_UNAVAILABLE, f"; {reporting(evidence)}"
    return reasons.ANALYSIS_INCONCLUSIVE, f"; {more}"


def what_is_detectable(tested: Tested, verdict: Verdict) -> str:
    """Returns what would have been found, for the ``verdict`` of the check: a pass says that the limit is kept, not
    that nothing got worse."""
    found = tested.result.detectable
    what = f"an increase of {percent(found)} points" if found < inf else "no increase"
    told = f"would find {what} by now"
    if verdict is Verdict.PASS:
        told += f"; one of {percent(tested.limit - tested.expected)} points is ruled out, a smaller one is not"
    return told


def _still_needed(result: MeasureResult) -> str:
    if result.requests_to_decide == inf:
        return "no number of requests decides: too close to the limit, or too little is known of before"
    text, minutes = f"not enough to decide, about {ceil(result.requests_to_decide)} more requests would", 0
    if result.minutes_to_decide < inf:
        minutes = max(round(result.minutes_to_decide), 1)
        text += f", in {minutes} minute{'' if minutes == 1 else 's'} at the present rate"
    return text
