"""A sequential test of shares of bad requests, node by node, against each node's own limits, with a control group.

The same statistic is computed for nodes that still run stable. If they got worse too, the cause is outside the
candidate, and the check is Inconclusive.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge_operator.decide.analysis.evidence import BETA, Evidence, Judged, on_nodes, percent
from edge_operator.decide.analysis.golden_set import ITEMS, MIN_PERCENT, golden_counts
from edge_operator.decide.analysis.limits import MIN_FOR_SHARES, Limits, more_lenient
from edge_operator.decide.measurement import Counter, Counts, merge
from edge_statistics.sequential import Stratum, boundaries, log_likelihood_ratio, mixed, requests_to_pass
from edgemodel import metrics, reasons
from edgemodel.verdict import Verdict

REQUESTS = Counter(metrics.REQUESTS_TOTAL, "outcome", (metrics.OK, metrics.REFUSED, metrics.SERVER_ERROR))
"""The counted requests; errors of clients say nothing about the model and are left out."""
READ = (REQUESTS, ITEMS, MIN_PERCENT)
"""The series that a check of shares reads besides its own: without requests, the golden set decides."""
FAR_WORSE = 4
"""The far alternative: one in so many of the requests that are good at ``p1`` is good."""
IDLE_SECONDS = 60
"""The time without a request after which a candidate counts as without traffic, if stable had traffic."""
MIN_CONTROL_REQUESTS = 10
"""The smallest number of requests that the control group is judged by."""


@dataclass(frozen=True)
class Measure:
    """A kind of bad request."""

    key: str
    words: str
    """The words for a bad request, as in "3 % of requests failed"."""
    bad: Callable[[Counts, Limits], int]
    total: Callable[[Counts], int]
    limits: Callable[[Counts], Limits | None]
    """A function that returns the limits that follow from a baseline; None if the baseline is not sufficient."""
    without_baseline: Limits | None
    """The limits without a baseline; None: nothing can be judged without one."""
    own_only: bool = False
    """True if nodes differ too much to judge one without a baseline by the others."""
    min_baseline: int = MIN_FOR_SHARES
    """The number of requests from which a node's own baseline suffices."""
    max_a_minute: float | None = None
    """The largest number of requests that count against a node within a minute; None: all. Consecutive requests are not
    independent.

    Few count then, so a second test asks whether most requests are bad, which takes a handful of them.
    """


@dataclass(frozen=True)
class Tested:
    """The result of a test: ``bad`` of ``total`` requests on ``nodes`` nodes; ``expected`` and ``limit`` are shares
    over all of them."""

    measure: Measure
    verdict: Verdict
    """The verdict, with the control group taken into account."""
    bad: int
    total: int
    expected: float
    limit: float
    nodes: int
    disturbed: bool
    """True if the control group, nodes on stable, got worse too."""
    control_bad: int
    control_total: int
    needed: int
    """The approximate number of further good requests until the check passes."""
    pooled: Limits | None

    def __str__(self) -> str:
        share, limit, expected = percent(self.bad / self.total), percent(self.limit), percent(self.expected)
        count = f"n = {self.total} {on_nodes(self.nodes)}"
        return f"{share} % of requests {self.measure.words}, limit {limit} % ({count}; up to {expected} % expected)"


def judge_shares(name: str, evidence: Evidence, measures: Sequence[Measure]) -> Judged:
    """Returns Fail if one of ``measures`` fails, and Pass if all pass and most nodes report."""
    found = [test(name, evidence, measure, evidence.alpha / len(measures)) for measure in measures]
    tested = [item for item in found if item is not None]
    if not tested:
        return without_requests(name, evidence)
    order = {Verdict.FAIL: 0, Verdict.INCONCLUSIVE: 1, Verdict.PASS: 2}
    shown = min(tested, key=lambda item: order[item.verdict])
    verdict, reason, why = shown.verdict, "", ""
    if verdict is not Verdict.FAIL and (verdict is Verdict.INCONCLUSIVE or not evidence.quorum):
        verdict = Verdict.INCONCLUSIVE
        reason, why = _why_undecided(evidence, shown)
    return Judged(
        name=name,
        variant=evidence.variant,
        verdict=verdict,
        observed=percent(shown.bad / shown.total),
        limit=percent(shown.limit),
        sample_count=shown.total,
        message=f"{shown}{why}",
        reason=reason,
        waits=verdict is Verdict.INCONCLUSIVE,
        pooled={item.measure.key: item.pooled for item in tested if item.pooled is not None},
    )


def test(name: str, evidence: Evidence, measure: Measure, alpha: float) -> Tested | None:
    """Returns the result of one test; None if no request was counted on trial, or there is nothing to compare it
    with."""
    pooled = evidence.fixed.get((name, measure.key)) or _pooled(evidence, measure) or measure.without_baseline
    baselines = {counts.node: counts for counts in evidence.baseline}
    limits = {
        counts.node: own
        for counts in (*evidence.trial, *evidence.control)
        if measure.total(counts) and (own := _limits_of(baselines.get(counts.node), measure, pooled)) is not None
    }
    trial = [counts for counts in evidence.trial if counts.node in limits]
    control = [counts for counts in evidence.control if counts.node in limits]
    if not trial:
        return None
    strata = [_stratum(c, measure, limits[c.node]) for c in trial]
    control_strata = [_stratum(c, measure, limits[c.node]) for c in control]
    counting = [_at_most(stratum, measure, evidence.seconds(c.node)) for stratum, c in zip(strata, trial, strict=True)]
    longest = max(map(evidence.seconds, evidence.nodes), default=0.0)
    guard = log_likelihood_ratio(_at_most(stratum, measure, longest) for stratum in control_strata)
    total, control_total = sum(map(measure.total, trial)), sum(map(measure.total, control))
    disturbed = guard > 0 and control_total >= MIN_CONTROL_REQUESTS
    return Tested(
        measure=measure,
        verdict=Verdict.INCONCLUSIVE if disturbed else _verdict(measure, strata, counting, alpha),
        bad=sum(measure.bad(c, limits[c.node]) for c in trial),
        total=total,
        expected=sum(stratum.p0 * stratum.total for stratum in strata) / total,
        limit=sum(stratum.p1 * stratum.total for stratum in strata) / total,
        nodes=len(trial),
        disturbed=disturbed,
        control_bad=sum(measure.bad(c, limits[c.node]) for c in control),
        control_total=control_total,
        needed=_needed(strata, alpha),
        pooled=pooled if pooled is not measure.without_baseline else None,
    )


def _limits_of(baseline: Counts | None, measure: Measure, pooled: Limits | None) -> Limits | None:
    own = measure.limits(baseline) if baseline is not None and measure.total(baseline) else None
    if own is None and measure.own_only:
        return None
    if own is None or pooled is None:
        return own or pooled
    return own if own.requests >= measure.min_baseline else more_lenient(own, pooled)


def _pooled(evidence: Evidence, measure: Measure) -> Limits | None:
    """Returns the limits of all nodes of the variant together, from before the wave, and since then from those on
    stable."""
    together = merge((*evidence.baseline, *evidence.control))
    return measure.limits(together) if measure.total(together) else None


def _stratum(counts: Counts, measure: Measure, limits: Limits) -> Stratum:
    return Stratum(measure.bad(counts, limits), measure.total(counts), limits.p0, limits.p1)


def _at_most(stratum: Stratum, measure: Measure, seconds: float) -> Stratum:
    """Returns ``stratum`` with the weight that requests within ``seconds`` may have."""
    if measure.max_a_minute is None:
        return stratum
    weight = min(1.0, max(measure.max_a_minute * seconds / 60, 1.0) / stratum.total)
    return Stratum(weight * stratum.bad, weight * stratum.total, stratum.p0, stratum.p1)


def _verdict(measure: Measure, strata: Sequence[Stratum], counting: Sequence[Stratum], alpha: float) -> Verdict:
    """Returns Fail by ``counting``, against all alternatives, and Pass by all ``strata``, against ``p1`` alone."""
    against_all = log_likelihood_ratio(counting)
    if measure.max_a_minute is not None:
        against_all = mixed([against_all, log_likelihood_ratio(map(_far_worse, counting))])
    bounds = boundaries(alpha, BETA)
    if against_all >= bounds.upper:
        return Verdict.FAIL
    return Verdict.PASS if log_likelihood_ratio(strata) <= bounds.lower else Verdict.INCONCLUSIVE


def _far_worse(stratum: Stratum) -> Stratum:
    """Returns ``stratum`` against the alternative that most requests are bad."""
    return Stratum(stratum.bad, stratum.total, stratum.p0, 1 - (1 - stratum.p1) / FAR_WORSE)


def _needed(strata: Sequence[Stratum], alpha: float) -> int:
    busiest = max(strata, key=lambda stratum: stratum.total)
    each = -log_likelihood_ratio([busiest._replace(bad=0, total=1)])
    whole = requests_to_pass(busiest.p0, busiest.p1, alpha, BETA)
    return max(1, whole + round(log_likelihood_ratio(strata) / each))


def _why_undecided(evidence: Evidence, tested: Tested) -> tuple[str, str]:
    """Returns the (reason, message) of a test that does not pass."""
    if tested.disturbed:
        worse = percent(tested.control_bad / tested.control_total)
        who = f"so did {worse} % on nodes that still run stable (n = {tested.control_total})"
        return reasons.CONTROL_DEGRADED, f"; {who}: the candidate is not the cause"
    if not evidence.quorum:
        return reasons.METRICS_UNAVAILABLE, f"; {reporting(evidence)}"
    return reasons.ANALYSIS_INCONCLUSIVE, f"; not enough to decide, about {tested.needed} more good ones would pass"


def without_requests(name: str, evidence: Evidence) -> Judged:
    """Returns Inconclusive, with what is missing, because no request could be judged."""

    def undecided(message: str, reason: str, waits: bool) -> Judged:
        return evidence.undecided(name, message, reason, waits=waits)

    if not evidence.quorum:
        return undecided(reporting(evidence), reasons.METRICS_UNAVAILABLE, True)
    if any(map(served, evidence.trial)):
        if evidence.is_first:
            return undecided("a first revision: there is nothing to compare it with", reasons.NO_BASELINE, False)
        return undecided("stable served no request there to compare with", reasons.ANALYSIS_INCONCLUSIVE, True)
    where = on_nodes(len(evidence.reporting))
    shortest = min(map(evidence.seconds, evidence.nodes), default=0.0)
    if shortest < IDLE_SECONDS and any(map(served, (*evidence.baseline, *evidence.control))):
        return undecided(f"no request {where} yet", reasons.ANALYSIS_INCONCLUSIVE, True)
    if agreed := _golden_agrees(evidence):
        return undecided(f"no request {where}: {agreed} decides instead", reasons.NO_TRAFFIC, False)
    return undecided(f"no request {where}, and no golden set to decide instead", reasons.NO_TRAFFIC, True)


def served(counts: Counts) -> bool:
    """Returns whether the node answered any request that counts."""
    return REQUESTS.total(counts) > 0


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
