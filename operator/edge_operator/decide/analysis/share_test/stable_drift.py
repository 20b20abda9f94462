"""The drift on nodes that run stable since the switch: by what factor the odds of a bad request moved there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import log, sqrt
from typing import NamedTuple

from edge_operator.decide.analysis.evidence import Evidence
from edge_operator.decide.analysis.limits import ALLOWANCE, Before
from edge_operator.decide.analysis.share_test.before_switch import BeforeSwitch, KnownShares
from edge_operator.decide.analysis.share_test.measure import Measure
from edge_operator.decide.measurement import Counts
from edge_statistics.dispersion import after_rise
from edge_statistics.drift import OddsDrift, drift
from edge_statistics.outliers import Group as Moved
from edge_statistics.outliers import find_outliers

MIN_CONTROL_REQUESTS = 10
"""The smallest number of requests on stable nodes that show a drift."""


class _Shown(NamedTuple):
    """The requests of a node on stable since the switch, and what those before it say."""

    node: str
    before: Before
    bad: int
    total: int


@dataclass(frozen=True)
class StableNodes:
    """Nodes of one variant that run stable."""

    control: Sequence[Counts]
    shares: KnownShares
    shown: Sequence[_Shown]
    """The nodes with requests in both windows."""
    odd: Sequence[str] = ()
    """The nodes that moved for themselves, which are in neither of the above."""
    agree: bool = True
    """False if nobody can tell which nodes of all groups moved for themselves."""

    @classmethod
    def of(cls, control: Sequence[Counts], shares: KnownShares, measure: Measure) -> "StableNodes":
        """Returns the group as ``measure`` counts it.

        If nothing is known of the time before, they are compared with what was pooled, else with NO_PRIOR, as those on
        trial are: Prometheus has lost its data, or nobody called stable.
        """
        before = shares.before.nodes
        lost = measure.without_baseline if not before else None
        pairs = ((counts, before.get(counts.node, lost)) for counts in control)
        found = (
            _Shown(counts.node, item, measure.bad(counts, item.edge), measure.total(counts))
            for counts, item in pairs
            if item is not None
        )
        return cls(control, shares, [item for item in found if item.total])

    @cached_property
    def moves(self) -> Mapping[str, Moved]:
        """The counts of each node in ``shown``, in independent requests, and what was expected of it."""
        effect, share = self.shares.effect_of_all, self.shares.share_alike
        return {
            node: Moved(bad / effect, total / effect, share(node, before)) for node, before, bad, total in self.shown
        }

    @property
    def bad(self) -> int:
        """Returns the number of their bad requests."""
        return sum(item.bad for item in self.shown)

    @property
    def total(self) -> int:
        """Returns the number of their requests."""
        return sum(item.total for item in self.shown)


def controls_of(name: str, evidence: Evidence, measure: Measure, own: StableNodes) -> list[StableNodes]:
    """Returns the nodes that show the drift: ``own`` of the variant, and those of all variants if they are too few."""
    groups = [own]
    if not evidence.others or own.total >= MIN_CONTROL_REQUESTS:
        return _without_odd_ones(groups)
    for other in evidence.others:
        before = BeforeSwitch.of(name, other.baseline, measure)
        shares = before.known(other.fixed.get((name, measure.key)) or before.pooled)
        groups.append(StableNodes.of(other.control, shares, measure))
    return _without_odd_ones(groups)


def _without_odd_ones(groups: list[StableNodes]) -> list[StableNodes]:
    """Returns ``groups`` without the nodes that moved for themselves, as one whose input breaks does."""
    moves = {node: moved for group in groups for node, moved in group.moves.items()}
    names, (odd, agree) = list(moves), find_outliers(list(moves.values()))
    if not odd and agree:
        return groups
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


def drift_of(groups: Sequence[StableNodes]) -> tuple[OddsDrift | None, OddsDrift | None]:
    """Returns the (drift, part of it that the nodes agree on) on stable nodes since the switch; None if they have too
    few requests.

    Whether the node that got worse, or better, by the most requests moved with the others or for itself, only these can
    tell. So a rise beyond the allowance counts for a pass only as far as the others show it, and so does a fall that is
    shown for a failure. Neither counts if the nodes do not agree. A fall on one node alone never counts for a failure.
    """
    moves = [moved for group in groups for moved in group.moves.values()]
    total = sum(group.total for group in groups)
    if total < MIN_CONTROL_REQUESTS:
        return None, None
    effect = sum(group.shares.effect_of_all * group.total for group in groups) / total
    moves.sort(key=lambda one: one.bad - one.total * one.share.mean)
    found, agree = _drift_of(moves), all(group.agree for group in groups)
    factor = agreed = found.factor
    if factor > ALLOWANCE:
        agreed = min(factor, _drift_of(moves[:-1]).factor) if agree else 1.0
    elif factor < 1 and (is_shown(found) or len(moves) == 1):
        factor = max(factor, min(_drift_of(moves[1:]).factor, 1.0) if agree else 1.0)
    # Their counts are in requests that were independent at the shares of before.
    variance = found.variance * after_rise(effect, found.factor) / effect
    return OddsDrift(factor, variance), OddsDrift(agreed, variance)


def is_shown(moved: OddsDrift) -> bool:
    """Returns whether the odds moved by more than two standard deviations."""
    return abs(log(moved.factor)) > 2 * sqrt(moved.variance)


def nodes_disagree(found: OddsDrift | None, agreed: OddsDrift | None) -> bool:
    """Returns whether the nodes agree on less than half of a rise."""
    return found is not None and agreed is not None and max(agreed.factor, ALLOWANCE) ** 2 < found.factor


def _drift_of(moves: Sequence[Moved]) -> OddsDrift:
    return drift(
        sum(one.bad for one in moves),
        sum(one.total for one in moves),
        sum(one.total * one.share.mean for one in moves),
        sum(one.total**2 * one.share.variance for one in moves),
    )
