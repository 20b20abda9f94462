"""The limits that follow from a baseline: what is expected of the candidate, and what is too much.

A node's own share of bad requests before its switch, as the upper end of a 90 % interval (Wilson, one-sided) and at
least FLOOR, times TOLERANCE in odds, is still taken for unchanged (``p0``). Without the tolerance the drift of a day, a
fifth up and down, moves the share of slow requests by more than a percentage point and rolls back one good candidate
in twenty. ``p1`` is too much: the user's increase on top, or WORSE times the odds where that is more.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf, log
from operator import itemgetter

from edge_statistics.interval import Z_ONE_SIDED_10_PERCENT
from edge_statistics.wilson import wilson_interval

FLOOR = 0.002
"""A share of bad requests that nobody is asked to keep below."""
TOLERANCE = 1.5
WORSE = 2.0
MIN_FOR_SHARES = 500
"""With fewer requests of its own, no better is expected of a node than of all the nodes of its variant together."""
MIN_FOR_SLOWDOWN = 50
"""MIN_FOR_SHARES for latencies: nodes differ so much in speed that the others say little about one."""
TAIL = 0.1
"""A node is watched at a bucket edge that at most this share of its requests would exceed on a slow day."""
MIN_STEP = 0.05
"""``p1`` is above ``p0`` by this much at least, where the histogram is too coarse to tell."""
MAX_SHARE = 0.98
REMEMBERED = 8192
"""A baseline stays the same for a whole wave: so many limits are not computed anew at every look."""


@dataclass(frozen=True)
class Limits:
    """A share of at most ``p0`` is expected, ``p1`` is too much; both in 0..1, ``p0 < p1``."""

    p0: float
    p1: float
    requests: int
    """The requests that the limits rest on; 0: on nothing but the floor."""
    edge: float | None = None
    """Slow is what took longer, in seconds; None where bad means failed."""


@lru_cache(REMEMBERED)
def allowed_share(bad: int, total: int, max_increase: float, edge: float | None = None) -> Limits:
    """Returns the limits that follow from ``bad`` of ``total`` requests before; none before: from the floor alone."""
    unchanged = max(FLOOR, wilson_interval(bad, total, Z_ONE_SIDED_10_PERCENT).upper) if total else FLOOR
    p0 = min(_times_odds(unchanged, TOLERANCE), MAX_SHARE - 0.01)
    return Limits(p0, min(max(p0 + max_increase, _times_odds(p0, WORSE)), MAX_SHARE), total, edge)


def allowed_slowdown(durations: Mapping[float, int], max_slowdown: float) -> Limits | None:
    """Returns the limits of the share of requests beyond an edge, and that edge.

    Too much is what it would be if all requests took ``max_slowdown`` longer than before (1.0: twice as long). Half of
    the slowdown is expected, as the drift of the day; the edge is the first that at most TAIL would exceed then. None
    without a request, or where they take longer than any edge.
    """
    return _allowed_slowdown(tuple(sorted(durations.items())), max_slowdown)


@lru_cache(REMEMBERED)
def _allowed_slowdown(at_most: tuple[tuple[float, int], ...], max_slowdown: float) -> Limits | None:
    total = at_most[-1][1] if at_most and at_most[-1][0] == inf else 0
    if total <= 0:
        return None
    drift = max_slowdown / 2
    place = bisect_left(at_most, -TAIL, key=lambda item: -beyond(at_most, item[0] / (1 + drift)) / total)
    if place >= len(at_most) - 1:
        return None
    edge = at_most[place][0]
    drifted = beyond(at_most, edge / (1 + drift))
    p0 = max(FLOOR, wilson_interval(drifted, total, Z_ONE_SIDED_10_PERCENT).upper)
    p1 = max(beyond(at_most, edge / (1 + max_slowdown)) / total, p0 + MIN_STEP)
    return Limits(min(p0, MAX_SHARE - MIN_STEP), min(p1, MAX_SHARE), total, edge)


def more_lenient(own: Limits, pooled: Limits) -> Limits:
    """Returns whichever allows more, for a node whose own baseline is too small to stand alone."""
    return max(own, pooled, key=lambda limits: (limits.edge or 0.0, limits.p0))


def beyond(at_most: Sequence[tuple[float, int]], seconds: float) -> float:
    """Returns how many took longer than ``seconds``, by a straight line over the logarithm within a bucket.

    ``at_most``: (upper edge, how many took at most so long), ascending, the last of infinity.
    """
    total = at_most[-1][1]
    place = bisect_left(at_most, seconds, key=itemgetter(0))
    edge, count = at_most[place]
    lower, below = at_most[place - 1] if place else (0.0, 0)
    if edge == inf:
        return float(total - below)
    share = log(seconds / lower) / log(edge / lower) if lower > 0 else seconds / edge
    return min(max(total - (below + (count - below) * share), 0.0), float(total))


def common_edge(objective: float, histograms: Iterable[Mapping[float, int]]) -> float | None:
    """Returns the smallest bucket edge, at or above the objective, that all histograms have; None without one.

    Empty histograms do not count. A revision that was rolled out with another objective has its edge elsewhere.
    """
    sets = [set(histogram) for histogram in histograms if histogram]
    shared = set.intersection(*sets) if sets else set()
    return min((edge for edge in shared if objective * (1 - 1e-9) <= edge < inf), default=None)


def _times_odds(share: float, factor: float) -> float:
    odds = factor * share / (1 - share) if share < 1 else inf
    return odds / (1 + odds) if odds < inf else 1.0
