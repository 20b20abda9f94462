"""Wilson's score interval for a proportion.

E. B. Wilson, *Probable inference, the law of succession, and statistical inference*, Journal of the American
Statistical Association 22 (1927), 209-212. With ``k`` of ``n`` and quantile ``z``

    centre = (k + z^2 / 2) / (n + z^2),   half = z sqrt(k (n - k) / n + z^2 / 4) / (n + z^2)

The limits stay inside 0..1 and keep their coverage where ``k`` is 0 or ``n``: with no miss at all the lower one is
``n / (n + z^2)``, not 1.
"""

from math import sqrt

from edge_statistics.interval import Z_ONE_SIDED_5_PERCENT, Interval

_SLACK = 1e-12
"""The allowance for rounding: a planned ``k`` is a share times ``n`` and may exceed ``n`` in its last bits."""


def wilson_interval(k: float, n: float, z: float = Z_ONE_SIDED_5_PERCENT) -> Interval:
    """Returns the limits, in 0..1, of a proportion observed as ``k`` of ``n``; 0 to 1 if ``n`` is 0.

    ``k`` and ``n`` may be fractions, for a planned larger sample. Raises ValueError unless ``0 <= k <= n``.
    """
    if not 0 <= k <= n * (1 + _SLACK):
        raise ValueError(f"not a proportion: {k} of {n}")
    if n == 0:
        return Interval(0.0, 1.0)
    k = min(k, n)
    centre = (k + z * z / 2) / (n + z * z)
    half = z * sqrt(k * (n - k) / n + z * z / 4) / (n + z * z)
    return Interval(0.0 if k == 0 else max(0.0, centre - half), 1.0 if k == n else min(1.0, centre + half))
