"""The design effect: how much more counts vary than those of independent requests would.

Within one period a share of bad requests is common to all, and it differs from period to period: another program runs,
a client sends the same broken input again and again. Then ``n`` requests are worth ``n / deff`` independent ones. With
``k_t`` of ``n_t`` in period ``t`` and ``p = sum k / sum n``

    deff = sum (k_t - p n_t)^2 / (p (1 - p) (N - sum n_t^2 / N)),   N = sum n_t

which is 1 for independent requests (J. N. K. Rao and A. J. Scott, *A simple method for the analysis of clustered binary
data*, Biometrics 48 (1992), 577-585). Its sums over periods are enough, so that no count of a period has to be kept.
"""

from collections.abc import Iterable
from typing import NamedTuple

MOST = 50.0
TYPICAL_PERIODS = 10.0
"""The weight of the design effect of all groups in that of one, in periods with a bad request."""


class Moments(NamedTuple):
    """The sums over periods of the counts of one group: ``k`` bad ones of ``n``."""

    k: float = 0.0
    n: float = 0.0
    kk: float = 0.0
    kn: float = 0.0
    nn: float = 0.0

    def plus(self, k: float, n: float) -> "Moments":
        """Returns the sums with one more period."""
        return Moments(self.k + k, self.n + n, self.kk + k * k, self.kn + k * n, self.nn + n * n)

    def complement(self) -> "Moments":
        """Returns the sums of ``n - k`` of ``n``."""
        return Moments(self.n - self.k, self.n, self.nn - 2 * self.kn + self.kk, self.nn - self.kn, self.nn)

    @property
    def _excess(self) -> tuple[float, float]:
        """The (squared distances, those expected of independent requests)."""
        if self.n <= 0 or self.k <= 0:
            return 0.0, 0.0
        p = min(self.k / self.n, 1 - 1e-9)
        squared = self.kk - 2 * p * self.kn + p * p * self.nn
        return max(squared, 0.0), p * (1 - p) * max(self.n - self.nn / self.n, 0.0)


def design_effect(groups: Iterable[Moments]) -> float:
    """Returns the design effect over all groups, at least 1; without a bad request, 1.

    An estimate from few periods is uncertain and as often above 1 as below where requests are independent, so what
    exceeds 1 counts by ``excess^2 / (excess^2 + error^2)``, with the standard error of a Poisson count's index of
    dispersion, ``(2 + 1 / mean) / periods``.
    """
    pairs = [(group, *group._excess) for group in groups]
    expected = sum(pair[2] for pair in pairs)
    if expected <= 0:
        return 1.0
    excess = max(sum(pair[1] for pair in pairs) / expected - 1, 0.0)
    periods = sum(group.n**2 / group.nn for group, *_ in pairs if group.nn > 0)
    mean = sum(group.k for group, *_ in pairs) / periods
    error = (2 + 1 / mean) / periods
    return min(1 + excess * excess**2 / (excess**2 + error), MOST) if excess > 0 else 1.0


def after_rise(effect: float, factor: float) -> float:
    """Returns the design effect once shares are ``factor`` times what they were when it was measured, if that is above
    1.

    What bad requests have in common, such as another program that runs, multiplies a share: then the variance beyond
    that of independent requests grows with the square of the share, and its ratio to theirs with the share.
    """
    return 1 + (effect - 1) * max(factor, 1.0)


def shrunk_design_effect(group: Moments, of_all: float) -> float:
    """Returns the design effect of one group, averaged with that of all: the more bad ones it had, the more its own
    counts."""
    squared, expected = group._excess
    if expected <= 0:
        return of_all
    weight = group.k / (group.k + TYPICAL_PERIODS)
    return min(max(weight * squared / expected + (1 - weight) * of_all, 1.0), MOST)
