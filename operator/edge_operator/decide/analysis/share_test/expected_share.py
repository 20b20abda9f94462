"""The share of bad requests that is expected of a node, and the limit on top of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edge_operator.decide.analysis.evidence import Evidence
from edge_operator.decide.analysis.limits import MAX_SHARE, Before, times_odds
from edge_operator.decide.analysis.pooled import Pooled
from edge_operator.decide.analysis.share_test.before_switch import (
    NO_PRIOR,
    before_switch,
    moments_before,
    pooled_before,
)
from edge_operator.decide.analysis.share_test.measure import Measure
from edge_operator.decide.analysis.share_test.stable_drift import (
    MIN_CONTROL_REQUESTS,
    StableNodes,
    controls_of,
    drift_of,
)
from edge_operator.decide.measurement import Counts
from edge_statistics.dispersion import shrunk_design_effect
from edge_statistics.drift import OddsDrift
from edge_statistics.sequential import Stratum, log_likelihood_ratio
from edge_statistics.shrinkage import Share


@dataclass(frozen=True)
class Expected:
    """A node's requests since the switch, and what is expected of them."""

    stratum: Stratum
    """With the expected share as ``p0``, and the limit as ``p1``."""
    share: Share
    worth: float
    """The number of independent requests that one is worth, 0..1, the drift aside."""


@dataclass(frozen=True)
class Known:
    """The knowledge of a variant's nodes from before the switch, and from stable beside it."""

    before: Mapping[str, Before]
    pooled: Pooled | None
    effects: Mapping[str, float]
    """The design effect of each node."""
    controls: Sequence[StableNodes]
    drift: OddsDrift | None
    agreed: OddsDrift | None
    """The part of the drift that the nodes on stable agree on."""
    least: Mapping[str, Share] = field(default_factory=dict)
    """The share that is expected of a node at least, before the drift."""
    to_pass: bool = False
    """True if a rise beyond the allowance of ``Before`` counts only as far as the nodes on stable agree on it."""

    def factor(self, item: Before) -> float:
        """Returns the factor of odds that is expected of a node with ``item``."""
        if self.drift is None:
            return item.allowance
        if self.to_pass and self.agreed is not None:
            return min(self.drift.factor, max(self.agreed.factor, item.allowance))
        return self.drift.factor

    def share(self, node: str, item: Before) -> Share:
        """Returns the share that is expected of the node, before the drift."""
        effect, prior = self.effect(node), self.pooled.prior if self.pooled is not None else NO_PRIOR
        share = prior.posterior(item.bad / effect, item.total / effect)
        least = self.least.get(node, share)
        return Share(max(share.mean, least.mean), max(share.variance, least.variance))

    def effect(self, node: str) -> float:
        """Returns the design effect of the node, or that of all nodes."""
        return self.effects.get(node, self.pooled.design_effect if self.pooled is not None else 1.0)


def known_before(name: str, evidence: Evidence, measure: Measure) -> Known:
    """Returns what is known for ``measure`` of the check ``name``: fixed for the wave, or measured now."""
    before = before_switch(evidence.baseline, measure)
    moments = moments_before(evidence.baseline, measure, before)
    pooled = evidence.fixed.get((name, measure.key)) or pooled_before(before, moments)
    effects = (
        {}
        if pooled is None
        else {node: shrunk_design_effect(of_node, pooled.design_effect) for node, of_node in moments.items()}
    )
    controls = controls_of(name, evidence, measure, StableNodes.of(evidence.control, before, pooled, measure))
    return Known(before, pooled, effects, controls, *drift_of(controls))


def expected_of(counts: Counts, measure: Measure, known: Known) -> Expected | None:
    """Returns what is expected of the node with ``counts``; None if it has nothing to be compared with."""
    item = known.before.get(counts.node, measure.without_baseline)
    if item is None:
        return None
    share = known.share(counts.node, item)
    p0 = min(times_odds(share.mean, known.factor(item)), MAX_SHARE - 0.02)
    total = measure.total(counts)
    stratum = Stratum(measure.bad(counts, item.edge), total, p0, min(p0 + item.increase, MAX_SHARE - 0.01))
    growth = p0 * (1 - p0) / (share.mean * (1 - share.mean))
    return Expected(stratum, Share(p0, share.variance * growth**2), 1 / known.effect(counts.node))


def controls_exceed(groups: Sequence[StableNodes], measure: Measure) -> bool:
    """Returns whether nodes on stable are nearer to their limits than to what is expected of them."""
    expected = [
        expected_of(counts, measure, Known(group.before, group.pooled, {}, (), None, None))
        for group in groups
        for counts in group.control
        if measure.total(counts)
    ]
    strata = [item.stratum for item in expected if item is not None]
    return sum(s.total for s in strata) >= MIN_CONTROL_REQUESTS and log_likelihood_ratio(strata) > 0
