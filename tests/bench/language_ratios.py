"""Ratios of two figures that were measured by turns, with their intervals, and the targets that they have to reach."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from edge_statistics.interval import Interval

LEVEL: Final = 0.90


@dataclass(frozen=True)
class Ratio:
    """A ratio with its interval of LEVEL."""

    value: float
    interval: Interval


def by_turns(ones: Sequence[float], others: Sequence[float]) -> Ratio:
    """Returns the median of the ratios of each round, with the interval that its order statistics give.

    The median lies outside of the k-th smallest and the k-th largest of n ratios with the probability that fewer than k
    of n tosses show heads, twice: this needs no distribution. Less than 5 rounds give the smallest and the largest,
    whose level is lower.
    """
    ratios = sorted(one / other for one, other in zip(ones, others, strict=True))
    outside, rank = 0.0, 0
    while True:
        outside += 2 * math.comb(len(ratios), rank) / 2 ** len(ratios)
        if outside > 1 - LEVEL or rank >= len(ratios) // 2:
            break
        rank += 1
    rank = max(rank - 1, 0)
    return Ratio(statistics.median(ratios), Interval(ratios[rank], ratios[-1 - rank]))


def target(name: str, ratio: Ratio, goal: float, *, at_most: bool = False, unit: str = "x") -> dict[str, Any]:
    """Returns a target. It holds if the interval of the ratio reaches the goal; ``surely`` says whether all of the
    interval does."""
    near, far = (
        (ratio.interval.lower, ratio.interval.upper) if at_most else (ratio.interval.upper, ratio.interval.lower)
    )
    reached = [value <= goal if at_most else value >= goal for value in (near, far)]
    return {
        "name": name,
        "goal": f"{'<=' if at_most else '>='} {goal:g}",
        "value": round(ratio.value, 4),
        "interval": [round(ratio.interval.lower, 4), round(ratio.interval.upper, 4)],
        "unit": unit,
        "holds": reached[0],
        "surely": reached[1],
    }


def exact(name: str, value: float, goal: float, unit: str) -> dict[str, Any]:
    """Returns the target of a size, which is the same in every run: at most ``goal``."""
    return {"name": name, "goal": f"<= {goal:g}", "value": round(value, 3), "unit": unit, "holds": value <= goal}
