"""The conclusions from a node's requests before its switch for those after it.

A request is bad if it failed or was slow. ``Before`` holds the counts of a node, the increase that is too much, and an
allowance: the factor of odds by which the share may grow without a fault, where no node runs stable to show how much
it did. The daily variation, a fifth up and down, moves the share of slow requests by more than a percentage point.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf, log
from operator import itemgetter

ALLOWANCE = 1.5
"""The factor of odds that counts as unchanged without nodes on stable."""
MIN_FOR_SLOWDOWN = 10
"""The number of requests from which a node's own latencies before its switch are compared with.

The share that is expected by few is shrunk towards that of all nodes. A node with fewer holds every candidate.
"""
TAIL = 0.1
"""The largest share of requests beyond the edge at which a node is watched, on a slow day."""
MIN_STEP = 0.05
"""The smallest increase that a slowdown is looked for with, for histograms too coarse to tell less apart."""
MAX_SHARE = 0.98
REMEMBERED = 8192
"""The size of the cache of slowdowns: a baseline is the same for a whole wave."""


@dataclass(frozen=True)
class Before:
    """The requests of a node before its switch: ``bad`` of ``total``."""

    bad: float
    total: float
    increase: float
    """The increase of the share that is too much, 0..1."""
    edge: float | None = None
    """The duration in seconds above which a request is slow; None if a bad request is a failed one."""
    allowance: float = ALLOWANCE
    """The factor of odds, at least 1, that counts as unchanged if no node runs stable."""


@lru_cache(REMEMBERED)
def _slowdown(at_most: tuple[tuple[float, int], ...], max_slowdown: float) -> Before | None:
    total = at_most[-1][1] if at_most and at_most[-1][0] == inf else 0
    if total < MIN_FOR_SLOWDOWN:
        return None
    drift = max_slowdown / 2
    place = bisect_left(at_most, -TAIL, key=lambda item: -beyond(at_most, item[0] / (1 + drift)) / total)
    if place >= len(at_most) - 1:
        return None
    edge = at_most[place][0]
    bad, drifted, slowed = (beyond(at_most, edge / factor) for factor in (1.0, 1 + drift, 1 + max_slowdown))
    allowance = max(odds((drifted + 1) / (total + 2)) / odds((bad + 1) / (total + 2)), 1.0)
    return Before(bad, total, max((slowed - bad) / total, MIN_STEP), edge, allowance)


def slowdown(durations: Mapping[float, int], max_slowdown: float) -> Before | None:
    """Returns the requests beyond an edge, and how many more there were if all took ``max_slowdown`` longer than before
    (1.0: twice as long).

    The allowance is what half of that slowdown makes, as daily variation; the edge is the first that at most TAIL would
    exceed then. None with less than MIN_FOR_SLOWDOWN requests, or if they take longer than any edge.
    """
    return _slowdown(tuple(sorted(durations.items())), max_slowdown)


def odds(share: float) -> float:
    """Returns the odds of ``share``, which is below 1."""
    return share / (1 - share)


def times_odds(share: float, factor: float) -> float:
    """Returns the share with ``factor`` times the odds of ``share``, which is at most MAX_SHARE, as the result is."""
    grown = factor * odds(min(share, MAX_SHARE))
    return min(grown / (1 + grown), MAX_SHARE)


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
