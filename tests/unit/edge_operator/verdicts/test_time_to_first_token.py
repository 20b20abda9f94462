"""The check TimeToFirstToken: the first token of prompts of like length, before a node's switch and since."""

from math import inf

import pytest
from numpy.random import Generator, default_rng

from edge_operator.decide.analysis.checks import objective_edge
from edge_operator.decide.analysis.checks.time_to_first_token import BY_MINUTE, TIMES, WARM_UP_TIMES
from edge_operator.decide.analysis.durations import DurationRule, Durations
from edge_operator.decide.analysis.evidence import ALPHA, Evidence
from edge_operator.decide.analysis.prompt_lengths import at_the_same_lengths
from edge_operator.decide.measurement import Baseline, Counts
from edgemodel import metrics
from edgemodel.verdict import Verdict
from tests.support.token_times import LONG, SHORT, both, first_tokens
from tests.support.verdicts import NOW, analysis_of, judged

OBJECTIVE = analysis_of(
    {"name": "first", "type": "TimeToFirstToken", "timeToFirstToken": {"objectiveMilliseconds": 16000}}
)
SLOWDOWN = analysis_of({"name": "first", "type": "TimeToFirstToken"})
EITHER = pytest.mark.parametrize("analysis", [OBJECTIVE, SLOWDOWN], ids=["objective", "slowdown"])
NODES = tuple(f"camera-{number}" for number in range(1, 7))


def mixed(draw: Generator, short: int, long: int, node: str = "camera-1", slower: float = 1.0) -> Counts:
    """Returns requests with short prompts and with long ones."""
    return both(
        first_tokens(draw, short, node, SHORT, slower) if short else Counts(node),
        first_tokens(draw, long, node, LONG, slower) if long else Counts(node),
    )


def evidence(trial: tuple[Counts, ...], control: tuple[Counts, ...], baseline: tuple[Counts, ...]) -> Evidence:
    ready = {counts.node: NOW for counts in trial}
    return Evidence(
        "default", ready, NOW, trial, control, Baseline(baseline), (), frozenset(ready), {}, {}, ALPHA, is_first=False
    )


@EITHER
@pytest.mark.parametrize("seed", range(3))
def test_a_candidate_whose_first_token_comes_much_later_fails(analysis: object, seed: int) -> None:
    draw = default_rng(seed)
    found = judged(analysis, (mixed(draw, 300, 300, slower=2.6),), (mixed(draw, 1000, 1000),))  # type: ignore[arg-type]
    assert found.verdict is Verdict.FAIL
    assert found.reason == "TimeToFirstTokenTooHigh"
    assert "of requests had their first token later than" in found.message


@EITHER
@pytest.mark.parametrize("seed", range(3))
def test_a_candidate_as_fast_as_before_passes(analysis: object, seed: int) -> None:
    draw = default_rng(seed)
    trial = tuple(mixed(draw, 500, 500, node) for node in NODES[:3])
    control = tuple(mixed(draw, 500, 500, node) for node in NODES[3:])
    before = tuple(mixed(draw, 3000, 3000, node) for node in NODES)
    found = judged(analysis, trial, before, control)  # type: ignore[arg-type]
    assert found.verdict is Verdict.PASS, found.message


@EITHER
@pytest.mark.parametrize("seed", range(10))
def test_longer_prompts_do_not_fail_a_candidate(analysis: object, seed: int) -> None:
    draw = default_rng(seed)
    trial = tuple(mixed(draw, 30, 470, node) for node in NODES[:3])
    before = tuple(mixed(draw, 2700, 300, node) for node in NODES[:3])
    assert judged(analysis, trial, before).verdict is not Verdict.FAIL  # type: ignore[arg-type]


def test_without_the_lengths_they_would() -> None:
    """The test above says something: the same requests, with all lengths together, condemn the candidate."""
    draw = default_rng(0)
    trial = tuple(mixed(draw, 30, 470, node) for node in NODES[:3])
    before = tuple(mixed(draw, 2700, 300, node) for node in NODES[:3])
    together = [
        tuple(Counts(c.node, {**c.values, TIMES.whole: whole(c)}) for c in window) for window in (trial, before)
    ]
    durations = Durations(TIMES.whole, BY_MINUTE, "time to the first token")
    for rule in (DurationRule(objective_seconds=1.0, max_slowdown=None), DurationRule()):
        found = durations.judge("first", rule, evidence(together[0], (), together[1]))
        assert found.verdict is Verdict.FAIL


def whole(counts: Counts) -> dict[float, int]:
    strata = TIMES.of(counts).values()
    return {edge: sum(buckets[edge] for buckets in strata) for edge in (*metrics.FIRST_TOKEN_BUCKETS, inf)}


@pytest.mark.parametrize("seed", range(3))
def test_a_slow_candidate_fails_also_if_the_prompts_became_shorter(seed: int) -> None:
    """All of its first tokens together come sooner than before."""
    draw = default_rng(seed)
    trial = tuple(mixed(draw, 500, 30, node, slower=2.5) for node in NODES[:3])
    before = tuple(mixed(draw, 300, 2700, node) for node in NODES[:3])
    assert judged(SLOWDOWN, trial, before).verdict is Verdict.FAIL


def test_longer_prompts_on_nodes_that_run_stable_are_no_drift() -> None:
    draw = default_rng(0)
    trial = tuple(mixed(draw, 500, 500, node) for node in NODES[:3])
    control = tuple(mixed(draw, 30, 970, node) for node in NODES[3:])
    before = tuple(mixed(draw, 3000, 3000, node) for node in NODES)
    seen = at_the_same_lengths(evidence(trial, control, before), TIMES, WARM_UP_TIMES)
    late = [1 - TIMES.whole.of(item)[1.0] / TIMES.whole.of(item)[inf] for item in (*seen.control, *seen.baseline[3:])]
    for now, then in zip(late[:3], late[3:], strict=True):
        assert now == pytest.approx(then, abs=0.03)
    raw = [1 - whole(item)[1.0] / whole(item)[inf] for item in (*control, *before[3:])]
    assert min(raw[:3]) > max(raw[3:]) + 0.3


def test_prompts_of_a_length_that_never_came_before_are_compared_with_nothing() -> None:
    draw = default_rng(0)
    found = judged(SLOWDOWN, (mixed(draw, 0, 500, slower=9),), (mixed(draw, 2000, 0),))
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.waits
    some = judged(SLOWDOWN, (mixed(draw, 400, 500),), (mixed(draw, 2000, 0),))
    assert some.sample_count == 400


def test_weighted_requests_count_as_many_as_they_are_worth() -> None:
    """A hundred short ones and as many long ones are worth fewer once nine in ten count as long."""
    draw = default_rng(0)
    before = mixed(draw, 100, 100)

    def worth(short: int, long: int) -> int:
        seen = at_the_same_lengths(evidence((mixed(draw, short, long),), (), (before,)), TIMES, WARM_UP_TIMES)
        return TIMES.whole.of(seen.baseline[0])[inf]

    assert worth(90, 900) < worth(500, 500) <= 200
    assert worth(90, 900) < 150


def test_a_first_revision_is_judged_by_its_objective_alone() -> None:
    draw = default_rng(0)
    assert judged(OBJECTIVE, (first_tokens(draw, 400, lengths=LONG, slower=3),), is_first=True).verdict is Verdict.FAIL
    assert judged(OBJECTIVE, (first_tokens(draw, 2000),), is_first=True).verdict is Verdict.PASS


@pytest.mark.parametrize(("slower", "verdict"), [(1.0, Verdict.PASS), (60.0, Verdict.FAIL)])
def test_warm_ups_are_compared_with_those_of_stable(slower: float, verdict: Verdict) -> None:
    draw = default_rng(1)

    def node(name: str, steady: int, slower: float) -> Counts:
        return both(first_tokens(draw, steady, name), first_tokens(draw, 100, name, slower=slower, warm_up=True))

    trial = tuple(node(name, 600, slower) for name in NODES[:3])
    control = tuple(first_tokens(draw, 600, name) for name in NODES[3:])
    before = tuple(node(name, 3000, 1.0) for name in NODES)
    found = judged(OBJECTIVE, trial, before, control)
    assert found.verdict is verdict
    assert ("of the warm-up" in found.message) == (verdict is Verdict.FAIL)


def test_longer_prompts_in_a_warm_up_do_not_fail_it() -> None:
    draw = default_rng(1)
    warm = [
        both(first_tokens(draw, 300, n, SHORT, warm_up=True), first_tokens(draw, 40, n, LONG, warm_up=True))
        for n in NODES
    ]
    before = tuple(both(mixed(draw, 2000, 2000, item.node), item) for item in warm)
    trial = tuple(
        both(mixed(draw, 300, 300, name), first_tokens(draw, 100, name, LONG, warm_up=True)) for name in NODES[:3]
    )
    control = tuple(mixed(draw, 300, 300, name) for name in NODES[3:])
    assert judged(OBJECTIVE, trial, before, control).verdict is not Verdict.FAIL


def test_the_objective_is_an_edge_of_the_servers_histogram_of_first_tokens_and_of_no_other() -> None:
    assert objective_edge(OBJECTIVE, metrics.FIRST_TOKEN_SECONDS) == 16.0
    assert objective_edge(OBJECTIVE, metrics.INTER_TOKEN_SECONDS) is None
    assert objective_edge(OBJECTIVE) is None


def test_a_slowdown_of_short_prompts_alone_fails_a_candidate() -> None:
    """All of them still come sooner than a long one ever did."""
    draw = default_rng(0)
    trial = tuple(
        both(first_tokens(draw, 400, n, SHORT, slower=4), first_tokens(draw, 400, n, LONG)) for n in NODES[:3]
    )
    before = tuple(mixed(draw, 2000, 2000, node) for node in NODES[:3])
    assert judged(SLOWDOWN, trial, before).verdict is Verdict.FAIL


@pytest.mark.parametrize(("slower", "verdict"), [(1.0, Verdict.PASS), (6.0, Verdict.FAIL)])
def test_lengths_with_few_requests_before_are_judged_together(slower: float, verdict: Verdict) -> None:
    draw = default_rng(0)
    trial = tuple(mixed(draw, 150, 150, node, slower) for node in NODES[:3])
    control = tuple(mixed(draw, 150, 150, node) for node in NODES[3:])
    before = tuple(mixed(draw, 60, 60, node) for node in NODES)
    found = judged(SLOWDOWN, trial, before, control)
    assert found.verdict is verdict, found.message
