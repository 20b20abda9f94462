"""The sequential test against scipy's likelihoods, by exact probabilities of its random walk, and by its laws."""

from math import exp, log

import numpy as np
import pytest
from scipy.stats import binom

from edge_statistics.sequential import Stratum, boundaries, log_likelihood_ratio, mixed, requests_to_pass

ALPHA, BETA = 0.05, 0.1
STRATA = [
    Stratum(3, 500, 0.002, 0.012),
    Stratum(0, 40, 0.01, 0.05),
    Stratum(7, 7, 0.1, 0.3),
    Stratum(0, 0, 0.1, 0.3),
]


def test_the_ratio_is_that_of_the_binomial_likelihoods() -> None:
    expected = sum(binom.logpmf(s.bad, s.total, s.p1) - binom.logpmf(s.bad, s.total, s.p0) for s in STRATA)
    assert log_likelihood_ratio(STRATA) == pytest.approx(float(expected), abs=1e-9)


@pytest.mark.parametrize(("p0", "p1"), [(0.0, 0.1), (0.1, 0.1), (0.2, 0.1), (0.5, 1.0)])
def test_shares_that_tell_nothing_apart_are_refused(p0: float, p1: float) -> None:
    with pytest.raises(ValueError, match="p0 < p1"):
        log_likelihood_ratio([Stratum(1, 2, p0, p1)])


FAILS, PASSES, UNDECIDED = "fails", "passes", "undecided"
BOUNDS = boundaries(ALPHA, BETA)


def judge_ratio(ratio: float) -> str:
    if ratio >= BOUNDS.upper:
        return FAILS
    return PASSES if ratio <= BOUNDS.lower else UNDECIDED


def test_the_boundaries_are_walds() -> None:
    assert (BOUNDS.lower, BOUNDS.upper) == (log(BETA / (1 - ALPHA)), log((1 - BETA) / ALPHA))


def ever(p: float, p0: float, p1: float, verdict: str, requests: int = 4000) -> float:
    """Returns the exact probability that the walk, examined after every request, gives ``verdict`` before the other
    one."""
    up, down = log(p1 / p0), log((1 - p1) / (1 - p0))
    alive = {0: 1.0}  # bad ones so far -> probability
    ended = 0.0
    for count in range(1, requests + 1):
        following: dict[int, float] = {}
        for bad, probability in alive.items():
            for more, chance in ((1, p), (0, 1 - p)):
                found = judge_ratio((bad + more) * up + (count - bad - more) * down)
                if found is verdict:
                    ended += probability * chance
                elif found is UNDECIDED:
                    following[bad + more] = following.get(bad + more, 0.0) + probability * chance
        alive = following
    return ended


@pytest.mark.parametrize(("p0", "p1"), [(0.003, 0.013), (0.05, 0.1), (0.157, 0.207)])
def test_it_errs_as_rarely_as_wald_promises(p0: float, p1: float) -> None:
    assert ever(p0, p0, p1, FAILS) <= ALPHA / (1 - BETA)
    assert ever(p1, p0, p1, PASSES) <= BETA / (1 - ALPHA)
    assert ever(p0, p0, p1, PASSES) > 1 - ALPHA / (1 - BETA) - 0.02
    assert ever(p1, p0, p1, FAILS) > 1 - BETA / (1 - ALPHA) - 0.02


def test_looking_for_ever_without_stopping_at_a_pass_errs_no_more_than_ville_allows() -> None:
    """The operator does so: a wave that passes is still observed."""
    random = np.random.default_rng(3)
    for p0, p1 in ((0.003, 0.013), (0.1, 0.2)):
        bad = np.cumsum(random.random((2000, 4000)) < p0, axis=1)
        count = np.arange(1, 4001)
        ratios = bad * log(p1 / p0) + (count - bad) * log((1 - p1) / (1 - p0))
        failed = (ratios >= log((1 - BETA) / ALPHA)).any(axis=1).mean()
        assert failed <= ALPHA / (1 - BETA) + 0.015


def test_a_mixture_is_the_mean_of_the_likelihood_ratios_and_does_not_overflow() -> None:
    assert mixed([1.0, 3.0]) == pytest.approx(log((exp(1) + exp(3)) / 2))
    assert mixed([5000.0, -5000.0]) == pytest.approx(5000 - log(2))
    assert mixed([0.5]) == 0.5


def test_a_mixture_errs_no_more_than_ville_allows_and_finds_what_is_far_worse_sooner() -> None:
    p0, p1, far = 0.157, 0.207, 0.8
    random = np.random.default_rng(4)
    count = np.arange(1, 2001)
    limit = log((1 - BETA) / ALPHA)

    def walks(p: float) -> tuple[np.ndarray, np.ndarray]:
        bad = np.cumsum(random.random((1000, 2000)) < p, axis=1)
        near = bad * log(p1 / p0) + (count - bad) * log((1 - p1) / (1 - p0))
        beyond = bad * log(far / p0) + (count - bad) * log((1 - far) / (1 - p0))
        return near, np.logaddexp(near, beyond) - log(2)

    assert (walks(p0)[1] >= limit).any(axis=1).mean() <= ALPHA / (1 - BETA) + 0.02
    near, both = walks(0.9)
    assert np.median((both >= limit).argmax(axis=1)) < np.median((near >= limit).argmax(axis=1)) / 2


@pytest.mark.parametrize(("p0", "p1"), [(0.002, 0.012), (0.003, 0.013), (0.05, 0.2)])
def test_so_many_good_requests_pass_and_one_less_does_not(p0: float, p1: float) -> None:
    needed = requests_to_pass(p0, p1, ALPHA, BETA)
    for count, verdict in ((needed, PASSES), (needed - 1, UNDECIDED)):
        ratio = log_likelihood_ratio([Stratum(0, count, p0, p1)])
        assert judge_ratio(ratio) is verdict
