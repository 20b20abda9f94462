"""A sequential test of shares of bad requests: node by node, against what is expected of each.

Expected is a node's own share before its switch, shrunk towards that of all nodes of the variant, times the drift that
the nodes on stable show since then: those of the variant, or those of all variants if it has none. Nodes that moved for
themselves are left out, and what one node shows alone neither passes nor fails a candidate. What is too much is the
increase that the user allows, on top. A candidate fails if two things are shown: it got worse at all, which a good
one does with a probability of ALPHA at most, and by more than the user's increase. Requests that come together,
baselines of few requests and few nodes on stable make evidence worth less: each log-likelihood ratio is weighted by the
variance that independent requests with known shares would have, divided by the true one.

Requests of a server's warm-up are left out. A comparison of their own fails a candidate whose warm-up is worse than
those of stable's servers were, if there are any; it neither passes nor holds a candidate.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, inf, log
from typing import NamedTuple

from edge_operator.decide.analysis.evidence import (
    ABOVE_LIMIT,
    BELOW_LIMIT,
    BETA,
    WORSE,
    Evidence,
    Hypothesis,
    Judged,
    MeasureResult,
    on_nodes,
    percent,
)
from edge_operator.decide.analysis.golden_set import ITEMS, MIN_PERCENT, golden_counts
from edge_operator.decide.analysis.limits import ALLOWANCE, MAX_SHARE, Before, times_odds
from edge_operator.decide.analysis.pooled import Pooled
from edge_operator.decide.analysis.power import Pool, Thresholds, detectable_increase, requests_to_decide
from edge_operator.decide.measurement import Counter, Counts, Minutes, of_warm_up
from edge_statistics.dispersion import Moments, design_effect, shrunk_design_effect
from edge_statistics.drift import OddsDrift, drift
from edge_statistics.interval import Interval
from edge_statistics.outliers import Group as Moved
from edge_statistics.outliers import find_outliers
from edge_statistics.sequential import Stratum, boundaries, log_likelihood_ratio
from edge_statistics.shrinkage import Prior, Share, fit_prior
from edgemodel import metrics, reasons
from edgemodel.verdict import Verdict

REQUESTS = Counter(metrics.REQUESTS_TOTAL, "outcome", (metrics.OK, metrics.REFUSED, metrics.SERVER_ERROR))
"""The counted requests; errors of clients say nothing about the model and are left out."""
REQUESTS_BY_MINUTE = Minutes(REQUESTS)
WARM_UP_REQUESTS = replace(REQUESTS, warm_up=True)
READ = (REQUESTS, REQUESTS_BY_MINUTE, WARM_UP_REQUESTS, ITEMS, MIN_PERCENT)
"""The series that a check of shares reads besides its own: without requests, the golden set decides."""
ALTERNATIVES = (1.0, 2.0, 4.0, 8.0)
"""The increases, in multiples of the one that is too much, that a candidate may have which got worse."""
BEYOND = 1.5
"""The increase, in the same unit, that is compared with the limit, to show that a candidate exceeds it."""
BELOW = (0.0, 0.5)
"""The increases, in the same unit, of candidates that are as good as expected, or good enough."""
SHOWN = 1.4
"""The logarithm of the likelihood ratio that shows it: with a candidate that is exactly at the limit, a test at this
threshold errs with a probability of at most 25 % (Ville); one that did not change cannot reach it."""
WARM_UP_ALPHA = 0.1
"""The part of a test's probability of error that is left to the comparison of warm-ups, whether there is one or not."""
IDLE_SECONDS = 60
"""The time without a request after which a candidate counts as without traffic, if stable had traffic."""
MIN_CONTROL_REQUESTS = 10
"""The smallest number of requests on stable nodes that show a drift."""
MAX_NAMED = 3
"""The largest number of nodes on stable in a message."""


@dataclass(frozen=True)
class Measure:
    """A kind of bad request."""

    key: str
    words: str
    """The words for a bad request, as in "3 % of requests failed"."""
    bad: Callable[[Counts, float | None], int]
    """A function that returns the bad requests, given the edge of ``Before``."""
    total: Callable[[Counts], int]
    before: Callable[[Counts], Before | None]
    """A function that returns what the requests of a node before say; None if they say nothing."""
    minutes: Callable[[Counts, float | None], Moments | None]
    """A function that returns the moments of the bad requests by minute before, given the edge of ``Before``."""
    without_baseline: Before | None
    """The expectation of a node without requests before; None: it cannot be judged."""
    allowance: str = "half again as many as before"
    """The words for the allowance of ``Before``, for messages."""
    guarded: bool = False
    """True if a slow hour moves shares too far for a factor to tell what is expected, so that nothing is decided while
    the nodes on stable exceed their own limits."""


@dataclass(frozen=True)
class Expected:
    """A node's requests since the switch, and what is expected of them."""

    stratum: Stratum
    """With the expected share as ``p0``, and the limit as ``p1``."""
    share: Share
    worth: float
    """The number of independent requests that one is worth, 0..1, the drift aside."""


@dataclass(frozen=True)
class Tested:
    """The result of a test: ``bad`` of ``total`` requests on ``nodes`` nodes; ``expected`` and ``limit`` are shares
    over all of them."""

    measure: Measure
    verdict: Verdict
    bad: int
    total: int
    expected: float
    limit: float
    nodes: int
    drift: OddsDrift | None
    """The drift on nodes that run stable; None if there are too few requests on them."""
    because: str
    """The words that say where ``expected`` comes from; empty for a first revision."""
    disturbed: bool
    """True if the nodes on stable got worse than their own limits, and the measure is guarded."""
    moved_up: bool
    """True if it is shown that the nodes on stable got worse."""
    disagree: bool
    """True if too few of them agree on that to pass a candidate."""
    control_bad: int
    control_total: int
    result: MeasureResult
    pooled: Pooled | None

    def __str__(self) -> str:
        share, limit, expected = percent(self.bad / self.total), percent(self.limit), percent(self.expected)
        count = f"n = {self.total} {on_nodes(self.nodes)}"
        told = f"{count}; {expected} % expected{self.because}"
        return f"{share} % of requests {self.measure.words}, limit {limit} % ({told})"


def judge_shares(name: str, evidence: Evidence, measures: Sequence[Measure]) -> Judged:
    """Returns Fail if one of ``measures`` fails, and Pass if all pass and most nodes report."""
    alpha = evidence.alpha / len(measures)
    tested, warm_ups = [], []
    for measure in measures:
        known = _known(name, evidence, measure)
        because = _because(evidence, measure, known)
        steady = _test(evidence, measure, known, because, (1 - WARM_UP_ALPHA) * alpha)
        tested += [steady] if steady is not None else []
        warm_up = _test_warm_up(name, evidence, measure, known, WARM_UP_ALPHA * alpha)
        warm_ups += [warm_up] if warm_up is not None else []
    pooled = {item.measure.key: item.pooled for item in (*tested, *warm_ups) if item.pooled is not None}
    tested += [item for item in warm_ups if item.verdict is Verdict.FAIL]
    if not tested:
        return replace(without_requests(name, evidence), pooled=pooled)
    order = {Verdict.FAIL: 0, Verdict.INCONCLUSIVE: 1, Verdict.PASS: 2}
    shown = min(tested, key=lambda item: order[item.verdict])
    verdict, reason, why, early = shown.verdict, "", "", _too_early(evidence)
    if verdict is Verdict.INCONCLUSIVE or (verdict is Verdict.PASS and (early or not evidence.quorum)):
        reason, why = _why_undecided(evidence, shown)
        if verdict is Verdict.PASS and evidence.quorum:
            reason, why = reasons.ANALYSIS_INCONCLUSIVE, f"; {early}"
        verdict = Verdict.INCONCLUSIVE
    if verdict is not Verdict.FAIL:
        why = f"; {_detectable(shown, verdict)}{why}"
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
        pooled=pooled,
        results=tuple(item.result for item in sorted(tested, key=lambda item: item is not shown)),
    )


class _Shown(NamedTuple):
    """The requests of a node on stable since the switch, and what those before it say."""

    node: str
    before: Before
    bad: int
    total: int


@dataclass(frozen=True)
class _Group:
    """Nodes of one variant that run stable."""

    control: Sequence[Counts]
    before: Mapping[str, Before]
    pooled: Pooled | None
    shown: Sequence[_Shown]
    """The nodes with requests in both windows."""
    odd: Sequence[str] = ()
    """The nodes that moved for themselves, which are in neither of the above."""
    agree: bool = True
    """False if nobody can tell which nodes of all groups moved for themselves."""

    @classmethod
    def of(
        cls, control: Sequence[Counts], before: Mapping[str, Before], pooled: Pooled | None, measure: Measure
    ) -> "_Group":
        """Returns the group as ``measure`` counts it."""
        pairs = ((counts, before.get(counts.node)) for counts in control)
        found = (
            _Shown(counts.node, item, measure.bad(counts, item.edge), measure.total(counts))
            for counts, item in pairs
            if item is not None
        )
        return cls(control, before, pooled, [item for item in found if item.total])

    @property
    def bad(self) -> int:
        """Returns the number of their bad requests."""
        return sum(item.bad for item in self.shown)

    @property
    def total(self) -> int:
        """Returns the number of their requests."""
        return sum(item.total for item in self.shown)


@dataclass(frozen=True)
class _Known:
    """The knowledge of a variant's nodes from before the switch, and from stable beside it."""

    before: Mapping[str, Before]
    pooled: Pooled | None
    effects: Mapping[str, float]
    """The design effect of each node."""
    controls: Sequence[_Group]
    drift: OddsDrift | None
    drift_to_pass: OddsDrift | None
    """The part of the drift that counts for a pass."""
    least: Mapping[str, Share] = field(default_factory=dict)
    """The share that is expected of a node at least, before the drift."""

    def share(self, node: str, item: Before) -> Share:
        """Returns the share that is expected of the node, before the drift."""
        effect, prior = self.effect(node), self.pooled.prior if self.pooled is not None else NO_PRIOR
        share = prior.posterior(item.bad / effect, item.total / effect)
        least = self.least.get(node, share)
        return Share(max(share.mean, least.mean), max(share.variance, least.variance))

    def effect(self, node: str) -> float:
        """Returns the design effect of the node, or that of all nodes."""
        return self.effects.get(node, self.pooled.design_effect if self.pooled is not None else 1.0)


def _known(name: str, evidence: Evidence, measure: Measure) -> _Known:
    before = _before(evidence.baseline, measure)
    moments = _moments(evidence.baseline, measure, before)
    pooled = evidence.fixed.get((name, measure.key)) or _pooled(before, moments)
    effects = (
        {}
        if pooled is None
        else {node: shrunk_design_effect(of_node, pooled.design_effect) for node, of_node in moments.items()}
    )
    controls = _controls(name, evidence, measure, _Group.of(evidence.control, before, pooled, measure))
    return _Known(before, pooled, effects, controls, *_drift(controls))


def _test_warm_up(name: str, evidence: Evidence, measure: Measure, steady: _Known, alpha: float) -> Tested | None:
    """Returns the result of the comparison with stable's warm-ups; None without one.

    One warm-up of a node says little about its next, so what is expected of each is the distribution over all nodes.
    It is at least the share of the node's later requests. The mean of few nodes is uncertain for all alike, as a drift
    is; that of later requests counts if it exceeds ALLOWANCE, which is expected otherwise. A slowdown has no edge that
    two warm-ups share, and is not compared.
    """
    trial, baseline = (tuple(map(of_warm_up, window)) for window in (evidence.trial, evidence.baseline))
    measure = replace(measure, key=f"{measure.key}-warm-up", words=f"of the warm-up {measure.words}")
    before = _before(baseline, measure)
    pooled = evidence.fixed.get((name, measure.key)) or _pooled(before, {})
    if pooled is None or measure.without_baseline is None:
        return None
    least = {
        counts.node: steady.share(counts.node, steady.before.get(counts.node, measure.without_baseline))
        for counts in trial
        if measure.total(counts)
    }
    mean = max(pooled.prior.mean, steady.pooled.prior.mean if steady.pooled is not None else 0.0)
    of_mean = (1 / (pooled.prior.strength + 1) / max(len(before), 1) + 1 / pooled.requests) / (mean * (1 - mean))
    moved = max(steady.drift or OddsDrift(1.0, 0.0), OddsDrift(ALLOWANCE, 0.0))
    moved = OddsDrift(moved.factor, moved.variance + of_mean)
    known = _Known({}, pooled, {}, steady.controls, moved, moved, least)
    of_warm_ups = replace(evidence, trial=trial, baseline=baseline)
    return _test(of_warm_ups, measure, known, " after the warm-ups of stable", alpha)


def _test(evidence: Evidence, measure: Measure, known: _Known, because: str, alpha: float) -> Tested | None:
    """Returns the result of one test; None if no request was counted on trial, or there is nothing to compare it
    with."""
    pooled, controls, moved = known.pooled, known.controls, known.drift
    trial = [counts for counts in evidence.trial if measure.total(counts)]
    found = _Weighed.of(trial, measure, known)
    if found is None:
        return None
    to_pass = found
    if known.drift_to_pass != moved:
        to_pass = _Weighed.of(trial, measure, replace(known, drift=known.drift_to_pass)) or found
    bounds = boundaries(alpha, BETA)
    hypotheses = _hypotheses(found, to_pass, bounds)
    worse, above_limit, below_limit = hypotheses
    disturbed = measure.guarded and _exceed(controls, measure)
    verdict = Verdict.INCONCLUSIVE
    if disturbed:
        pass
    elif worse.shown and above_limit.shown:
        verdict = Verdict.FAIL
    elif below_limit.shown:
        verdict = Verdict.PASS
    pool, pool_to_pass = found.pool(), to_pass.pool()
    told = pool_to_pass if verdict is Verdict.PASS else pool
    thresholds = Thresholds(bounds.lower, bounds.upper, SHOWN, ALTERNATIVES, BEYOND, BELOW)
    return Tested(
        measure=measure,
        verdict=verdict,
        bad=round(told.bad),
        total=round(told.total),
        expected=told.p0,
        limit=told.p1,
        nodes=len(found.expected),
        drift=moved,
        because=because,
        disturbed=disturbed,
        moved_up=moved is not None and log(moved.factor) > 2 * moved.variance**0.5,
        disagree=_disagree(moved, known.drift_to_pass),
        control_bad=sum(group.bad for group in controls),
        control_total=sum(group.total for group in controls),
        result=MeasureResult(
            measure.key,
            hypotheses,
            detectable_increase(pool, thresholds),
            _needed(verdict, disturbed, requests_to_decide(pool, pool_to_pass, thresholds)),
            _requests_a_minute(trial, measure, evidence),
        ),
        pooled=pooled,
    )


@dataclass(frozen=True)
class _Weighed:
    """The nodes on trial with requests, and the weights of their ratios: against the expected share, and against the
    limit."""

    expected: Sequence[Expected]
    at_expected: Sequence[float]
    at_limit: Sequence[float]

    @classmethod
    def of(cls, trial: Sequence[Counts], measure: Measure, known: _Known) -> "_Weighed | None":
        """Returns the nodes of ``trial``; None if none can be compared."""
        expected = [item for counts in trial if (item := _expected(counts, measure, known)) is not None]
        return cls(expected, *_weights(expected, known.drift)) if expected else None

    def pool(self) -> Pool:
        """Returns the counts of all nodes together."""
        strata = [item.stratum for item in self.expected]
        bad, total = sum(s.bad for s in strata), sum(s.total for s in strata)
        p0, p1 = sum(s.p0 * s.total for s in strata) / total, sum(s.p1 * s.total for s in strata) / total
        worth = _mean([item.worth for item in self.expected], strata)
        return Pool(bad, total, p0, p1, _mean(self.at_expected, strata), _mean(self.at_limit, strata), worth)

    def ratio(self, weights: Sequence[float], null: float, alternative: float) -> float:
        """Returns the log-likelihood ratio of ``alternative`` against ``null``, both multiples of the increase."""
        low, high = sorted((null, alternative))
        of_high = log_likelihood_ratio(_against(self.expected, weights, low, high))
        return of_high if alternative > null else -of_high


def _hypotheses(found: _Weighed, to_pass: _Weighed, bounds: Interval) -> tuple[Hypothesis, Hypothesis, Hypothesis]:
    """Returns what the counts may show: (WORSE, ABOVE_LIMIT, BELOW_LIMIT)."""
    worse = {multiple: found.ratio(found.at_expected, 0.0, multiple) for multiple in ALTERNATIVES}
    below = {multiple: to_pass.ratio(to_pass.at_limit, 1.0, multiple) for multiple in BELOW}
    return (
        Hypothesis(WORSE, worse, bounds.upper),
        Hypothesis(ABOVE_LIMIT, {BEYOND: found.ratio(found.at_limit, 1.0, BEYOND)}, SHOWN),
        Hypothesis(BELOW_LIMIT, below, -bounds.lower),
    )


def _needed(verdict: Verdict, disturbed: bool, requests: float) -> float:
    """Returns the approximate number of further requests until a decision; infinity if it does not depend on them."""
    if verdict is not Verdict.INCONCLUSIVE:
        return 0.0
    return inf if disturbed else max(requests, 1.0)


def _requests_a_minute(trial: Sequence[Counts], measure: Measure, evidence: Evidence) -> float:
    found = (
        (measure.total(counts) + measure.total(of_warm_up(counts)), evidence.seconds(counts.node)) for counts in trial
    )
    return sum(60 * total / seconds for total, seconds in found if seconds > 0)


def _mean(weights: Sequence[float], strata: Sequence[Stratum]) -> float:
    return sum(w * s.total for w, s in zip(weights, strata, strict=True)) / sum(s.total for s in strata)


def _before(baseline: Sequence[Counts], measure: Measure) -> dict[str, Before]:
    found = ((counts.node, measure.before(counts)) for counts in baseline if measure.total(counts))
    return {node: before for node, before in found if before is not None}


def _moments(baseline: Sequence[Counts], measure: Measure, before: Mapping[str, Before]) -> dict[str, Moments]:
    found = (
        (counts.node, measure.minutes(counts, before[counts.node].edge)) for counts in baseline if counts.node in before
    )
    return {node: moments for node, moments in found if moments is not None}


def _pooled(before: Mapping[str, Before], moments: Mapping[str, Moments]) -> Pooled | None:
    if not before:
        return None
    effect = design_effect(moments.values())
    prior = fit_prior([(item.bad / effect, item.total / effect) for item in before.values()])
    return Pooled(prior, round(sum(item.total for item in before.values())), effect)


def _controls(name: str, evidence: Evidence, measure: Measure, own: _Group) -> list[_Group]:
    """Returns the nodes that show the drift: ``own`` of the variant, and those of all variants if they are too few."""
    groups = [own]
    if not evidence.others or own.total >= MIN_CONTROL_REQUESTS:
        return _without_odd_ones(groups)
    for other in evidence.others:
        before = _before(other.baseline, measure)
        pooled = other.fixed.get((name, measure.key)) or _pooled(before, _moments(other.baseline, measure, before))
        groups.append(_Group.of(other.control, before, pooled, measure))
    return _without_odd_ones(groups)


def _moves(groups: Sequence[_Group]) -> dict[str, Moved]:
    """Returns the counts of each node on stable, in independent requests, and what was expected of it."""
    found = {}
    for group in groups:
        if group.pooled is not None:
            effect, prior = group.pooled.design_effect, group.pooled.prior
            for node, before, bad, total in group.shown:
                share = prior.posterior(before.bad / effect, before.total / effect)
                found[node] = Moved(bad / effect, total / effect, share)
    return found


def _without_odd_ones(groups: Sequence[_Group]) -> list[_Group]:
    """Returns ``groups`` without the nodes that moved for themselves, as one whose input breaks does."""
    moves = _moves(groups)
    names, (odd, agree) = list(moves), find_outliers(list(moves.values()))
    gone = {names[place] for place in odd}
    return [
        replace(
            group,
            control=[counts for counts in group.control if counts.node not in gone],
            shown=[item for item in group.shown if item.node not in gone],
            odd=[item.node for item in group.shown if item.node in gone],
            agree=agree,
        )
        for group in groups
    ]


def _drift(groups: Sequence[_Group]) -> tuple[OddsDrift | None, OddsDrift | None]:
    """Returns the (drift, drift that counts for a pass) on stable nodes since the switch; None if they have too few
    requests.

    Whether the node that got worse, or better, by the most requests moved with the others or for itself, only these can
    tell. So a rise beyond ALLOWANCE counts for a pass only as far as the others show it, and a fall for a failure; for
    nothing if the nodes do not agree.
    """
    moves = list(_moves(groups).values())
    if sum(group.total for group in groups) < MIN_CONTROL_REQUESTS:
        return None, None
    moves.sort(key=lambda one: one.bad - one.total * one.share.mean)
    found, factor, to_pass = _drift_of(moves), 1.0, ALLOWANCE
    if all(group.agree for group in groups):
        factor = min(_drift_of(moves[1:]).factor, factor)
        to_pass = max(_drift_of(moves[:-1]).factor, to_pass)
    return (
        OddsDrift(max(found.factor, factor), found.variance),
        OddsDrift(min(found.factor, to_pass), found.variance),
    )


def _disagree(found: OddsDrift | None, to_pass: OddsDrift | None) -> bool:
    """Returns whether a rise counts for a pass by less than half."""
    return found is not None and to_pass is not None and to_pass.factor**2 < found.factor


def _drift_of(moves: Sequence[Moved]) -> OddsDrift:
    return drift(
        sum(one.bad for one in moves),
        sum(one.total for one in moves),
        sum(one.total * one.share.mean for one in moves),
        sum(one.total**2 * one.share.variance for one in moves),
    )


def _because(evidence: Evidence, measure: Measure, known: _Known) -> str:
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


def _exceed(groups: Sequence[_Group], measure: Measure) -> bool:
    """Returns whether nodes on stable are nearer to their limits than to what is expected of them."""
    expected = [
        _expected(counts, measure, _Known(group.before, group.pooled, {}, (), None, None))
        for group in groups
        for counts in group.control
        if measure.total(counts)
    ]
    strata = [item.stratum for item in expected if item is not None]
    return sum(s.total for s in strata) >= MIN_CONTROL_REQUESTS and log_likelihood_ratio(strata) > 0


def _expected(counts: Counts, measure: Measure, known: _Known) -> Expected | None:
    item = known.before.get(counts.node, measure.without_baseline)
    if item is None:
        return None
    share, moved = known.share(counts.node, item), known.drift
    p0 = min(times_odds(share.mean, item.allowance if moved is None else moved.factor), MAX_SHARE - 0.02)
    total = measure.total(counts)
    stratum = Stratum(measure.bad(counts, item.edge), total, p0, min(p0 + item.increase, MAX_SHARE - 0.01))
    growth = p0 * (1 - p0) / (share.mean * (1 - share.mean))
    return Expected(stratum, Share(p0, share.variance * growth**2), 1 / known.effect(counts.node))


NO_PRIOR = Prior(0.002, 500.0)
"""The expectation where stable served no request at all: 0.2 % of bad ones."""


def _weights(expected: Sequence[Expected], moved: OddsDrift | None) -> tuple[list[float], list[float]]:
    """Returns the weight of each node's ratios: (against the expected share, against the limit).

    It is the variance of independent requests with known shares, divided by the true one, in which requests come
    together, the node's share is estimated, and so is the drift, which all nodes have in common.
    """
    by_node, common = [], [0.0, 0.0]
    variance = moved.variance if moved is not None else 0.0
    for item in expected:
        _, total, p0, p1 = item.stratum
        weights = []
        for place, p in enumerate((p0, p1)):
            independent = total * p * (1 - p)
            true = independent / item.worth + total**2 * item.share.variance
            weights.append(independent / true)
            common[place] += independent**2 / true
        by_node.append(weights)
    at = []
    for place in (0, 1):
        # Of the weighted counts; the drift shifts them all alike.
        shifted = sum(
            weights[place] * item.stratum.total * item.share.mean * (1 - item.share.mean)
            for item, weights in zip(expected, by_node, strict=True)
        )
        whole = common[place] / (common[place] + variance * shifted**2) if common[place] else 1.0
        at.append([weights[place] * whole for weights in by_node])
    return at[0], at[1]


def _against(expected: Sequence[Expected], weights: Sequence[float], null: float, multiple: float) -> list[Stratum]:
    """Returns the weighted strata with ``null`` times the increase as ``p0`` and ``multiple`` times it as ``p1``."""
    found = []
    for item, weight in zip(expected, weights, strict=True):
        bad, total, p0, p1 = item.stratum
        increase = p1 - p0
        low = p0 + null * increase
        high = min(p0 + multiple * increase, (1 + low) / 2)
        found.append(Stratum(weight * bad, weight * total, low, high))
    return found


def _too_early(evidence: Evidence) -> str:
    """Returns a text if most nodes with requests have none after their warm-up yet, as after the switch of a large
    wave."""
    later = sum(1 for counts in evidence.trial if served(counts))
    early = sum(1 for counts in evidence.trial if WARM_UP_REQUESTS.total(counts) and not served(counts))
    return f"too early: {on_nodes(early)} all requests are of the warm-up" if early > later else ""


def _why_undecided(evidence: Evidence, tested: Tested) -> tuple[str, str]:
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


def _detectable(tested: Tested, verdict: Verdict) -> str:
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
