"""The power of a test: the increase that it could find by now, and how many more requests it needs.

The test rejects from a number of bad requests on, which follows from its two ratios on the pooled counts. The smallest
increase that reaches this number with a probability of 80 % is what could be found; counts are taken as normal, with
the variance that the weights of the ratios imply.
"""

from collections.abc import Sequence
from math import inf, log, sqrt
from typing import NamedTuple

from edge_statistics.sequential import mixed, two_shares

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
    worth: float = 1.0
    """The number of independent requests that a further one is worth, 0..1. The weights are below it where what is
    expected is uncertain, and fall with each request: no number of them makes up for a baseline."""

    def shares(self, null: float, alternative: float) -> tuple[float, float]:
        """Returns the shares of candidates with so many times the increase that is too much."""
        low, high = two_shares(self.p0, self.p1, *sorted((null, alternative)))
        return (low, high) if null < alternative else (high, low)


class Thresholds(NamedTuple):
    """The thresholds of mixed ratios, and the alternatives, in multiples of the increase that is too much."""

    lower: float
    upper: float
    shown: float
    alternatives: Sequence[float]
    beyond: Sequence[tuple[float, float]]
    """Each alternative after what it is compared with."""
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


def requests_to_decide(pool: Pool, to_pass: Pool, thresholds: Thresholds) -> float:
    """Returns how many more requests decide, if the share of bad ones stays what it is; infinity if none do.

    ``to_pass`` has the same counts, and what is expected of a candidate that passes.
    """
    share = (pool.bad + pool.p0) / (pool.total + 1)
    below = [_each(share, *to_pass.shares(1, multiple)) for multiple in thresholds.below]
    above = [_each(share, *pool.shares(*pair)) for pair in thresholds.beyond]
    worse = [_each(share, *pool.shares(0, multiple)) for multiple in thresholds.alternatives]
    passes = _until(to_pass, to_pass.at_limit, -thresholds.lower, below)
    fails = (
        _until(pool, pool.at_limit, thresholds.shown, above),
        _until(pool, pool.at_expected, thresholds.upper, worse),
    )
    return min(passes, max(fails))


def _each(share: float, null: float, alternative: float) -> float:
    """Returns what an independent request adds to the ratio of ``alternative`` on average."""
    return share * log(alternative / null) + (1 - share) * log((1 - alternative) / (1 - null))


def _until(pool: Pool, weight: float, threshold: float, each: Sequence[float]) -> float:
    """Returns how many more requests take the mixed ratios, to which an independent one adds ``each``, to
    ``threshold``.

    The weight of all requests is ``1 / (1 / worth + total uncertainty)``, so that ``total`` of them are worth no more
    than ``1 / uncertainty`` independent ones.
    """
    largest = max(each)
    if largest <= 0:
        return inf
    low, high = threshold / largest, (threshold + log(len(each))) / largest
    for _ in range(BISECTIONS if len(each) > 1 else 0):
        middle = (low + high) / 2
        low, high = (low, middle) if mixed([middle * one for one in each]) >= threshold else (middle, high)
    uncertainty = max(1 / max(weight, 1e-9) - 1 / pool.worth, 0.0) / pool.total
    if high * uncertainty >= 1:
        return inf
    return max(high / pool.worth / (1 - high * uncertainty) - pool.total, 0.0)


def _bad_to_fail(pool: Pool, thresholds: Thresholds) -> float:
    """Returns the number of bad requests, of ``pool.total``, from which the test fails; infinity if none is enough."""

    worse = [_line(pool, *pool.shares(0, multiple), pool.at_expected) for multiple in thresholds.alternatives]
    above = [_line(pool, *pool.shares(*pair), pool.at_limit) for pair in thresholds.beyond]

    def fails(bad: float) -> bool:
        shown = ((worse, thresholds.upper), (above, thresholds.shown))
        return all(mixed([first + bad * each for first, each in lines]) >= limit for lines, limit in shown)

    low, high = 0.0, pool.total
    if not fails(high):
        return inf
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if fails(middle) else (middle, high)
    return high


def _line(pool: Pool, low: float, high: float, weight: float) -> tuple[float, float]:
    """Returns the ratio without a bad request, and what each bad one adds to it."""
    good = weight * log((1 - high) / (1 - low))
    return pool.total * good, weight * log(high / low) - good
