"""Newcombe's hybrid score interval for the difference of two independent proportions.

Method 10 of R. G. Newcombe, *Interval estimation for the difference between independent proportions*, Statistics in
Medicine 17 (1998), 873-890. With Wilson's limits ``l, u`` of each proportion

    (p1 - p2) - sqrt((p1 - l1)^2 + (u2 - p2)^2)   to   (p1 - p2) + sqrt((u1 - p1)^2 + (p2 - l2)^2)

It keeps its coverage where a count is zero or all, which is where an edge fleet lives.
"""

from math import sqrt

from edge_statistics.interval import Interval
from edge_statistics.wilson import wilson_interval


def newcombe_interval(k1: float, n1: float, k2: float, n2: float, z: float) -> Interval:
    """Returns the limits, in -1..1, of the proportion ``k1 / n1`` less ``k2 / n2``; -1 to 1 when either has no sample.

    Raises ValueError unless ``0 <= k <= n`` on both sides.
    """
    if n1 == 0 or n2 == 0:
        return Interval(-1.0, 1.0)
    p1, p2 = k1 / n1, k2 / n2
    first, second = wilson_interval(k1, n1, z), wilson_interval(k2, n2, z)
    below = sqrt((p1 - first.lower) ** 2 + (second.upper - p2) ** 2)
    above = sqrt((first.upper - p1) ** 2 + (p2 - second.lower) ** 2)
    return Interval(p1 - p2 - below, p1 - p2 + above)
