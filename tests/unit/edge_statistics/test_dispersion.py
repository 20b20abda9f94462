"""The design effect: its formula compared with numpy's, its estimates with the distributions that counts come from."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_statistics.dispersion import MOST, Moments, after_rise, design_effect, shrunk_design_effect

for_all = settings(deadline=None, derandomize=True, database=None)
MINUTES = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 400)), min_size=1, max_size=60)


def moments(
    k: "np.ndarray[tuple[int], np.dtype[np.int64]]", n: "np.ndarray[tuple[int], np.dtype[np.int64]]"
) -> Moments:
    found = Moments()
    for bad, total in zip(k.tolist(), n.tolist(), strict=True):
        found = found.plus(bad, total)
    return found


def fleet(effect: float, groups: int = 50, minutes: int = 60, mean: float = 80, share: float = 0.05) -> list[Moments]:
    """Returns the moments of nodes whose share of bad requests varies from minute to minute (beta-binomial)."""
    draw = np.random.default_rng(5)
    n = draw.poisson(mean, (groups, minutes))
    correlation = (effect - 1) / (mean - 1)
    strength = 1 / correlation - 1 if correlation > 0 else 1e9
    k = draw.binomial(n, draw.beta(share * strength, (1 - share) * strength, n.shape))
    return [moments(a, b) for a, b in zip(k, n, strict=True)]


@pytest.mark.parametrize("effect", [1.5, 3.0, 8.0])
def test_the_design_effect_of_many_minutes_is_the_true_one(effect: float) -> None:
    assert design_effect(fleet(effect)) == pytest.approx(effect, rel=0.15)


def test_independent_requests_have_a_design_effect_of_one() -> None:
    assert design_effect(fleet(1.0)) < 1.05


def test_a_few_minutes_of_independent_requests_hardly_look_dependent() -> None:
    found = [design_effect(fleet(1.0, groups=10, minutes=10)[start : start + 3]) for start in range(0, 9, 3)]
    assert np.mean(found) < 1.3


@for_all
@given(MINUTES)
def test_the_sums_give_the_formula(minutes: list[tuple[int, int]]) -> None:
    k = np.array([min(bad, total) for bad, total in minutes])
    n = np.array([total for _, total in minutes])
    found = moments(k, n)
    squared, expected = found._excess
    if not k.sum() or not n.sum():
        assert (squared, expected) == (0, 0)
        return
    p = k.sum() / n.sum()
    assert squared == pytest.approx(((k - p * n) ** 2).sum(), abs=1e-6)
    assert expected == pytest.approx(max(p * (1 - p) * (n.sum() - (n**2).sum() / n.sum()), 0), abs=1e-6)


@for_all
@given(MINUTES)
def test_the_complement_is_what_the_other_requests_have(minutes: list[tuple[int, int]]) -> None:
    k = np.array([min(bad, total) for bad, total in minutes])
    n = np.array([total for _, total in minutes])
    assert moments(k, n).complement() == pytest.approx(moments(n - k, n))


@for_all
@given(st.lists(MINUTES, min_size=1, max_size=5))
def test_any_counts_give_an_effect_within_its_range(groups: list[list[tuple[int, int]]]) -> None:
    found = [
        moments(np.array([min(k, n) for k, n in minutes]), np.array([n for _, n in minutes])) for minutes in groups
    ]
    of_all = design_effect(found)
    assert 1 <= of_all <= MOST
    assert all(1 <= shrunk_design_effect(group, of_all) <= MOST for group in found)


def test_a_node_with_few_bad_requests_has_the_effect_of_all() -> None:
    quiet = Moments().plus(0, 100).plus(1, 100)
    assert shrunk_design_effect(quiet, 4.0) == pytest.approx(4.0, rel=0.3)
    assert shrunk_design_effect(Moments(), 4.0) == 4.0


@pytest.mark.parametrize("factor", [0.5, 3.0, 10.0])
def test_what_multiplies_a_share_brings_requests_together_more_where_shares_rose(factor: float) -> None:
    def of(share: float) -> float:
        draw = np.random.default_rng(9)
        n = draw.poisson(200, (40, 200))
        k = draw.binomial(n, np.minimum(share * draw.gamma(4, 1 / 4, n.shape), 1))
        return design_effect([moments(a, b) for a, b in zip(k, n, strict=True)])

    before, after = of(0.01), of(0.01 * factor)
    assert before > 1.3
    if factor > 1:
        assert after_rise(before, factor) == pytest.approx(after, rel=0.1)
    else:
        assert after < after_rise(before, factor) == before
