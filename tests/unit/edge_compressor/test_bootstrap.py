"""The paired bootstrap compared with scipy's, and the cases in which it is too narrow."""

import numpy as np
import pytest
import scipy.stats
from scipy.stats import bootstrap as scipy_bootstrap
from scipy.stats import norm

from edge_compressor.evaluation import bootstrap
from edge_runtime.datatypes import Array


def mean_of(values: Array) -> bootstrap.Score:
    return lambda weights: np.atleast_1d(weights @ values / weights.sum())


def pairs(samples: int, *, seed: int = 3) -> Array:
    random = np.random.default_rng(seed)
    source = random.beta(8, 2, samples)
    return np.stack([source, np.clip(source - random.normal(0.02, 0.1, samples), 0, 1)], axis=1)


def test_the_interval_of_a_drop_is_that_of_scipys_percentile_bootstrap() -> None:
    both = pairs(400)
    paired, _, _ = bootstrap.compare(mean_of(both), 400)
    drops = both[:, 0] - both[:, 1]
    expected = scipy_bootstrap(
        (drops,), np.mean, confidence_level=0.9, method="percentile", n_resamples=9999, rng=1
    ).confidence_interval
    assert paired.drop == pytest.approx(drops.mean())
    width = expected.high - expected.low
    assert paired.interval.lower == pytest.approx(expected.low, abs=width / 15)
    assert paired.interval.upper == pytest.approx(expected.high, abs=width / 15)


def test_source_and_artifact_are_scored_on_the_same_draw() -> None:
    """Common variation cancels: the interval of the drop is far narrower than that of either score."""
    both = pairs(400)
    both[:, 1] = both[:, 0] - 0.01
    both += np.random.default_rng(0).normal(0, 1e-4, both.shape)
    paired, _, _ = bootstrap.compare(mean_of(both), 400)
    drop, own = paired.interval, paired.artifact_interval
    assert drop.upper - drop.lower < (own.upper - own.lower) / 50


def test_the_same_answers_give_the_same_interval() -> None:
    assert bootstrap.compare(mean_of(pairs(50)), 50)[0] == bootstrap.compare(mean_of(pairs(50)), 50)[0]


@pytest.mark.slow
def test_it_has_about_its_nominal_coverage_of_the_true_mean() -> None:
    """The expectation is 0.9 of 120 tries; a binomial of 120 with 0.9 lies within 3 deviations in 0.818 to 0.982."""
    mean, covered = 0.8, 0
    for seed in range(120):
        values = np.random.default_rng(seed).beta(8, 2, 60)
        interval = bootstrap.alone(mean_of(values[:, None]), 60).interval
        covered += interval.lower <= mean <= interval.upper
    assert 0.818 <= covered / 120 <= 0.982


def test_equal_answers_have_tangos_interval() -> None:
    paired, _, _ = bootstrap.compare(mean_of(np.ones((100, 2))), 100)
    square = norm.ppf(0.95) ** 2
    assert paired.interval.upper == pytest.approx(square / (100 + square))
    assert paired.interval.lower == -paired.interval.upper


def test_few_samples_are_not_believed_to_be_narrow() -> None:
    both = np.tile([[0.9, 0.9], [0.8, 0.79]], (5, 1))
    assert bootstrap.compare(mean_of(both), 10)[0].interval.upper > 0.2


@pytest.mark.parametrize("freedom", [3, 5, 10, 40])
def test_few_samples_widen_a_difference_as_students_t_does(freedom: int) -> None:
    wanted = scipy.stats.t.ppf(0.95, freedom)
    assert bootstrap._t_95_percent(freedom) == pytest.approx(wanted, rel=0.01)


def test_the_interval_of_a_difference_of_few_samples_holds_the_truth_in_nine_of_ten_cases() -> None:
    random, held = np.random.default_rng(5), 0
    for _ in range(150):
        values = random.standard_normal(8)
        drawn = values[random.integers(0, 8, (400, 8))].mean(axis=1)
        interval = bootstrap.of_a_difference(drawn, float(values.mean()), 8)
        held += interval.lower <= 0 <= interval.upper
    assert 125 <= held <= 147


def test_one_sample_tells_nothing_of_a_difference() -> None:
    interval = bootstrap.of_a_difference(np.zeros(10), 0.0, 1)
    assert interval.lower < -10 < 10 < interval.upper
