"""The limits that follow from a baseline: the expected share of bad requests, and the share that is too much.

The expected share ``p0`` is a node's own share before its switch, as the upper end of a 90 % interval (Wilson,
one-sided) and at least FLOOR, times TOLERANCE in odds. Without the tolerance the daily variation, a fifth up and down,
moves the share of slow requests by more than a percentage point and rolls back one good candidate in twenty. ``p1`` is
too much: the user's increase on top, or WORSE times the odds if that is more.
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
"""The smallest expected share of bad requests."""
TOLERANCE = 1.5
WORSE = 2.0
MIN_FOR_SHARES = 500
"""The number of requests from which a node's own baseline alone gives its limits; with fewer, the more lenient of its
own and its variant's applies."""
MIN_FOR_SLOWDOWN = 50
"""The counterpart of MIN_FOR_SHARES for latencies: nodes differ so much in speed that the others say little about
one."""
TAIL = 0.1
"""The largest share of requests beyond the edge at which a node is watched, on a slow day."""
MIN_STEP = 0.05
"""The smallest distance of ``p1`` above ``p0``, for histograms too coarse to tell them apart."""
MAX_SHARE = 0.98
REMEMBERED = 8192
"""The size of the cache of limits: a baseline is the same for a whole wave."""


@dataclass(frozen=True)
class Limits:
    """The limits of a share of bad requests: at most ``p0`` is expected, ``p1`` is too much; ``0 <= p0 < p1 <= 1``."""

    p0: float
    p1: float
    requests: int
    """The number of requests that the limits rest on; 0 if they rest on FLOOR alone."""
    edge: float | None = None
    """The duration in seconds above which a request is slow; None if a bad request is a failed one."""


@lru_cache(REMEMBERED)
def allowed_share(bad: int, total: int, max_increase: float, edge: float | None = None) -> Limits:
    """Returns the limits that follow from ``bad`` of ``total`` requests before; without requests, from the floor
    alone."""
    unchanged = max(FLOOR, wilson_interval(bad, total, Z_ONE_SIDED_10_PERCENT).upper) if total else FLOOR
    p0 = min(_times_odds(unchanged, TOLERANCE), MAX_SHARE - 0.01)
    return Limits(p0, min(max(p0 + max_increase, _times_odds(p0, WORSE)), MAX_SHARE), total, edge)


def allowed_slowdown(durations: Mapping[float, int], max_slowdown: float) -> Limits | None:
    """Returns the limits of the share of requests beyond an edge, and that edge.

    Too much is the share if all requests took ``max_slowdown`` longer than before (1.0: twice as long). Half of the
    slowdown is expected, as daily variation; the edge is the first that at most TAIL would exceed then. None without a
    request, or if they take longer than any edge.
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
    """Returns whichever limits allow more, for a node whose own baseline is too small."""
    return max(own, pooled, key=lambda limits: (limits.edge or 0.0, limits.p0))


def beyond(at_most: Sequence[tuple[float, int]], seconds: float) -> float:
    """Returns how many requests took longer than ``seconds``, interpolated over the logarithm within a bucket.

    ``at_most`` holds (upper edge, number of requests up to it), ascending, with infinity last.
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
    """Returns the smallest bucket edge, at or above the objective, that all histograms have; None if there is none.

    Empty histograms are ignored. The edge of a revision that was rolled out with another objective lies elsewhere.
    """
    sets = [set(histogram) for histogram in histograms if histogram]
    shared = set.intersection(*sets) if sets else set()
    return min((edge for edge in shared if objective * (1 - 1e-9) <= edge < inf), default=None)


def _times_odds(share: float, factor: float) -> float:
    odds = factor * share / (1 - share) if share < 1 else inf
    return odds / (1 + odds) if odds < inf else 1.0
