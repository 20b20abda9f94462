"""Wilson's score interval for a proportion.

E. B. Wilson, *Probable inference, the law of succession, and statistical inference*, Journal of the American
Statistical Association 22 (1927), 209-212. With ``k`` right answers of ``n`` and ``p = k / n`` the limits are

    (p + z^2 / 2n  -+  z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)

They stay inside 0..1, and with no wrong answer at all the lower one is ``n / (n + z^2)``, not 1.
"""

from math import sqrt

from edge_compressor.tango import Z_ONE_SIDED_5_PERCENT, Interval


def wilson_interval(right: float, n: float, *, z: float = Z_ONE_SIDED_5_PERCENT) -> Interval:
    """Limits, in 0..1, of the proportion ``right / n``; ``right`` may be a fraction, for a planned larger sample.

    Raises ValueError unless ``n > 0`` and ``0 <= right <= n``.
    """
    if n <= 0 or right < 0 or right > n * (1 + 1e-12):
        raise ValueError(f"not a proportion: {right} of {n}")
    share, square = right / n, z * z / n
    middle = share + square / 2
    half = sqrt(square * share * max(0.0, 1 - share) + square * square / 4)
    return Interval(lower=max(0.0, (middle - half) / (1 + square)), upper=min(1.0, (middle + half) / (1 + square)))
