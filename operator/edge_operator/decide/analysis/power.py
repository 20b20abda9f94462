"""What a test could find by now, and how much more it needs.

The test rejects from a number of bad requests on, which follows from its two ratios on the pooled counts. The smallest
increase that reaches this number with a probability of 80 % is what could be found; counts are taken as normal, with
the variance that the weights of the ratios imply.
"""

from collections.abc import Sequence
from math import inf, log, sqrt
from typing import NamedTuple

from edge_statistics.sequential import Stratum, log_likelihood_ratio, mixed

Z_80_PERCENT = 0.8416212335729143
BISECTIONS = 25


class Pool(NamedTuple):
    """The counts of all nodes together: ``bad`` of ``total``, ``p0`` expected, ``p1`` too much, and the weights of
    ratios (0..1) against the one and the other."""

    bad: float
    total: float
    p0: float
    p1: float
    at_expected: float
    at_limit: float

    def ratio(self, bad: float, low: float, high: float, weight: float) -> float:
        return log_likelihood_ratio([Stratum(weight * bad, weight * self.total, low, high)])

    def share(self, multiple: float) -> float:
        """Returns the share of a candidate with so many times the increase that is too much."""
        return min(self.p0 + multiple * (self.p1 - self.p0), (1 + self.p1) / 2)


class Thresholds(NamedTuple):
    lower: float
    upper: float
    shown: float
    alternatives: Sequence[float]
    beyond: float
    below: Sequence[float]


def detectable_increase(pool: Pool, thresholds: Thresholds) -> float:
    """Returns the increase of the share, 0..1, that would be found by now with four chances in five; infinity if
    none would."""
    needed = _bad_to_fail(pool, thresholds)
    if needed == inf:
        return inf
    # The share of which ``needed`` is the lower end of the interval, as in Wilson's.
    spread = Z_80_PERCENT**2 * pool.total / max(pool.at_limit, 1e-9)
    twice = 2 * pool.total * needed + spread
    whole = pool.total**2 + spread
    return (twice + sqrt(max(twice**2 - 4 * whole * needed**2, 0.0))) / (2 * whole) - pool.p0


def requests_to_decide(pool: Pool, thresholds: Thresholds) -> float:
    """Returns how many more requests decide, if the share of bad ones stays what it is; infinity if none do."""
    share = (pool.bad + pool.p0) / (pool.total + 1)

    def each(low: float, high: float, weight: float) -> float:
        return weight * (share * log(high / low) + (1 - share) * log((1 - high) / (1 - low)))

    lacking = [-pool.ratio(pool.bad, pool.share(m), pool.p1, pool.at_limit) for m in thresholds.below]
    steps = [-each(pool.share(m), pool.p1, pool.at_limit) for m in thresholds.below]
    to_pass = min(
        _still(-thresholds.lower + log(len(lacking)) - ratio, step) for ratio, step in zip(lacking, steps, strict=True)
    )
    if -mixed(lacking) <= thresholds.lower:
        to_pass = 0.0
    beyond = pool.share(thresholds.beyond)
    to_show = _still(
        thresholds.shown - pool.ratio(pool.bad, pool.p1, beyond, pool.at_limit), each(pool.p1, beyond, pool.at_limit)
    )
    worse = max(thresholds.alternatives, key=lambda multiple: each(pool.p0, pool.share(multiple), pool.at_expected))
    to_reject = _still(
        thresholds.upper - pool.ratio(pool.bad, pool.p0, pool.share(worse), pool.at_expected),
        each(pool.p0, pool.share(worse), pool.at_expected),
    )
    return min(to_pass, max(to_show, to_reject))


def _still(missing: float, each: float) -> float:
    if missing <= 0:
        return 0.0
    return missing / each if each > 0 else inf


def _bad_to_fail(pool: Pool, thresholds: Thresholds) -> float:
    """Returns the number of bad requests, of ``pool.total``, from which the test fails; infinity if none is enough."""

    shares = [pool.share(multiple) for multiple in thresholds.alternatives]
    against_expected = [_line(pool, pool.p0, share, pool.at_expected) for share in shares]
    first, each = _line(pool, pool.p1, pool.share(thresholds.beyond), pool.at_limit)
    low = max((thresholds.shown - first) / each, 0.0)
    high = pool.total

    def worse(bad: float) -> bool:
        return mixed([first + bad * each for first, each in against_expected]) >= thresholds.upper

    if low > high or not worse(high):
        return inf
    if worse(low):
        return low
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if worse(middle) else (middle, high)
    return high


def _line(pool: Pool, low: float, high: float, weight: float) -> tuple[float, float]:
    """Returns the ratio without a bad request, and what each bad one adds to it."""
    good = weight * log((1 - high) / (1 - low))
    return pool.total * good, weight * log(high / low) - good
