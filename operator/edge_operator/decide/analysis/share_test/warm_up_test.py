"""The test of a candidate's warm-ups against those of the servers that run stable."""

from dataclasses import replace

from edge_operator.decide.analysis.evidence import Evidence
from edge_operator.decide.analysis.limits import ALLOWANCE
from edge_operator.decide.analysis.share_test.before_switch import (
    NOTHING_BEFORE,
    BeforeSwitch,
    KnownShares,
    pooled_before,
)
from edge_operator.decide.analysis.share_test.expected_share import Known
from edge_operator.decide.analysis.share_test.measure import Measure
from edge_operator.decide.analysis.share_test.measure_test import Tested, judge_measure
from edge_operator.decide.measurement import Baseline, of_warm_up
from edge_statistics.drift import OddsDrift

WARM_UP_ALPHA = 0.1
"""The part of a test's probability of error that is left to the comparison of warm-ups, whether there is one or not."""
MIN_NODES = 2
"""The smallest number of nodes whose warm-ups are compared with: from one, nobody knows how much starts differ."""


def warm_ups_of(evidence: Evidence) -> Evidence:
    """Returns the evidence of warm-ups alone; without requests on trial if there are none in the warm-up."""
    trial = tuple(map(of_warm_up, evidence.trial))
    baseline = Baseline()
    if any(counts.values for counts in trial):
        baseline = evidence.baseline.once(of_warm_up, lambda: Baseline(map(of_warm_up, evidence.baseline)))
    return replace(evidence, trial=trial, baseline=baseline)


def judge_warm_up(name: str, evidence: Evidence, measure: Measure, steady: Known, alpha: float) -> Tested | None:
    """Returns the result of the comparison with stable's warm-ups, by ``evidence`` of these alone; None without one.

    One warm-up of a node says little about its next, so what is expected of each is the distribution over all nodes.
    It is at least the share of the node's later requests. The mean of few nodes is uncertain for all alike, as a drift
    is; that of later requests counts if it exceeds ALLOWANCE, which is expected otherwise. Requests of a warm-up are
    taken to come together as later ones do, because it is too short to measure that. A slowdown has no edge that two
    warm-ups share, and is not compared.
    """
    measure = replace(measure, key=f"{measure.key}-warm-up", words=f"of the warm-up {measure.words}")
    if not any(map(measure.total, evidence.trial)):
        return None
    before = BeforeSwitch.of(name, evidence.baseline, measure).nodes
    pooled = evidence.fixed.get((name, measure.key))
    if pooled is None and len(before) >= MIN_NODES:
        pooled = pooled_before(before, steady.shares.before.moments)
    if pooled is None or measure.without_baseline is None:
        return None
    least = {
        counts.node: steady.share(counts.node, steady.before.get(counts.node, measure.without_baseline))
        for counts in evidence.trial
        if measure.total(counts)
    }
    mean = max(pooled.prior.mean, steady.pooled.prior.mean if steady.pooled is not None else 0.0)
    of_mean = (1 / (pooled.prior.strength + 1) / max(len(before), 1) + 1 / pooled.requests) / (mean * (1 - mean))
    moved = max(steady.drift or OddsDrift(1.0, 0.0), OddsDrift(ALLOWANCE, 0.0))
    moved = OddsDrift(moved.factor, moved.variance + of_mean)
    known = Known(KnownShares(NOTHING_BEFORE, pooled), steady.controls, moved, moved, least)
    return judge_measure(evidence, measure, known, " after the warm-ups of stable", alpha)
