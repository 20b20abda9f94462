"""The weight of each node's evidence: the number of independent requests with known shares that one is worth."""

from collections.abc import Sequence

from edge_operator.decide.analysis.share_test.expected_share import Expected
from edge_statistics.drift import OddsDrift
from edge_statistics.sequential import Stratum


def dispersion_weights(expected: Sequence[Expected], moved: OddsDrift | None) -> tuple[list[float], list[float]]:
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


def mean_weight(weights: Sequence[float], strata: Sequence[Stratum]) -> float:
    """Returns the mean of the weights of ``strata``, over their requests."""
    return sum(w * s.total for w, s in zip(weights, strata, strict=True)) / sum(s.total for s in strata)
