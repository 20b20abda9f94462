"""The power of a check, and what it still needs, against simulated requests of one node.

The simulation knows Wald's ratios and nothing of ``power.py``: it draws counts and looks whether the test would fail.
"""

from math import exp, inf, log

import numpy as np
import pytest

from edge_operator.decide.analysis.evidence import BETA
from edge_operator.decide.analysis.power import Pool, Thresholds, detectable_increase, requests_to_decide
from edge_operator.decide.analysis.share_test.fail_test import ALTERNATIVES, BEYOND, SHOWN
from edge_operator.decide.analysis.share_test.pass_test import BELOW
from edge_statistics.sequential import boundaries

BOUNDS = boundaries(0.0125, BETA)
THRESHOLDS = Thresholds(BOUNDS.lower, BOUNDS.upper, SHOWN, ALTERNATIVES, BEYOND, BELOW)
RUNS = 4000


def ratio(bad: float, total: float, null: float, alternative: float, weight: float) -> float:
    good = (1 - alternative) / (1 - null)
    return weight * (bad * log(alternative / null) + (total - bad) * log(good))


def verdict(bad: float, total: float, p0: float, increase: float, weight: float = 1.0) -> str:
    """Returns the verdict on ``bad`` of ``total`` by the words of the rule."""
    p1 = p0 + increase
    shares = [min(p0 + multiple * increase, (1 + p1) / 2) for multiple in ALTERNATIVES]
    worse = np.mean([exp(min(ratio(bad, total, p0, share, weight), 700)) for share in shares])
    each = [
        ratio(bad, total, p0 + null * increase, min(p0 + multiple * increase, (1 + p1) / 2), weight)
        for null, multiple in BEYOND
    ]
    above = log(np.mean([exp(min(one, 700)) for one in each]) or 1e-300)
    below = np.mean([exp(min(ratio(bad, total, p1, p0 + multiple * increase, weight), 700)) for multiple in BELOW])
    if log(worse) >= BOUNDS.upper and above >= SHOWN:
        return "Fail"
    return "Pass" if log(below) >= -BOUNDS.lower else "Inconclusive"


def pool(bad: float, total: float, p0: float, increase: float, weight: float = 1.0, worth: float = 1.0) -> Pool:
    return Pool(bad, total, p0, p0 + increase, weight, weight, worth)


def needed(of: Pool) -> float:
    return requests_to_decide(of, of, THRESHOLDS)


@pytest.mark.parametrize(
    ("total", "p0", "increase"),
    [(400, 0.002, 0.01), (2000, 0.01, 0.01), (2000, 0.1, 0.02), (20_000, 0.01, 0.005), (300, 0.05, 0.05)],
)
def test_the_detectable_increase_is_found_with_four_chances_in_five(total: int, p0: float, increase: float) -> None:
    found = detectable_increase(pool(0, total, p0, increase), THRESHOLDS)
    draw = np.random.default_rng(7)
    counts = draw.binomial(total, p0 + found, RUNS)
    power = np.mean([verdict(int(bad), total, p0, increase) == "Fail" for bad in counts])
    # Counts are whole numbers, and are taken as normal.
    assert power == pytest.approx(0.8, abs=0.06)


@pytest.mark.parametrize("deff", [3, 8])
def test_with_requests_that_come_together_as_much_is_found_as_said(deff: int) -> None:
    """The requests of a group are all bad, or none is, and the weights know that."""
    groups, p0, increase, weight = 1200, 0.02, 0.01, 1 / deff
    total = groups * deff
    found = detectable_increase(pool(0, total, p0, increase, weight, weight), THRESHOLDS)
    counts = deff * np.random.default_rng(8).binomial(groups, p0 + found, RUNS)
    power = np.mean([verdict(int(bad), total, p0, increase, weight) == "Fail" for bad in counts])
    assert power == pytest.approx(0.8, abs=0.06)
    assert found > detectable_increase(pool(0, total, p0, increase), THRESHOLDS)


def test_it_falls_with_each_request_towards_the_limit_and_never_below() -> None:
    found = [detectable_increase(pool(0, total, 0.01, 0.01), THRESHOLDS) for total in (1, 50, 500, 5000, 500_000)]
    assert found[0] == inf
    assert found == sorted(found, reverse=True)
    # From a fifth above the limit on, the requests speak for 1.6 times the increase rather than for 0.8 times of it.
    assert 0.0115 < found[-1] < 0.0125


def test_it_does_not_depend_on_how_many_were_bad() -> None:
    assert len({detectable_increase(pool(bad, 1000, 0.01, 0.01), THRESHOLDS) for bad in (0, 10, 500)}) == 1


def decided_after(share: float, p0: float, increase: float, seed: int) -> int:
    """Returns the number of requests after which a node with this share of bad ones is decided."""
    draw = np.random.default_rng(seed)
    bad = np.cumsum(draw.random(200_000) < share)
    for total in range(20, 200_000, 20):
        if verdict(int(bad[total - 1]), total, p0, increase) != "Inconclusive":
            return total
    return 200_000


@pytest.mark.parametrize(
    ("share", "p0", "increase"), [(0.002, 0.002, 0.01), (0.01, 0.01, 0.01), (0.05, 0.01, 0.01), (0.04, 0.002, 0.01)]
)
def test_the_requests_to_decide_are_those_that_it_takes(share: float, p0: float, increase: float) -> None:
    """The mean of many runs is compared, as the number of one depends on chance."""
    took = [decided_after(share, p0, increase, seed) for seed in range(150)]
    stated = 60 + needed(pool(60 * share, 60, p0, increase))
    assert stated == pytest.approx(float(np.mean(took)), rel=0.25)


def test_after_some_requests_so_many_fewer_are_missing() -> None:
    first, later = (needed(pool(0, total, 0.002, 0.01)) for total in (50, 100))
    assert first - later == pytest.approx(50, abs=3)
    assert verdict(0, round(50 + first + 1), 0.002, 0.01) == "Pass"


def test_between_expected_and_limit_many_are_needed_and_at_the_limit_no_number_decides() -> None:
    p0, increase = 0.01, 0.01
    good, between = (needed(pool(share * 500, 500, p0, increase)) for share in (0.01, 0.014))
    assert good < between < inf
    assert needed(pool(0.02 * 5000, 5000, p0, increase)) == inf


def test_once_the_counts_decide_none_is_missing() -> None:
    for bad in (0, 400):
        assert verdict(bad, 4000, 0.01, 0.01) != "Inconclusive"
        assert needed(pool(bad, 4000, 0.01, 0.01)) == 0


def test_no_number_of_requests_makes_up_for_a_baseline_of_which_little_is_known() -> None:
    """At 1000 requests the weight is a half though each is worth one, so all that may come weigh no more than 1000."""
    known, unknown = (pool(14, 1000, 0.01, 0.01, weight) for weight in (1.0, 0.5))
    assert needed(known) < inf
    assert needed(unknown) == inf


def test_with_an_uncertain_baseline_more_are_needed_by_the_formula_of_the_weights() -> None:
    """Simulated by the weights themselves: 1 / (1 + total uncertainty)."""
    p0, increase, total = 0.002, 0.01, 100
    weight = 0.9
    uncertainty = (1 / weight - 1) / total
    stated = total + needed(pool(0, total, p0, increase, weight))
    takes = next(n for n in range(total, 20_000) if verdict(0, n, p0, increase, 1 / (1 + n * uncertainty)) == "Pass")
    assert stated == pytest.approx(takes, rel=0.1)


def test_what_a_pass_expects_less_of_than_a_failure_takes_a_pass_longer_and_a_failure_none() -> None:
    """No number of requests decides between the two limits."""
    expected, to_pass = pool(0.002 * 50, 50, 0.03, 0.01), pool(0.002 * 50, 50, 0.005, 0.01)
    assert needed(expected) < needed(to_pass) < requests_to_decide(expected, to_pass, THRESHOLDS) < inf
    between, passing = pool(0.025 * 500, 500, 0.03, 0.01), pool(0.025 * 500, 500, 0.005, 0.01)
    assert requests_to_decide(between, passing, THRESHOLDS) == inf
    worse, lower = pool(0.09 * 100, 100, 0.03, 0.01), pool(0.09 * 100, 100, 0.005, 0.01)
    assert 0 < requests_to_decide(worse, lower, THRESHOLDS) == needed(worse) < inf
