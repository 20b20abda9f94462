"""Tango's interval against published numbers, against two other ways to compute it, and its laws."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import norm

from edge_statistics.interval import Z_ONE_SIDED_5_PERCENT
from edge_statistics.tango import score_statistic, tango_interval

Z_95 = float(norm.ppf(0.975))

TABLES = [
    (b, c, n)
    for n in (5, 20, 44, 200, 2000)
    for b in (0, 1, 3, n // 4, n // 2)
    for c in (0, 1, 2, n // 3)
    if b + c <= n
]


def restricted_likelihood_statistic(delta: float, b: int, c: int, n: int) -> float:
    """Returns the score statistic from its definition: the second discordant probability by maximizing the likelihood.

    Nothing here is taken from the closed form that the module uses.
    """
    low, high = max(0.0, -delta), (1.0 - delta) / 2.0

    def negative_log_likelihood(q: float) -> float:
        terms = ((b, q + delta), (c, q), (n - b - c, 1.0 - 2.0 * q - delta))
        return -float(sum(count * np.log(max(probability, 1e-300)) for count, probability in terms if count))

    q = minimize_scalar(negative_log_likelihood, bounds=(low, high), method="bounded", options={"xatol": 1e-13}).x
    q = min((q, low, high), key=negative_log_likelihood)
    variance = n * (2.0 * q + delta - delta * delta)
    numerator = b - c - n * delta
    if variance <= 1e-18:
        return 0.0 if abs(numerator) < 1e-9 else float(np.copysign(np.inf, numerator))
    return float(numerator / np.sqrt(variance))


def independent_limit(b: int, c: int, n: int, z: float) -> float:
    estimate = (b - c) / n

    def distance(delta: float) -> float:
        return float(np.clip(restricted_likelihood_statistic(delta, b, c, n), -1e6, 1e6)) + z

    if distance(1.0 - 1e-12) >= 0:
        return 1.0
    return float(brentq(distance, estimate, 1.0 - 1e-12, xtol=1e-10))


def quartic_limits(b: int, c: int, n: int, z: float) -> tuple[float, float]:
    """Returns the limits by the non-iterative form: Z. Yang, X. Sun, J. W. Hardin, Statistics in Medicine 32 (2013),
    1336-1342."""
    g, d, s = z * z, b - c, b + c
    polynomial = [
        n**2 * (n / g + 1) ** 2,
        -n * d * (n / g + 1) * (4 * n / g + 1),
        2 * n * d**2 * (3 * n / g + 2) / g - n**2 * (s / g + 1),
        n * d * (2 * s / g + 1) - d**3 * (4 * n / g + 1) / g,
        d**2 * (d**2 / g - s) / g,
    ]
    roots = np.roots(polynomial)
    real = np.sort(roots[np.abs(roots.imag) < 1e-6].real)
    return float(real[0]), float(real[-1])


def test_published_airway_reactivity_table_is_met() -> None:
    """The table is of Bentur et al. 2009, in Fagerland, Lydersen, Laake, Statistics in Medicine 33 (2014): -0.517 to
    -0.026."""
    interval = tango_interval(1, 7, 21, z=Z_95)
    assert (interval.lower, interval.upper) == pytest.approx((-0.517, -0.026), abs=5e-4)


@pytest.mark.parametrize(("b", "c", "n"), TABLES)
def test_limits_agree_with_a_root_search_over_the_likelihood_itself(b: int, c: int, n: int) -> None:
    interval = tango_interval(b, c, n)
    assert interval.upper == pytest.approx(independent_limit(b, c, n, Z_ONE_SIDED_5_PERCENT), abs=2e-5)
    assert interval.lower == pytest.approx(-independent_limit(c, b, n, Z_ONE_SIDED_5_PERCENT), abs=2e-5)


@pytest.mark.parametrize(("b", "c", "n"), [(1, 7, 21), (40, 20, 160), (12, 2, 50), (80, 20, 2000), (3, 1, 44)])
def test_limits_agree_with_the_roots_of_the_published_quartic(b: int, c: int, n: int) -> None:
    interval = tango_interval(b, c, n, z=Z_95)
    assert (interval.lower, interval.upper) == pytest.approx(quartic_limits(b, c, n, Z_95), abs=1e-7)


@pytest.mark.parametrize("n", [1, 10, 200, 2000, 100_000])
def test_no_discordant_pair_still_leaves_room_of_z_squared_by_n_plus_z_squared(n: int) -> None:
    room = Z_ONE_SIDED_5_PERCENT**2 / (n + Z_ONE_SIDED_5_PERCENT**2)
    interval = tango_interval(0, 0, n)
    assert (interval.lower, interval.upper) == pytest.approx((-room, room))


@pytest.mark.parametrize(("b", "c", "n"), TABLES)
def test_swapping_the_two_mirrors_the_interval(b: int, c: int, n: int) -> None:
    one, other = tango_interval(b, c, n), tango_interval(c, b, n)
    assert (one.lower, one.upper) == pytest.approx((-other.upper, -other.lower))


@pytest.mark.parametrize(("b", "c", "n"), TABLES)
def test_the_interval_holds_the_observed_difference_and_stays_within_minus_one_and_one(b: int, c: int, n: int) -> None:
    interval = tango_interval(b, c, n)
    assert -1 <= interval.lower <= (b - c) / n <= interval.upper <= 1


def test_the_statistic_falls_as_the_difference_grows() -> None:
    values = [score_statistic(delta, 30, 10, 500) for delta in np.linspace(-0.9, 0.9, 181)]
    assert all(later < earlier for earlier, later in pairwise(values))


def test_more_samples_of_the_same_rates_narrow_the_interval() -> None:
    widths = [(i := tango_interval(0.02 * n, 0.01 * n, n)).upper - i.lower for n in (100, 1000, 10_000)]
    assert widths == sorted(widths, reverse=True)


def test_coverage_of_the_upper_bound_is_about_95_percent() -> None:
    """The test simulates 10,000 evaluations of 500 samples, true drop 1 %; the standard error of the share is 0.2 %."""
    counts = np.random.default_rng(0).multinomial(500, [0.03, 0.02, 0.95], size=10_000)
    tables, repeats = np.unique(counts[:, :2], axis=0, return_counts=True)
    covered = sum(
        times
        for (b, c), times in zip(tables, repeats, strict=True)
        if tango_interval(int(b), int(c), 500).upper >= 0.01
    )
    assert 0.94 <= covered / 10_000 <= 0.965


@pytest.mark.parametrize(("b", "c", "n"), [(0, 0, 0), (-1, 0, 10), (6, 5, 10)])
def test_invalid_tables_are_refused(b: int, c: int, n: int) -> None:
    with pytest.raises(ValueError, match="not a table"):
        tango_interval(b, c, n)
