"""The share of bad requests that is expected of a node, and the limit on top of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edge_operator.decide.analysis.evidence import Evidence
from edge_operator.decide.analysis.limits import MAX_SHARE, Before, times_odds
from edge_operator.decide.analysis.pooled import Pooled
from edge_operator.decide.analysis.share_test.before_switch import BeforeSwitch, KnownShares
from edge_operator.decide.analysis.share_test.measure import Measure
from edge_operator.decide.analysis.share_test.stable_drift import (
    MIN_CONTROL_REQUESTS,
    StableNodes,
    controls_of,
    drift_of,
)
from edge_operator.decide.measurement import Counts
from edge_statistics.dispersion import after_rise
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

    shares: KnownShares
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
        share, least = self.shares.share(node, item), self.least.get(node)
        if least is None:
            return share
        return Share(max(share.mean, least.mean), max(share.variance, least.variance))

    @property
    def before(self) -> Mapping[str, Before]:
        """The requests of each node before its switch."""
        return self.shares.before.nodes

    @property
    def pooled(self) -> Pooled | None:
        """The part that the nodes have in common."""
        return self.shares.pooled


def known_before(name: str, evidence: Evidence, measure: Measure) -> Known:
    """Returns what is known for ``measure`` of the check ``name``: fixed for the wave, or measured now."""
    before = BeforeSwitch.of(name, evidence.baseline, measure)
    shares = before.known(evidence.fixed.get((name, measure.key)) or before.pooled)
    controls = controls_of(name, evidence, measure, StableNodes.of(evidence.control, shares, measure))
    return Known(shares, controls, *drift_of(controls))


def expected_of(counts: Counts, measure: Measure, known: Known) -> Expected | None:
    """Returns what is expected of the node with ``counts``; None if it has nothing to be compared with."""
    item = known.before.get(counts.node, measure.without_baseline)
    if item is None:
        return None
    share = known.share(counts.node, item)
    stratum = _stratum(measure.bad(counts, item.edge), measure.total(counts), share, known.factor(item), item)
    p0 = stratum.p0
    growth = p0 * (1 - p0) / (share.mean * (1 - share.mean))
    effect = after_rise(known.shares.effect(counts.node), p0 / share.mean)
    return Expected(stratum, Share(p0, share.variance * growth**2), 1 / effect)


def _stratum(bad: int, total: int, share: Share, factor: float, item: Before) -> Stratum:
    p0 = min(times_odds(share.mean, factor), MAX_SHARE - 0.02)
    return Stratum(bad, total, p0, min(p0 + item.increase, MAX_SHARE - 0.01))


def controls_exceed(groups: Sequence[StableNodes]) -> bool:
    """Returns whether nodes on stable are nearer to their limits than to what is expected of them without a drift."""
    strata = [
        _stratum(bad, total, group.shares.share_alike(node, before), before.allowance, before)
        for group in groups
        for node, before, bad, total in group.shown
    ]
    return sum(s.total for s in strata) >= MIN_CONTROL_REQUESTS and log_likelihood_ratio(strata) > 0
