"""The interval of an estimate, and the quantiles that give its level."""

from dataclasses import dataclass

Z_ONE_SIDED_5_PERCENT = 1.6448536269514722
"""The 95 % quantile of the standard normal: a one-sided alpha of 0.05, a two-sided interval of 90 %."""
Z_ONE_SIDED_10_PERCENT = 1.2815515655446004
"""The 90 % quantile of the standard normal: a one-sided alpha of 0.1, a two-sided interval of 80 %."""


@dataclass(frozen=True)
class Interval:
    """An interval with ``lower <= upper``, both in the unit of the estimate; each limit alone is one-sided."""

    lower: float
    upper: float
