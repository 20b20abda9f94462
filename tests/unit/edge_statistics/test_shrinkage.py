"""Shrunk shares: the posterior compared with scipy's, the prior with the distribution that groups were drawn from."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from edge_statistics.shrinkage import Prior, fit_prior

for_all = settings(deadline=None, derandomize=True, database=None)
COUNTS = st.integers(0, 5000)


@for_all
@given(st.floats(0.001, 0.9), st.floats(1, 1e5), COUNTS, COUNTS)
def test_the_posterior_is_scipys_beta(mean: float, strength: float, bad: int, good: int) -> None:
    share = Prior(mean, strength).posterior(bad, bad + good)
    theirs = beta(mean * strength + bad, (1 - mean) * strength + good)
    assert share.mean == pytest.approx(theirs.mean())
    assert share.variance == pytest.approx(theirs.var())


@pytest.mark.parametrize("relative", [0.1, 0.3, 1.0])
def test_the_prior_of_many_groups_is_the_one_they_were_drawn_from(relative: float) -> None:
    draw, mean = np.random.default_rng(1), 0.02
    strength = (1 - mean) / mean / relative - 1
    totals = draw.integers(200, 4000, 2000)
    bads = draw.binomial(totals, draw.beta(mean * strength, (1 - mean) * strength, 2000))
    prior = fit_prior(list(zip(bads.tolist(), totals.tolist(), strict=True)))
    assert prior.mean == pytest.approx(mean, rel=0.05)
    assert prior.strength == pytest.approx(strength, rel=0.25)


def test_groups_that_are_alike_are_shrunk_far_and_groups_that_differ_hardly() -> None:
    alike = fit_prior([(10, 1000)] * 50)
    differing = fit_prior([(1, 1000), (30, 1000)] * 25)
    assert alike.strength > 20 * differing.strength
    assert abs(alike.posterior(30, 1000).mean - 0.01) < abs(differing.posterior(30, 1000).mean - 0.0155)


@for_all
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 1000)), min_size=1, max_size=20))
def test_any_counts_give_a_prior_within_its_range(groups: list[tuple[int, int]]) -> None:
    counted = [(min(bad, total), total) for bad, total in groups]
    if not sum(total for _, total in counted):
        with pytest.raises(ValueError, match="no group has any data"):
            fit_prior(counted)
        return
    prior = fit_prior(counted)
    assert 0 < prior.mean < 1
    assert prior.strength >= 1


def test_the_posterior_covers_the_true_share_as_often_as_it_says() -> None:
    draw = np.random.default_rng(2)
    inside, count = 0, 0
    for _ in range(200):
        shares = draw.beta(2, 98, 10)
        totals = draw.integers(100, 1500, 10)
        bads = draw.binomial(totals, shares)
        prior = fit_prior(list(zip(bads.tolist(), totals.tolist(), strict=True)))
        for share, bad, total in zip(shares, bads, totals, strict=True):
            found = prior.posterior(float(bad), float(total))
            a, b = found.mean * (prior.strength + total), (1 - found.mean) * (prior.strength + total)
            inside += bool(beta.ppf(0.05, a, b) <= share <= beta.ppf(0.95, a, b))
            count += 1
    assert 0.86 < inside / count < 0.94
