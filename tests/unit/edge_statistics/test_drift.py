"""The drift of a control group: compared with numerical integration, and its coverage by simulation."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import gamma, poisson

from edge_statistics.drift import BREAK, USUAL, bounds, drift


def posterior(observed: int, expected: float) -> tuple[float, float]:
    """Returns the mean and the relative variance of the factor, by integration over its logarithm."""

    def density(at: float) -> float:
        factor = np.exp(at)
        before = sum(gamma.pdf(factor, a, scale=1 / a) / 2 for a in (USUAL, BREAK))
        return float(factor * before * poisson.pmf(observed, factor * expected))

    peak = np.log((observed + BREAK) / (expected + BREAK))
    points = [-40.0, peak - 1, peak - 0.3, peak, peak + 0.3, peak + 1]
    whole, mean, square = (
        quad(lambda at, power=power: np.exp(power * at) * density(at), -300, 8, limit=5000, points=points)[0]
        for power in (0, 1, 2)
    )
    return mean / whole, square / whole / (mean / whole) ** 2 - 1


@pytest.mark.parametrize(("observed", "expected"), [(0, 0.3), (3, 1.5), (40, 12.0), (7, 70.0), (25, 0.5), (90, 1.0)])
def test_the_factor_is_the_mean_of_the_posterior_by_integration(observed: int, expected: float) -> None:
    found = drift(observed, 1e9, expected, 0.0)
    assert tuple(found) == pytest.approx(posterior(observed, expected), rel=2e-3)


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_the_true_factor_is_within_two_standard_deviations(factor: float) -> None:
    draw = np.random.default_rng(3)
    found = [drift(float(draw.poisson(30 * factor)), 3000, float(draw.normal(30, 3)), 9.0) for _ in range(2000)]
    inside = [abs(item.factor - factor) < 2 * item.factor * item.variance**0.5 for item in found]
    assert 0.92 < np.mean(inside) < 0.99


@pytest.mark.parametrize("expected", [0.5, 2.0])
def test_a_break_is_taken_for_what_it_is_though_few_bad_ones_were_expected(expected: float) -> None:
    draw = np.random.default_rng(4)
    found = [drift(float(draw.poisson(50 * expected)), 1e6, expected, 0.0) for _ in range(500)]
    assert np.mean([item.factor for item in found]) == pytest.approx(50, rel=0.2)
    inside = [abs(np.log(item.factor / 50)) < 2 * item.variance**0.5 for item in found]
    assert np.mean(inside) > 0.85


def test_few_requests_on_stable_say_little() -> None:
    found = drift(1, 20, 0.1, 0.0)
    assert 1 < found.factor < 4
    assert found.variance > 0.5


def test_without_any_request_nothing_is_known() -> None:
    found = drift(0, 0, 0, 0)
    assert found.factor == pytest.approx(1.0)
    assert found.variance > 2


def test_the_factor_lies_within_its_bounds() -> None:
    draw = np.random.default_rng(5)
    for _ in range(1000):
        total = float(draw.choice([3, 50, 4000]))
        observed, expected = (float(draw.uniform(0, min(total, limit))) for limit in draw.choice([1, 20, 4000], 2))
        low, high = bounds(observed, total, expected)
        assert low * (1 - 1e-12) <= drift(observed, total, expected, 1.0).factor <= high * (1 + 1e-12)
