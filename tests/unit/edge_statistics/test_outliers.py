"""The groups that moved for themselves: they are found if they are few, and hardly ever made by chance."""

import time
from math import inf

import numpy as np
import pytest

from edge_statistics import outliers
from edge_statistics.outliers import Group, find_outliers
from edge_statistics.shrinkage import Share


def group(bad: float, total: float = 1000.0, share: float = 0.005, worth: float = 10_000.0) -> Group:
    """Returns a group whose share is known as from ``worth`` requests."""
    return Group(bad, total, Share(share, share * (1 - share) / worth))


def test_the_one_that_moved_is_found_in_either_direction() -> None:
    others = [group(bad) for bad in (4, 7, 5, 3, 6)]
    assert find_outliers([*others, group(500)]) == ({5}, True)
    assert find_outliers([group(50, share=0.5), *(group(50, share=0.05) for _ in range(4))]) == ({0}, True)


def test_two_of_seven_do_not_hide_each_other() -> None:
    groups = [group(4), group(480), group(6), group(5), group(300), group(3), group(5)]
    assert find_outliers(groups) == ({1, 4}, True)


@pytest.mark.parametrize("factor", [1, 3, 100])
def test_groups_that_moved_together_are_none(factor: int) -> None:
    assert find_outliers([group(5 * factor) for _ in range(5)]) == (set(), True)


def test_where_half_of_them_moved_nobody_can_tell_which() -> None:
    assert find_outliers([group(5), group(500)]) == (set(), False)
    assert find_outliers([group(5), group(4), group(500), group(500)]) == (set(), False)
    assert find_outliers([group(0), group(4), group(500), group(400)]) == (set(), False)
    assert find_outliers([group(5), group(60), group(700)]) == (set(), False)


def test_fewer_than_two_do_not_disagree() -> None:
    assert find_outliers([group(5)]) == (set(), True)
    assert find_outliers([]) == (set(), True)


def test_what_most_of_them_show_is_common_to_all() -> None:
    assert find_outliers([group(5), group(500), group(500), group(500), group(500)]) == ({0}, True)


def test_few_requests_make_no_outlier() -> None:
    assert find_outliers([group(bad, total=10) for bad in (0, 0, 1, 0, 2, 0)]) == (set(), True)


def test_what_differs_by_less_than_a_factor_of_two_moved_together() -> None:
    """With a million requests, everything differs."""
    assert find_outliers([group(bad, total=1e6) for bad in (5000, 6000, 4200, 9000)]) == (set(), True)


@pytest.mark.parametrize("drift", [1.0, 3.0])
@pytest.mark.parametrize("mean", [0.5, 5.0, 100.0])
def test_chance_makes_hardly_any(mean: float, drift: float) -> None:
    draw = np.random.default_rng(5)
    fleets = [[group(bad, 200 * mean) for bad in draw.poisson(mean * drift, 7)] for _ in range(200)]
    assert sum(find_outliers(fleet) != (set(), True) for fleet in fleets) <= 1


def test_of_thousands_they_are_found_in_an_instant() -> None:
    draw = np.random.default_rng(6)
    groups = [group(float(bad)) for bad in draw.poisson(5, 5000)]
    broken = set(range(0, 5000, 10))
    groups = [group(400.0) if place in broken else one for place, one in enumerate(groups)]
    began = time.process_time()
    found, agree = find_outliers(groups)
    assert time.process_time() - began < 2
    assert agree
    assert broken <= found
    assert len(found) <= len(broken) + 3


@pytest.mark.parametrize("mean", [0.3, 3.0, 40.0])
def test_the_groups_that_need_no_drift_of_the_others_are_none(mean: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is near enough whatever the others show is not looked at; nobody is lost by that."""
    draw = np.random.default_rng(7)
    fleets = []
    for _ in range(150):
        factors = np.where(draw.random(8) < 0.2, draw.choice([0.05, 4.0, 12.0, 100.0], 8), 1.0)
        worths = draw.choice([50.0, 2000.0, 1e6], 8)
        counts = zip(draw.poisson(mean * factors), worths, strict=True)
        fleets.append([group(float(bad), 200 * mean, worth=worth) for bad, worth in counts])
    found = [find_outliers(fleet) for fleet in fleets]
    monkeypatch.setattr(outliers, "NEAR", -inf)
    assert found == [find_outliers(fleet) for fleet in fleets]
    assert mean < 1 or any(one.outliers for one in found)
