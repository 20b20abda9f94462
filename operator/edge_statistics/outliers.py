"""The groups of a control that moved for themselves, and show no drift that others have in common with them.

Each group is compared with what the drift of all others makes of its own expectation. Counts are compared by twice the
difference of their square roots, which has about the variance 1 for a Poisson count of any size (F. J. Anscombe, *The
transformation of Poisson, binomial and negative-binomial data*, Biometrika 35 (1948), 246-254), and more by what is
uncertain about the expectation. The group that lies furthest off goes first, because it moves what the others are
compared with, and never half of the groups do: then there is no telling who moved.
"""

from collections.abc import Sequence
from math import log, sqrt
from typing import NamedTuple

from edge_statistics.drift import bounds, drift
from edge_statistics.shrinkage import Share

STANDARD_DEVIATIONS = 4.0
"""The distance beyond which a group moved for itself: it occurs by chance once in 16,000 groups."""
FACTOR = 2.0
"""The smallest factor between its bad ones and those expected of it; groups that differ by less have moved together."""
STEPS = 50
"""About the largest number of rounds: of more groups than that, several go at once."""
ANSCOMBE = 3 / 8
NEAR = STANDARD_DEVIATIONS / 2 - 1e-9
"""The difference of square roots up to which no group moved for itself, however certain the expectation is."""


class Group(NamedTuple):
    """A group with ``bad`` of ``total``, and the share that was expected of it before any drift. Counts may be
    fractions."""

    bad: float
    total: float
    share: Share


class Agreement(NamedTuple):
    """The places of the groups that moved for themselves, less than half, and whether the others moved together. If
    they did not, nobody can tell which moved for itself, and none is named."""

    outliers: frozenset[int]
    agree: bool


def find_outliers(groups: Sequence[Group]) -> Agreement:
    """Returns the groups that moved for themselves."""
    left = dict(enumerate(groups))
    room = (len(groups) - 1) // 2
    while len(left) > 1:
        distances = _distances(left)
        furthest = max(distances.values(), key=abs)
        gone = [place for place, distance in distances.items() if distance * furthest > 0]
        if not gone:
            break
        if not room:
            return Agreement(frozenset(), agree=False)
        gone.sort(key=lambda place: -abs(distances[place]))
        gone = gone[: min(room, max(len(groups) // STEPS, 1))]
        for place in gone:
            del left[place]
        room -= len(gone)
    return Agreement(frozenset(range(len(groups))) - left.keys(), agree=True)


def _distances(groups: dict[int, Group]) -> dict[int, float]:
    """Returns how many standard deviations each group lies off what the others make expect, by place; 0 for one that
    did not move for itself."""
    bad, total = sum(one.bad for one in groups.values()), sum(one.total for one in groups.values())
    expected = sum(one.total * one.share.mean for one in groups.values())
    variance = sum(one.total**2 * one.share.variance for one in groups.values())
    found = {}
    for place, (own_bad, own_total, share) in groups.items():
        rest = (
            max(bad - own_bad, 0.0),
            max(total - own_total, 0.0),
            max(expected - own_total * share.mean, 0.0),
            max(variance - own_total**2 * share.variance, 0.0),
        )
        lowest, highest = (_wanted(own_total, share, factor) for factor in bounds(*rest[:3]))
        root = sqrt(own_bad + ANSCOMBE)
        if sqrt(highest + ANSCOMBE) - NEAR <= root <= sqrt(lowest + ANSCOMBE) + NEAR:
            found[place] = 0.0
            continue
        others = drift(*rest)
        wanted = _wanted(own_total, share, others.factor)
        relative = others.variance + share.variance / (share.mean * (1 - share.mean)) ** 2
        distance = 2 * (root - sqrt(wanted + ANSCOMBE)) / sqrt(1 + wanted * relative)
        moved = abs(log((own_bad + 1) / (wanted + 1))) > log(FACTOR)
        found[place] = distance if moved and abs(distance) > STANDARD_DEVIATIONS else 0.0
    return found


def _wanted(total: float, share: Share, factor: float) -> float:
    """Returns the bad ones of ``total`` that are expected with ``factor`` times the odds of ``share``."""
    odds = factor * share.mean / (1 - share.mean)
    return total * odds / (1 + odds)
