"""The drift of a control group: compared with numerical integration, and its coverage by simulation."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import gamma, poisson

from edge_statistics.drift import START, drift


@pytest.mark.parametrize(("observed", "expected"), [(0, 0.3), (3, 1.5), (40, 12.0), (7, 70.0)])
def test_the_factor_is_the_mean_of_the_posterior_by_integration(observed: int, expected: float) -> None:
    def density(factor: float) -> float:
        return float(gamma.pdf(factor, START, scale=1 / START) * poisson.pmf(observed, factor * expected))

    limit = 20 * (observed + START) / (expected + START)
    whole, mean, square = (
        quad(lambda factor, power=power: factor**power * density(factor), 0, limit, limit=200)[0] for power in (0, 1, 2)
    )
    found = drift(observed, 1e9, expected, 0.0)
    assert found.factor == pytest.approx(mean / whole, rel=1e-4)
    assert found.variance == pytest.approx((square / whole - (mean / whole) ** 2) / (mean / whole) ** 2, rel=1e-3)


@pytest.mark.parametrize("factor", [1.0, 3.0])
def test_the_true_factor_is_within_two_standard_deviations(factor: float) -> None:
    draw = np.random.default_rng(3)
    found = [drift(float(draw.poisson(30 * factor)), 3000, float(draw.normal(30, 3)), 9.0) for _ in range(2000)]
    inside = [abs(item.factor - factor) < 2 * item.factor * item.variance**0.5 for item in found]
    assert 0.92 < np.mean(inside) < 0.99


def test_without_any_request_nothing_is_known() -> None:
    assert drift(0, 0, 0, 0) == (1.0, 2 / START)
