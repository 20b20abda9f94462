"""The conclusions from requests before: interpolation compared with other implementations, and properties."""

from itertools import accumulate
from math import inf, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_operator.decide.analysis.limits import (
    ALLOWANCE,
    MAX_SHARE,
    MIN_FOR_SLOWDOWN,
    MIN_STEP,
    TAIL,
    Before,
    beyond,
    common_edge,
    slowdown,
    times_odds,
)
from edgemodel.metrics import DURATION_BUCKETS

EDGES = (*DURATION_BUCKETS, inf)
for_all = settings(deadline=None, derandomize=True, database=None)
SHARES = st.floats(0, 1)
SLOWDOWNS = st.floats(0.05, 20)


def totals(buckets: list[int]) -> dict[float, int]:
    return dict(zip(EDGES, accumulate(buckets), strict=True))


HISTOGRAMS = st.lists(st.one_of(st.just(0), st.integers(0, 5000)), min_size=len(EDGES), max_size=len(EDGES)).map(totals)


# --- how many took longer ---


@for_all
@given(HISTOGRAMS, st.floats(EDGES[0], EDGES[-2]))
def test_beyond_is_numpys_interpolation_over_the_logarithms_of_the_edges(
    durations: dict[float, int], seconds: float
) -> None:
    finite = [edge for edge in durations if edge < inf]
    within = np.interp(log(seconds), np.log(finite), [durations[edge] for edge in finite])
    found = beyond(sorted(durations.items()), seconds)
    assert found == pytest.approx(durations[inf] - float(within), abs=1e-6)


@for_all
@given(HISTOGRAMS, st.floats(0, EDGES[0]))
def test_below_the_first_edge_it_is_a_straight_line_from_zero(durations: dict[float, int], seconds: float) -> None:
    within = np.interp(seconds, [0, EDGES[0]], [0, durations[EDGES[0]]])
    assert beyond(sorted(durations.items()), seconds) == pytest.approx(durations[inf] - float(within), abs=1e-6)


@for_all
@given(HISTOGRAMS)
def test_at_an_edge_it_is_the_count_itself_and_beyond_the_last_what_is_in_no_finite_bucket(
    durations: dict[float, int],
) -> None:
    at_most = sorted(durations.items())
    for edge in EDGES[:-1]:
        assert beyond(at_most, edge) == pytest.approx(durations[inf] - durations[edge], abs=1e-6)
    assert beyond(at_most, 1000) == durations[inf] - durations[EDGES[-2]]


# --- odds ---


@for_all
@given(st.floats(1e-6, 0.9), st.floats(0.01, 50))
def test_times_odds_multiplies_the_odds(share: float, factor: float) -> None:
    odds = factor * share / (1 - share)
    assert times_odds(share, factor) == pytest.approx(min(odds / (1 + odds), MAX_SHARE), rel=1e-9)


@for_all
@given(SHARES, st.floats(0.01, 1e6))
def test_times_odds_stays_a_share_that_a_test_can_use(share: float, factor: float) -> None:
    assert 0 <= times_odds(share, factor) <= MAX_SHARE
    assert times_odds(share, factor) <= times_odds(share, 2 * factor)


@for_all
@given(st.floats(0.0001, 0.9), st.floats(0.1, 10))
def test_times_odds_and_back_is_the_share_itself(share: float, factor: float) -> None:
    there = times_odds(share, factor)
    if there < MAX_SHARE:
        assert times_odds(there, 1 / factor) == pytest.approx(share, rel=1e-9)


def test_without_more_words_a_node_may_be_bad_half_again_as_often() -> None:
    before = Before(bad=10, total=1000, increase=0.01)
    assert (before.allowance, before.edge) == (ALLOWANCE, None) == (1.5, None)


# --- slowdown ---


@for_all
@given(HISTOGRAMS, SLOWDOWNS)
def test_a_slowdown_is_watched_at_the_first_edge_that_a_tenth_would_exceed_on_a_slow_day(
    durations: dict[float, int], max_slowdown: float
) -> None:
    before, at_most = slowdown(durations, max_slowdown), sorted(durations.items())

    def exceeding(edge: float, factor: float = 1 + max_slowdown / 2) -> float:
        return beyond(at_most, edge / factor) / durations[inf]

    enough = durations[inf] >= MIN_FOR_SLOWDOWN
    fine = [edge for edge in EDGES[:-1] if enough and exceeding(edge) <= TAIL]
    if not fine:
        assert before is None
        return
    assert before is not None
    assert before.edge == fine[0]
    assert before.total == durations[inf]
    assert before.bad == pytest.approx(durations[inf] - durations[fine[0]], abs=1e-6)
    assert before.increase >= MIN_STEP


@for_all
@given(HISTOGRAMS, SLOWDOWNS)
def test_a_node_whose_requests_all_took_the_maximum_slowdown_reaches_the_limit(
    durations: dict[float, int], max_slowdown: float
) -> None:
    before = slowdown(durations, max_slowdown)
    if before is not None and before.edge is not None:
        slowed = beyond(sorted(durations.items()), before.edge / (1 + max_slowdown)) / durations[inf]
        assert before.bad / before.total + before.increase >= slowed - 1e-9
        assert before.increase == pytest.approx(max(slowed - before.bad / before.total, MIN_STEP))


@for_all
@given(HISTOGRAMS, SLOWDOWNS)
def test_the_allowance_is_what_half_of_the_slowdown_makes(durations: dict[float, int], max_slowdown: float) -> None:
    before = slowdown(durations, max_slowdown)
    if before is not None and before.edge is not None:
        drifted = beyond(sorted(durations.items()), before.edge / (1 + max_slowdown / 2))
        shares = [(count + 1) / (before.total + 2) for count in (before.bad, drifted)]
        assert before.allowance >= 1
        assert times_odds(shares[0], before.allowance) == pytest.approx(shares[1])


@pytest.mark.parametrize(
    "durations",
    [{}, {0.1: 0, inf: 0}, {0.1: 400}, {inf: 900}, {0.1: 0, 1.0: 0, inf: 900}, {0.1: 49, inf: 49}],
    ids=[
        *("no bucket", "no request", "no bucket of infinity", "no finite edge", "all beyond every edge"),
        "too few requests",
    ],
)
def test_without_enough_requests_within_the_edges_no_slowdown_is_looked_for(durations: dict[float, int]) -> None:
    assert slowdown(durations, 1.0) is None


# --- of several ---


def test_the_common_edge_is_the_first_at_or_above_the_objective_that_every_server_has() -> None:
    both, without, idle = {0.05: 1, 0.1: 1, inf: 1}, {0.04: 1, 0.1: 1, inf: 1}, dict[float, int]()
    assert common_edge(0.05, (both, idle)) == 0.05
    assert common_edge(0.05, (both, without)) == 0.1
    assert common_edge(0.05 * (1 + 1e-12), (both,)) == 0.05
    assert common_edge(0.5, (both,)) is None
    assert common_edge(0.05, (idle,)) is None
