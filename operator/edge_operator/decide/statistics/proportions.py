"""Intervals for proportions, and for the difference of two independent ones.

Wilson's score interval: E. B. Wilson, *Probable inference, the law of succession, and statistical inference*,
Journal of the American Statistical Association 22 (1927), 209-212. With ``k`` of ``n`` and quantile ``z``

    centre = (k + z^2 / 2) / (n + z^2),   half = z sqrt(k (n - k) / n + z^2 / 4) / (n + z^2)

The difference: Newcombe's hybrid score interval, method 10 of R. G. Newcombe, *Interval estimation for the
difference between independent proportions*, Statistics in Medicine 17 (1998), 873-890. With Wilson's limits
``l, u`` of each proportion

    (p1 - p2) - sqrt((p1 - l1)^2 + (u2 - p2)^2)   to   (p1 - p2) + sqrt((u1 - p1)^2 + (p2 - l2)^2)

Both keep their coverage where a count is zero or all, which is where an edge fleet lives.
"""

from dataclasses import dataclass
from math import sqrt


@dataclass(frozen=True)
class Interval:
    lower: float
    upper: float


def wilson(k: float, n: float, z: float) -> Interval:
    """Limits, in 0..1, of the proportion of which ``k`` of ``n`` were seen; 0 to 1 when ``n`` is 0.

    Each limit alone is one-sided at the level of ``z``. Raises ValueError unless ``0 <= k <= n``.
    """
    if not 0 <= k <= n:
        raise ValueError(f"not a proportion: {k} of {n}")
    if n == 0:
        return Interval(0.0, 1.0)
    centre = (k + z * z / 2) / (n + z * z)
    half = z * sqrt(k * (n - k) / n + z * z / 4) / (n + z * z)
    return Interval(0.0 if k == 0 else max(0.0, centre - half), 1.0 if k == n else min(1.0, centre + half))


def difference(k1: float, n1: float, k2: float, n2: float, z: float) -> Interval:
    """Limits, in -1..1, of the first proportion less the second; -1 to 1 when either has no sample."""
    if n1 == 0 or n2 == 0:
        return Interval(-1.0, 1.0)
    p1, p2 = k1 / n1, k2 / n2
    first, second = wilson(k1, n1, z), wilson(k2, n2, z)
    below = sqrt((p1 - first.lower) ** 2 + (second.upper - p2) ** 2)
    above = sqrt((first.upper - p1) ** 2 + (p2 - second.lower) ** 2)
    return Interval(p1 - p2 - below, p1 - p2 + above)
