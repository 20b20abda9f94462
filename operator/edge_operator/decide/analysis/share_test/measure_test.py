"""The test of one measure: fail, pass, or what a decision still takes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf

from edge_operator.decide.analysis.evidence import BETA, Evidence, Hypothesis, MeasureResult, on_nodes, percent
from edge_operator.decide.analysis.pooled import Pooled
from edge_operator.decide.analysis.power import Pool, Thresholds, detectable_increase, requests_to_decide
from edge_operator.decide.analysis.share_test.expected_share import Known, controls_exceed
from edge_operator.decide.analysis.share_test.fail_test import ALTERNATIVES, BEYOND, SHOWN, above_limit, worse
from edge_operator.decide.analysis.share_test.measure import Measure
from edge_operator.decide.analysis.share_test.pass_test import BELOW, below_limit
from edge_operator.decide.analysis.share_test.stable_drift import is_shown, nodes_disagree
from edge_operator.decide.analysis.share_test.weighed_nodes import Weighed
from edge_operator.decide.measurement import Counts, of_warm_up
from edge_statistics.drift import OddsDrift
from edge_statistics.sequential import boundaries
from edgemodel.verdict import Verdict


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
    pooled: Pooled | None
    hypotheses: tuple[Hypothesis, Hypothesis, Hypothesis]
    pools: tuple[Pool, Pool]
    """The counts of all nodes together, as they count for a failure and for a pass."""
    thresholds: Thresholds
    requests_a_minute: float

    @cached_property
    def result(self) -> MeasureResult:
        """The numbers behind the verdict."""
        needed = 0.0
        if self.verdict is Verdict.INCONCLUSIVE:
            needed = inf if self.disturbed else max(requests_to_decide(*self.pools, self.thresholds), 1.0)
        found = detectable_increase(self.pools[0], self.thresholds)
        return MeasureResult(self.measure.key, self.hypotheses, found, needed, self.requests_a_minute)

    def __str__(self) -> str:
        share, limit, expected = percent(self.bad / self.total), percent(self.limit), percent(self.expected)
        count = f"n = {self.total} {on_nodes(self.nodes)}"
        told = f"{count}; {expected} % expected{self.because}"
        return f"{share} % of requests {self.measure.words}, limit {limit} % ({told})"


def judge_measure(evidence: Evidence, measure: Measure, known: Known, because: str, alpha: float) -> Tested | None:
    """Returns the result of one test; None if no request was counted on trial, or there is nothing to compare it
    with."""
    pooled, controls, moved = known.pooled, known.controls, known.drift
    trial = [counts for counts in evidence.trial if measure.total(counts)]
    found = Weighed.of(trial, measure, known)
    if found is None:
        return None
    to_pass = found
    if known.agreed is not None and moved is not None and known.agreed.factor < moved.factor:
        to_pass = Weighed.of(trial, measure, replace(known, to_pass=True)) or found
    bounds = boundaries(alpha, BETA)
    is_worse, is_above, is_below = worse(found, bounds.upper), above_limit(found), below_limit(to_pass, -bounds.lower)
    disturbed = measure.guarded and controls_exceed(controls)
    verdict = Verdict.INCONCLUSIVE
    if disturbed:
        pass
    elif is_worse.shown and is_above.shown:
        verdict = Verdict.FAIL
    elif is_below.shown:
        verdict = Verdict.PASS
    pool, pool_to_pass = found.pool(), to_pass.pool()
    told = pool_to_pass if verdict is Verdict.PASS else pool
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
        moved_up=moved is not None and moved.factor > 1 and is_shown(moved),
        disagree=nodes_disagree(moved, known.agreed),
        control_bad=sum(group.bad for group in controls),
        control_total=sum(group.total for group in controls),
        pooled=pooled,
        hypotheses=(is_worse, is_above, is_below),
        pools=(pool, pool_to_pass),
        thresholds=Thresholds(bounds.lower, bounds.upper, SHOWN, ALTERNATIVES, BEYOND, BELOW),
        requests_a_minute=_requests_a_minute(trial, measure, evidence),
    )


def _requests_a_minute(trial: Sequence[Counts], measure: Measure, evidence: Evidence) -> float:
    found = (
        (measure.total(counts) + measure.total(of_warm_up(counts)), evidence.seconds(counts.node)) for counts in trial
    )
    return sum(60 * total / seconds for total, seconds in found if seconds > 0)
