"""A pass costs as much per node in a large fleet as in a small one.

The tests count lines and rounds of loops that the interpreter runs, and comparisons of node names, which a list would
hide in one of them: the same pass gives the same count on every machine.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from types import FrameType
from typing import Any

import pytest

from edge_operator.decide import decide
from edge_operator.decide.observation import Observation
from edgemodel import reasons
from tests.support.simulation import Simulation, model_spec

SMALL, LARGE = 500, 2000
MAX_GROWTH = 1.25 * LARGE / SMALL
"""The limit of growth: sorting takes n log n, while comparing every node with every node would make it 16."""
MAX_LINES_A_REVISION = 300
"""The limit of lines per revision; 67 to 113 were measured, whatever the number of nodes."""
TICK_SECONDS = 30
WAVES = [{"name": "canary", "nodes": 1}, {"name": "half", "percent": 50}, {"name": "all", "percent": 100}]

Pass = tuple[Observation, datetime]


class CountedName(str):
    """A node's name whose comparisons the interpreter runs, and therefore counts, wherever they happen."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other) is True

    def __ne__(self, other: object) -> bool:
        return not self == other


@contextmanager
def counted() -> Iterator[list[int]]:
    """Counts calls, lines and rounds of loops inside the context, in a list with one number.

    A comprehension on one line counts each of its rounds too: every jump back begins a line.
    """
    total, count = 0, [0]

    def trace(frame: FrameType, event: str, argument: Any) -> Callable[..., Any]:
        nonlocal total
        total += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield count
    finally:
        sys.settrace(before)
        count[0] = total


def lines_run(seen: Pass) -> int:
    # Values that are worked out once for an observation belong to the pass.
    observation = replace(seen[0])
    with counted() as count:
        decide(observation, seen[1])
    return count[0]


def stages(nodes: int) -> dict[str, Pass]:
    """Returns passes of one story: an install, an update that is rolled back, and one that fails on nodes that were
    away."""
    spec = model_spec(analysis={"checks": [{"name": "errors", "type": "ErrorRate"}]})
    spec["rollout"] = {**spec["rollout"], "waves": WAVES, "soakSeconds": 45, "maxFailedNodes": nodes // 4}
    world = Simulation(spec=spec, requests_per_second=20)
    for number in range(nodes):
        world.add_node(CountedName(f"camera-{number}"))
    found: dict[str, Pass] = {}

    def run_until(stage: str, is_there: Callable[[], bool]) -> None:
        """Runs passes until ``is_there``; without a stage nothing is kept, as its passes resemble others."""
        for _ in range(60):
            now = world.now
            world.step()
            world.now += timedelta(seconds=TICK_SECONDS)
            if is_there():
                if stage:
                    found[stage] = world.seen, now
                return
        raise AssertionError(f"{stage} never came: {world.ready_reason()}")

    def wave() -> int:
        return int((world.status.get("rollout") or {"wave": -1})["wave"])

    run_until("first install", lambda: wave() == 0)
    run_until("", lambda: wave() == 1)
    run_until("half the nodes serve", lambda: world.ready_reason() == reasons.SOAKING)
    run_until("promotion", lambda: "stableRevision" in world.status and world.status["stableRevision"] is not None)
    run_until("all nodes serve", lambda: world.ready_reason() == reasons.SERVING)
    for number in range(nodes // 8):
        world.cut(f"camera-{number}")
    world.new_source("b")
    run_until("", lambda: wave() == 1)
    run_until("half the nodes serve both", lambda: sum(len(node.pins) > 1 for node in world.nodes.values()) > 1)
    world.errors[world.target()] = 0.5
    run_until("rollback", lambda: world.ready_reason() == reasons.ROLLED_BACK)
    world.errors.clear()
    world.new_source("c")
    run_until("", lambda: wave() == 2)
    for number in range(nodes // 8):
        world.join(f"camera-{number}")
    run_until("promotion of an update", lambda: wave() == -1)
    run_until("nodes catch up", lambda: world.ready_reason() == reasons.NODES_CATCHING_UP)
    return found


@pytest.fixture(scope="module")
def small() -> dict[str, Pass]:
    return stages(SMALL)


@pytest.fixture(scope="module")
def large() -> dict[str, Pass]:
    return stages(LARGE)


@pytest.mark.slow
def test_no_pass_grows_faster_than_its_nodes(small: dict[str, Pass], large: dict[str, Pass]) -> None:
    assert small.keys() == large.keys()
    growth = {stage: lines_run(large[stage]) / lines_run(small[stage]) for stage in small}
    assert {stage: round(ratio, 2) for stage, ratio in growth.items() if ratio > MAX_GROWTH} == {}


def test_revisions_on_record_do_not_multiply_with_the_nodes() -> None:
    """Four times as many revisions cost something once, not once per node."""
    for stage, (observation, now) in stages(100).items():
        (first, *_) = observation.revisions or (None,)
        if first is None:
            continue

        def with_old(count: int, seen: Observation = observation, first: Any = first) -> Observation:
            old = tuple(replace(first, name=f"m-old{number}", uid=f"old{number}") for number in range(count))
            return replace(seen, revisions=(*seen.revisions, *old))

        few, many = lines_run((with_old(20), now)), lines_run((with_old(80), now))
        assert many < few + 60 * MAX_LINES_A_REVISION, stage


NAMES = [CountedName(f"camera-{number}") for number in range(100)]


@pytest.mark.parametrize(
    "look",
    [
        lambda: CountedName("camera-99") in NAMES,
        lambda: [name for name in NAMES if name is None],
        lambda: {name for name in NAMES for _ in ()},
        lambda: any(name is None for name in NAMES),
    ],
    ids=["a list's comparisons", "a list comprehension", "a set comprehension", "a generator"],
)
def test_work_within_one_line_is_counted(look: Callable[[], object]) -> None:
    with counted() as count:
        look()
    assert count[0] > 100
