"""The limits of a baseline: constants and interpolation compared with other implementations, and their properties."""

from itertools import accumulate, pairwise
from math import inf, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_operator.decide.analysis.limits import (
    FLOOR,
    MAX_SHARE,
    MIN_STEP,
    TAIL,
    Limits,
    allowed_share,
    allowed_slowdown,
    beyond,
    common_edge,
    more_lenient,
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


# --- shares ---


@for_all
@given(st.data(), st.integers(1, 100_000), SHARES)
def test_what_is_too_much_is_above_what_is_expected_and_that_is_at_least_the_floor(
    data: st.DataObject, total: int, max_increase: float
) -> None:
    limits = allowed_share(data.draw(st.integers(0, total)), total, max_increase)
    assert FLOOR <= limits.p0 < limits.p1 <= MAX_SHARE
    assert limits.p1 >= min(limits.p0 + max_increase, MAX_SHARE)
    assert limits.requests == total


@for_all
@given(st.data(), st.integers(1, 100_000), SHARES)
def test_the_more_were_bad_before_the_more_is_allowed(data: st.DataObject, total: int, max_increase: float) -> None:
    fewer, more = sorted(data.draw(st.tuples(st.integers(0, total), st.integers(0, total))))
    strict, lenient = allowed_share(fewer, total, max_increase), allowed_share(more, total, max_increase)
    assert strict.p0 <= lenient.p0
    assert strict.p1 <= lenient.p1


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2, 0.5])
def test_the_more_requests_a_share_rests_on_the_less_is_allowed(share: float) -> None:
    limits = [allowed_share(round(share * total), total, 0.01) for total in (100, 1000, 10_000, 1_000_000)]
    for few, many in pairwise(limits):
        assert few.p0 >= many.p0
        assert few.p1 >= many.p1
    assert limits[0].p0 > share < limits[-1].p0


def test_without_a_baseline_only_the_floor_is_allowed() -> None:
    """The allowance is 1.5 times the floor's odds; 2 times those, or the increase on top, are too much."""
    nothing, step = allowed_share(0, 0, 0.0), allowed_share(0, 0, 0.01)
    odds = 1.5 * FLOOR / (1 - FLOOR)
    assert nothing.p0 == step.p0 == pytest.approx(odds / (1 + odds))
    assert nothing.p1 == pytest.approx(2 * odds / (1 + 2 * odds))
    assert step.p1 == pytest.approx(step.p0 + 0.01)
    assert (nothing.requests, nothing.edge) == (0, None)


# --- slowdown ---


@for_all
@given(HISTOGRAMS, SLOWDOWNS)
def test_a_slowdown_is_watched_at_the_first_edge_that_a_tenth_would_exceed_on_a_slow_day(
    durations: dict[float, int], max_slowdown: float
) -> None:
    limits, at_most = allowed_slowdown(durations, max_slowdown), sorted(durations.items())

    def exceeding(edge: float) -> float:
        return beyond(at_most, edge / (1 + max_slowdown / 2)) / durations[inf]

    fine = [edge for edge in EDGES[:-1] if durations[inf] and exceeding(edge) <= TAIL]
    if not fine:
        assert limits is None
        return
    assert limits is not None
    assert limits.edge == fine[0]
    assert limits.requests == durations[inf]
    assert max(FLOOR, min(exceeding(fine[0]), MAX_SHARE - MIN_STEP)) <= limits.p0 < limits.p1 <= MAX_SHARE
    assert limits.p1 - limits.p0 >= MIN_STEP - 1e-12


@for_all
@given(HISTOGRAMS, SLOWDOWNS)
def test_a_node_whose_requests_all_took_the_maximum_slowdown_reaches_the_limit(
    durations: dict[float, int], max_slowdown: float
) -> None:
    limits = allowed_slowdown(durations, max_slowdown)
    if limits is not None and limits.edge is not None:
        slowed = beyond(sorted(durations.items()), limits.edge / (1 + max_slowdown)) / durations[inf]
        assert limits.p1 >= min(slowed, MAX_SHARE)


@pytest.mark.parametrize(
    "durations",
    [{}, {0.1: 0, inf: 0}, {0.1: 4}, {inf: 9}, {0.1: 0, 1.0: 0, inf: 9}],
    ids=["no bucket", "no request", "no bucket of infinity", "no finite edge", "all beyond every edge"],
)
def test_without_requests_within_the_edges_a_slowdown_has_no_limits(durations: dict[float, int]) -> None:
    assert allowed_slowdown(durations, 1.0) is None


# --- of several ---


def test_of_a_nodes_own_limits_and_those_of_all_the_more_lenient_hold() -> None:
    strict, lenient = Limits(0.01, 0.02, 5000), Limits(0.05, 0.1, 50)
    assert more_lenient(strict, lenient) == more_lenient(lenient, strict) == lenient


def test_the_common_edge_is_the_first_at_or_above_the_objective_that_every_server_has() -> None:
    both, without, idle = {0.05: 1, 0.1: 1, inf: 1}, {0.04: 1, 0.1: 1, inf: 1}, dict[float, int]()
    assert common_edge(0.05, (both, idle)) == 0.05
    assert common_edge(0.05, (both, without)) == 0.1
    assert common_edge(0.05 * (1 + 1e-12), (both,)) == 0.05
    assert common_edge(0.5, (both,)) is None
    assert common_edge(0.05, (idle,)) is None
