"""The permutation test against scipy's, and where it samples instead of counting all."""

from math import comb

import numpy as np
import pytest
from scipy.stats import permutation_test

from edge_statistics import permutation
from edge_statistics.permutation import p_above


def theirs(treated: list[float], others: list[float]) -> float:
    def difference(a: np.ndarray, b: np.ndarray, axis: int) -> np.ndarray:
        return np.asarray(np.mean(a, axis=axis) - np.mean(b, axis=axis))

    found = permutation_test((treated, others), difference, alternative="greater", n_resamples=np.inf, vectorized=True)
    return float(found.pvalue)


@pytest.mark.parametrize("sizes", [(2, 2), (3, 3), (4, 7), (2, 9), (6, 6)])
@pytest.mark.parametrize("seed", range(5))
def test_every_choice_is_counted_as_scipy_counts_them(sizes: tuple[int, int], seed: int) -> None:
    random = np.random.default_rng(seed)
    treated = random.normal(0.5, 1, sizes[0]).round(2).tolist()
    others = random.normal(0, 1, sizes[1]).round(2).tolist()
    assert p_above(treated, others) == pytest.approx(theirs(treated, others))


def test_three_against_three_can_reach_one_in_twenty_and_no_less() -> None:
    assert p_above([3, 4, 5], [0, 1, 2]) == 1 / 20
    assert p_above([0, 1, 2], [3, 4, 5]) == 1.0


def test_equal_values_prove_nothing() -> None:
    assert p_above([1.0, 1.0, 1.0], [1.0, 1.0, 1.0]) == 1.0
    assert p_above([0.1 + 0.2], [0.3]) == 1.0


def test_many_values_are_sampled_and_the_answer_is_always_the_same() -> None:
    random = np.random.default_rng(1)
    treated, others = random.normal(1, 1, 12).tolist(), random.normal(0, 1, 40).tolist()
    assert comb(52, 12) > permutation.EXACT
    p = p_above(treated, others)
    assert p == p_above(treated, others)
    assert 1 / (permutation.SAMPLED + 1) <= p < 0.02


def test_a_sampled_answer_is_close_to_the_exact_one(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(2)
    treated, others = random.normal(0.5, 1, 6).tolist(), random.normal(0, 1, 8).tolist()
    exact = p_above(treated, others)
    monkeypatch.setattr(permutation, "EXACT", 0)
    assert p_above(treated, others) == pytest.approx(exact, abs=0.03)


@pytest.mark.parametrize(("treated", "others"), [([], [1.0]), ([1.0], [])])
def test_a_side_without_a_value_is_refused(treated: list[float], others: list[float]) -> None:
    with pytest.raises(ValueError, match="both sides"):
        p_above(treated, others)
