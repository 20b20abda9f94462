"""The counts of each node before its switch, and what all nodes of a variant have in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from edge_operator.decide.analysis.limits import Before
from edge_operator.decide.analysis.pooled import Pooled
from edge_operator.decide.analysis.share_test.measure import Measure
from edge_operator.decide.measurement import Baseline
from edge_statistics.dispersion import Moments, design_effect, shrunk_design_effect
from edge_statistics.shrinkage import Prior, Share, fit_prior

NO_PRIOR = Prior(0.002, 500.0)
"""The expectation where stable served no request at all: 0.2 % of bad ones."""


@dataclass(frozen=True)
class BeforeSwitch:
    """The requests of nodes before their switch, by one measure."""

    nodes: Mapping[str, Before]
    """The meaning of those of each node; without the nodes that they say nothing of."""
    moments: Mapping[str, Moments]
    """The moments of the bad ones by minute, of each of these nodes that has minutes."""

    @classmethod
    def of(cls, name: str, baseline: Baseline, measure: Measure) -> "BeforeSwitch":
        """Returns what ``baseline`` says by ``measure`` of the check ``name``."""
        return baseline.once((name, measure.key, measure.settings), lambda: cls._of(baseline, measure))

    @classmethod
    def _of(cls, baseline: Baseline, measure: Measure) -> "BeforeSwitch":
        found = ((counts, measure.before(counts)) for counts in baseline if measure.total(counts))
        before = [(counts, item) for counts, item in found if item is not None]
        moments = ((counts.node, measure.minutes(counts, item.edge)) for counts, item in before)
        return cls(
            {counts.node: item for counts, item in before},
            {node: of_node for node, of_node in moments if of_node is not None},
        )

    @cached_property
    def pooled(self) -> Pooled | None:
        """The part that the nodes have in common; None without a node."""
        return pooled_before(self.nodes, self.moments)

    def known(self, pooled: Pooled | None) -> "KnownShares":
        """Returns what is known of each node, if ``pooled`` is what they have in common."""
        if pooled not in self._known:
            self._known[pooled] = KnownShares(self, pooled)
        return self._known[pooled]

    @cached_property
    def _known(self) -> "dict[Pooled | None, KnownShares]":
        return {}


NOTHING_BEFORE = BeforeSwitch({}, {})


class KnownShares:
    """The share of bad requests of each node before its switch, shrunk towards that of all, and its design effect."""

    def __init__(self, before: BeforeSwitch, pooled: Pooled | None) -> None:
        self.before, self.pooled = before, pooled
        self.prior = pooled.prior if pooled is not None else NO_PRIOR
        self.effect_of_all = pooled.design_effect if pooled is not None else 1.0
        self._alone: dict[str, Share] = {}
        self._alike: dict[str, Share] = {}

    @cached_property
    def effects(self) -> Mapping[str, float]:
        """The design effect of each node with minutes."""
        if self.pooled is None:
            return {}
        return {node: shrunk_design_effect(own, self.effect_of_all) for node, own in self.before.moments.items()}

    def effect(self, node: str) -> float:
        """Returns the design effect of ``node``, or that of all nodes."""
        return self.effects.get(node, self.effect_of_all)

    def share(self, node: str, item: Before) -> Share:
        """Returns the share of ``node``, with the design effect of its own."""
        found = self._alone.get(node)
        if found is None:
            found = self._alone[node] = self._posterior(item, self.effect(node))
        return found

    def share_alike(self, node: str, item: Before) -> Share:
        """Returns the share of ``node``, with the design effect of all nodes."""
        found = self._alike.get(node)
        if found is None:
            found = self._alike[node] = self._posterior(item, self.effect_of_all)
        return found

    def _posterior(self, item: Before, effect: float) -> Share:
        return self.prior.posterior(item.bad / effect, item.total / effect)


def pooled_before(before: Mapping[str, Before], moments: Mapping[str, Moments]) -> Pooled | None:
    """Returns what the nodes have in common; None without a node."""
    if not before:
        return None
    effect = design_effect(moments.values())
    prior = fit_prior([(item.bad / effect, item.total / effect) for item in before.values()])
    return Pooled(prior, round(sum(item.total for item in before.values())), effect)
