"""Tango's score interval for a difference of paired proportions.

T. Tango, *Equivalence test and confidence interval for the difference in proportions for the
paired-sample design*, Statistics in Medicine 17 (1998), 891-908. With ``b`` pairs where only the first is
right, ``c`` where only the second is, and ``n`` pairs in all, the score statistic of the hypothesis that
the first is right more often by ``delta`` is

    T(delta) = (b - c - n delta) / sqrt(n (2 q + delta (1 - delta)))

    q = (sqrt(B^2 - 4 A C) - B) / (2 A),   A = 2 n,
    B = -b - c + (2 n - b + c) delta,      C = -c delta (1 - delta)

where ``q`` is the maximum-likelihood estimate of the second discordant probability under the hypothesis.
The limits are where ``T = +-z``. ``T`` falls as ``delta`` grows, so bisection finds them.

It keeps its coverage where Wald's interval collapses: with no discordant pair at all the limits are
``+-z^2 / (n + z^2)``, not zero, because n equal answers do not prove that the next one is equal.
"""

from math import inf, sqrt

from edge_statistics.interval import Z_ONE_SIDED_5_PERCENT, Interval

_HALVINGS = 60
"""The number of bisections: 2 / 2^60 is below the spacing of doubles near the limits that matter."""


def tango_interval(b: float, c: float, n: float, z: float = Z_ONE_SIDED_5_PERCENT) -> Interval:
    """Returns the limits, in -1..1, of the difference ``(b - c) / n``.

    ``b`` and ``c`` may be fractions, so that a planned larger sample can be asked about. Raises
    ValueError unless ``n > 0``, ``b, c >= 0`` and ``b + c <= n``.
    """
    if n <= 0 or b < 0 or c < 0 or b + c > n * (1 + 1e-12):
        raise ValueError(f"not a table of {n} pairs: {b} and {c} discordant")
    return Interval(lower=-_upper_limit(c, b, n, z), upper=_upper_limit(b, c, n, z))


def score_statistic(delta: float, b: float, c: float, n: float) -> float:
    """Returns ``T(delta)``, or infinity with the numerator's sign where the variance under the hypothesis is zero."""
    numerator = b - c - n * delta
    quadratic = 2.0 * n
    linear = -b - c + (2.0 * n - b + c) * delta
    constant = -c * delta * (1.0 - delta)
    q = (sqrt(max(0.0, linear * linear - 4.0 * quadratic * constant)) - linear) / (2.0 * quadratic)
    variance = n * (2.0 * q + delta * (1.0 - delta))
    if variance > 0.0:
        return numerator / sqrt(variance)
    return 0.0 if numerator == 0.0 else inf * numerator


def _upper_limit(b: float, c: float, n: float, z: float) -> float:
    inside, outside = (b - c) / n, 1.0
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2.0
        if score_statistic(middle, b, c, n) >= -z:
            inside = middle
        else:
            outside = middle
    return outside
