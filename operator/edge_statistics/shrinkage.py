"""Shares of several groups, shrunk towards the mean of all: the beta-binomial model, by moments.

Groups' true shares follow a Beta distribution with mean ``m`` and strength ``s``, that is with variance
``m (1 - m) / (s + 1)``. With ``k`` of ``n`` in a group, its share has mean ``(k + m s) / (n + s)``: a group with little
data lies near the mean of all, one with much at its own. The moments are those of J. C. Kleinman, *Proportions with
extraneous variance: single and independent samples*, Journal of the American Statistical Association 68 (1973), 46-54.

The variance between few groups is itself uncertain, so its estimate, relative to ``m^2``, is averaged with
TYPICAL_VARIANCE, each weighted by its precision.
"""

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

TYPICAL_VARIANCE = 0.3
"""The variance between groups, relative to the squared mean, that is expected without data; its own standard deviation
is TYPICAL_SD."""
TYPICAL_SD = 0.5
LEAST_VARIANCE, MOST_VARIANCE = 0.01, 1.5
START = 0.5
"""The bad one that is added, so that no mean is 0."""


class Share(NamedTuple):
    """A share that is known with this variance."""

    mean: float
    variance: float


class Prior(NamedTuple):
    """The Beta distribution of the shares of groups: 0 < mean < 1, strength > 0."""

    mean: float
    strength: float

    def posterior(self, bad: float, total: float) -> Share:
        """Returns the share of a group with ``bad`` of ``total``."""
        weight = total + self.strength
        mean = (bad + self.mean * self.strength) / weight
        return Share(mean, mean * (1 - mean) / (weight + 1))


def fit_prior(groups: Sequence[tuple[float, float]]) -> Prior:
    """Returns the distribution that groups of (bad, total) come from. Counts may be fractions; at least one total must
    exceed 0. Raises ValueError otherwise."""
    counted = [(bad, total) for bad, total in groups if total > 0]
    everything = sum(total for _, total in counted)
    if everything <= 0:
        raise ValueError("no group has any data")
    mean = min((sum(bad for bad, _ in counted) + START) / (everything + 2 * START), 0.98)
    relative = _relative_variance(counted, everything, mean)
    variance = relative * mean * mean
    return Prior(mean, max(mean * (1 - mean) / variance - 1, 1.0))


def _relative_variance(counted: Sequence[tuple[float, float]], everything: float, mean: float) -> float:
    count = len(counted)
    if count < 2:
        return TYPICAL_VARIANCE
    within = mean * (1 - mean)
    observed = sum(total * (bad / total - mean) ** 2 for bad, total in counted)
    spread = everything - sum(total * total for _, total in counted) / everything
    relative = (observed - (count - 1) * within) / spread / mean**2
    # Of a chi-square with count - 1 degrees of freedom.
    error = sqrt(2 / (count - 1)) * (within / mean**2 * count / everything + max(relative, 0.0))
    weight = TYPICAL_SD**2 / (TYPICAL_SD**2 + error**2)
    mixed = weight * relative + (1 - weight) * TYPICAL_VARIANCE
    return min(max(mixed, LEAST_VARIANCE), MOST_VARIANCE)
