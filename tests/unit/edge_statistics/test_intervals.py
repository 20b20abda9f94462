"""Wilson's and Newcombe's intervals against published numbers, an independent implementation, and their laws."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from edge_statistics.interval import Z_ONE_SIDED_5_PERCENT, Z_ONE_SIDED_10_PERCENT, Interval
from edge_statistics.newcombe import newcombe_interval
from edge_statistics.wilson import wilson_interval

Z_95 = float(norm.ppf(0.975))
COUNTS = [(k, n) for n in (1, 5, 20, 300, 100_000) for k in {0, 1, n // 7, n // 2, n - 1, n}] + [
    (93, 100),
    (3540, 3800),
]

NEWCOMBE_1998_TABLE_II = [
    # first, second, limits of method 10 at 95 %
    ((56, 70), (48, 80), (0.0524, 0.3339)),
    ((9, 10), (3, 10), (0.1705, 0.8090)),
    ((6, 7), (2, 7), (0.0582, 0.8062)),
    ((5, 56), (0, 29), (-0.0381, 0.1926)),
    ((0, 10), (0, 20), (-0.1611, 0.2775)),
    ((0, 10), (0, 10), (-0.2775, 0.2775)),
    ((10, 10), (0, 20), (0.6791, 1.0000)),
    ((10, 10), (0, 10), (0.6075, 1.0000)),
]


def test_the_quantiles_are_those_of_the_standard_normal() -> None:
    assert pytest.approx(float(norm.ppf(0.9)), abs=1e-15) == Z_ONE_SIDED_10_PERCENT
    assert pytest.approx(float(norm.ppf(0.95)), abs=1e-15) == Z_ONE_SIDED_5_PERCENT


@pytest.mark.parametrize(("k", "n"), COUNTS)
@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.95, 0.999])
def test_wilsons_limits_are_those_of_scipy(k: int, n: int, confidence: float) -> None:
    ours = wilson_interval(k, n, float(norm.ppf((1 + confidence) / 2)))
    theirs = binomtest(k, n).proportion_ci(confidence, method="wilson")
    assert (ours.lower, ours.upper) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@pytest.mark.parametrize(("first", "second", "limits"), NEWCOMBE_1998_TABLE_II)
def test_newcombes_limits_are_those_that_he_published(
    first: tuple[int, int], second: tuple[int, int], limits: tuple[float, float]
) -> None:
    interval = newcombe_interval(*first, *second, Z_95)
    assert (interval.lower, interval.upper) == pytest.approx(limits, abs=5.1e-5)


def test_swapping_the_samples_mirrors_the_interval() -> None:
    for (k1, n1), (k2, n2) in product(COUNTS, COUNTS):
        one, other = newcombe_interval(k1, n1, k2, n2, Z_95), newcombe_interval(k2, n2, k1, n1, Z_95)
        assert (one.lower, one.upper) == pytest.approx((-other.upper, -other.lower), abs=1e-12)


def test_not_one_wrong_answer_leaves_room_for_the_next() -> None:
    assert wilson_interval(100, 100).lower == pytest.approx(100 / (100 + 1.6448536269514722**2))


def test_a_planned_count_may_exceed_the_sample_in_its_last_bits() -> None:
    assert wilson_interval(100 * (1 + 1e-14), 100) == wilson_interval(100, 100)


def test_without_samples_nothing_is_known() -> None:
    assert wilson_interval(0, 0) == Interval(0, 1)
    assert (newcombe_interval(0, 0, 3, 4, 2).lower, newcombe_interval(3, 4, 0, 0, 2).upper) == (-1, 1)


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5), (1, 0)])
def test_invalid_proportions_are_refused(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="not a proportion"):
        wilson_interval(k, n, 2)


@pytest.mark.parametrize(("p1", "p2", "n1", "n2"), [(0.95, 0.9, 200, 400), (0.5, 0.5, 60, 60), (0.99, 0.99, 100, 500)])
def test_newcombes_interval_has_its_nominal_coverage(p1: float, p2: float, n1: int, n2: int) -> None:
    random = np.random.default_rng(1)
    first, second = random.binomial(n1, p1, 4000), random.binomial(n2, p2, 4000)
    covered = 0
    for k1, k2 in zip(first.tolist(), second.tolist(), strict=True):
        interval = newcombe_interval(k1, n1, k2, n2, Z_95)
        covered += interval.lower <= p1 - p2 <= interval.upper
    assert 0.93 <= covered / 4000 <= 0.99
