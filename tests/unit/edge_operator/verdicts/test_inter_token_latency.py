"""The check InterTokenLatency: the mean time between two tokens of a request, before a node's switch and since."""

import pytest
from numpy.random import default_rng

from edge_operator.decide.analysis.checks import objective_edge
from edgemodel import metrics
from edgemodel.verdict import Verdict
from tests.support.token_times import gaps
from tests.support.verdicts import analysis_of, judged

OBJECTIVE = analysis_of(
    {"name": "gap", "type": "InterTokenLatency", "interTokenLatency": {"objectiveMilliseconds": 40}}
)
SLOWDOWN = analysis_of({"name": "gap", "type": "InterTokenLatency"})
EITHER = pytest.mark.parametrize("analysis", [OBJECTIVE, SLOWDOWN], ids=["objective", "slowdown"])


@EITHER
@pytest.mark.parametrize("seed", range(3))
def test_a_candidate_whose_tokens_come_much_further_apart_fails(analysis: object, seed: int) -> None:
    draw = default_rng(seed)
    found = judged(analysis, (gaps(draw, 400, slower=2.5),), (gaps(draw, 2000),))  # type: ignore[arg-type]
    assert found.verdict is Verdict.FAIL
    assert found.reason == "InterTokenLatencyTooHigh"
    assert "of requests had their tokens further apart than" in found.message


@EITHER
@pytest.mark.parametrize("seed", range(3))
def test_a_candidate_as_fast_as_before_passes(analysis: object, seed: int) -> None:
    draw = default_rng(seed)
    names = [f"camera-{number}" for number in range(1, 7)]
    trial, control = (tuple(gaps(draw, 1500, name) for name in side) for side in (names[:3], names[3:]))
    before = tuple(gaps(draw, 6000, name) for name in names)
    found = judged(analysis, trial, before, control)  # type: ignore[arg-type]
    assert found.verdict is Verdict.PASS, found.message


def test_a_first_revision_is_judged_by_its_objective_alone() -> None:
    draw = default_rng(0)
    assert judged(OBJECTIVE, (gaps(draw, 400, slower=3),), is_first=True).verdict is Verdict.FAIL
    assert not judged(SLOWDOWN, (gaps(draw, 400),), is_first=True).waits


def test_the_median_against_that_of_nodes_on_stable_is_told_in_its_own_words() -> None:
    draw = default_rng(0)
    names = [f"camera-{number}" for number in range(1, 9)]
    before = tuple(gaps(draw, 500, name) for name in names)
    trial = tuple(gaps(draw, 500, name, slower=9) for name in names[4:])
    control = tuple(gaps(draw, 500, name, slower=2.5) for name in names[:4])
    found = judged(SLOWDOWN, trial, before, control)
    assert found.verdict is Verdict.FAIL
    assert "median time between tokens is" in found.message


def test_the_objective_is_an_edge_of_the_servers_histogram_of_gaps_and_of_no_other() -> None:
    assert objective_edge(OBJECTIVE, metrics.INTER_TOKEN_SECONDS) == 0.04
    assert objective_edge(OBJECTIVE, metrics.FIRST_TOKEN_SECONDS) is None
