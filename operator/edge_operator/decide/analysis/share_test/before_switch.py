"""The counts of each node before its switch, and what all nodes of a variant have in common."""

from collections.abc import Mapping, Sequence

from edge_operator.decide.analysis.limits import Before
from edge_operator.decide.analysis.pooled import Pooled
from edge_operator.decide.analysis.share_test.measure import Measure
from edge_operator.decide.measurement import Counts
from edge_statistics.dispersion import Moments, design_effect
from edge_statistics.shrinkage import Prior, fit_prior

NO_PRIOR = Prior(0.002, 500.0)
"""The expectation where stable served no request at all: 0.2 % of bad ones."""


def before_switch(baseline: Sequence[Counts], measure: Measure) -> dict[str, Before]:
    """Returns what the requests of each node before its switch say; without the nodes that they say nothing of."""
    found = ((counts.node, measure.before(counts)) for counts in baseline if measure.total(counts))
    return {node: before for node, before in found if before is not None}


def moments_before(baseline: Sequence[Counts], measure: Measure, before: Mapping[str, Before]) -> dict[str, Moments]:
    """Returns the moments of the bad requests by minute, of each node in ``before`` that has minutes."""
    found = (
        (counts.node, measure.minutes(counts, before[counts.node].edge)) for counts in baseline if counts.node in before
    )
    return {node: moments for node, moments in found if moments is not None}


def pooled_before(before: Mapping[str, Before], moments: Mapping[str, Moments]) -> Pooled | None:
    """Returns what the nodes have in common; None without a node."""
    if not before:
        return None
    effect = design_effect(moments.values())
    prior = fit_prior([(item.bad / effect, item.total / effect) for item in before.values()])
    return Pooled(prior, round(sum(item.total for item in before.values())), effect)
