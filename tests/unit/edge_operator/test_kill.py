"""After a kill at any write the operator continues correctly: nothing is done twice, nothing is forgotten."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import chain

import pytest

from edge_operator.decide.observation import Revision
from edge_operator.decide.placement.selection import switch_order
from edgemodel import reasons
from edgemodel.status import ClassPreflight
from tests.support.simulation import Simulation, measured, model_spec

pytestmark = pytest.mark.slow

KINDS = ("Surge", "Recreate", "judged", "preflight", "controls", "controls Recreate")
PARTS = 3
"""The number of parts into which the kills of a story are divided, so that the tests share the processors."""
PHASE = 220
"""The seconds of each of the story's parts, long enough that nothing is left to do."""


def begin(kind: str) -> Simulation:
    """Returns the beginning of the story: an install, an update, and a candidate that is rolled back.

    ``kind`` is Surge or Recreate, with a candidate that does not get ready; judged: with one that fails its check;
    preflight: with one that is too slow for one of two hardware classes, after a crash on the other; controls: with one
    that fails on the node that stays on stable until the bake is through.
    """
    strategy = "Recreate" if kind.endswith("Recreate") else "Surge"
    world = Simulation.with_nodes(3, spec=model_spec(serving={"strategy": strategy}))
    if kind.startswith("controls"):
        world.change(rollout={**world.spec["rollout"], "controlNodes": 1})
    if kind == "preflight":
        world.change(preflight={"nodeSelector": {"edge": "camera"}, "maxLatencyMilliseconds": "20"})
        world.nodes["camera-2"] = replace(world.nodes["camera-2"], architecture="arm64")
    if kind == "judged":
        world.change(analysis={"checks": [{"name": "errors", "type": "ErrorRate"}]})
        world.change(serving={**world.spec["serving"], "shadowReplay": {"maxRequests": 64}})
    world.requests_per_second = 20
    return world


def go_on(world: Simulation, kind: str, second: int = 0) -> Iterator[int]:
    """Runs the rest of the story from ``second`` on; yields the second of each pass before it."""
    for now in range(second, 3 * PHASE):
        yield now
        if now == PHASE:
            world.new_source("b")
        if now == 2 * PHASE:
            world.new_source("c")
            _spoil(world, kind)
        world.step()
        world.now += timedelta(seconds=1)


def _spoil(world: Simulation, kind: str) -> None:
    """Makes the revision that the spec now asks for a bad one."""
    if kind == "judged":
        world.errors[world.target()] = 0.3
    elif kind == "preflight":
        world.target_outcome = {"camera-2": measured(p50="21.000"), "camera-1": "", "camera-3": ""}
    elif kind.startswith("controls"):
        target, nodes = world.target(), world.nodes
        control = max(nodes, key=lambda name: switch_order(nodes[name].uid, "uid-m", target))
        world.trouble[target, control] = (reasons.GOLDEN_MISMATCH, "golden set agrees on 12.5 %, limit 99.5 % (n = 64)")
    else:
        world.trouble[world.target()] = (reasons.GOLDEN_MISMATCH, "golden set agrees on 12.5 %, limit 99.5 % (n = 64)")


def story(kind: str, killed_always: bool = False) -> Simulation:
    """Returns the simulation after the complete story."""
    world = begin(kind)
    world.killed_always = killed_always
    for _ in go_on(world, kind):
        pass
    return world


def killed_at_each_write(kind: str, part: int) -> Iterator[tuple[int, Simulation]]:
    """Yields the ends of the story with a kill at every ``PARTS``-th write, from the write ``part`` (from 1) on, each
    with the number of the write."""
    world = begin(kind)
    before, second = world.fork(), 0
    for now in chain(go_on(world, kind), [3 * PHASE]):
        for number in range(before.writes + 1, world.writes + 1):
            if number % PARTS == part % PARTS:
                killed = before.fork()
                killed.killed_at = number
                for _ in go_on(killed, kind, second):
                    pass
                assert killed.writes >= number
                yield number, killed
        before, second = world.fork(), now


def said(message: str) -> str:
    """Returns the message without the number of requests, which depends on the kill."""
    return re.sub(r"[0-9.]+ %|n = [0-9]+", "", message)


def preflight_classes(revision: Revision) -> list[ClassPreflight]:
    """Returns the result of its preflight without the times, which depend on the kill."""
    classes = revision.preflight.classes if revision.preflight is not None else ()
    return [replace(item, measured_at=None) for item in classes]


def outcome(world: Simulation) -> tuple[object, ...]:
    """Returns all that must not depend on the kill; times do."""
    return (
        world.status["stableRevision"],
        [(item["name"], item["reason"], said(item["message"])) for item in world.status["rejectedRevisions"]],
        [(item["type"], item["status"], item["reason"], said(item["message"])) for item in world.status["conditions"]],
        {node.name: node.pins for node in world.nodes.values()},
        {node: world.runs(node) for node in world.nodes},
        sorted(world.daemonsets),
        world.applied,
        world.has_replay_secret,
        [reason for reason, _ in world.events.values()],
        {name: revision.verdict for name, revision in world.revisions.items()},
        world.jobs_started,
        [start.name for start in world.preflights_started],
        {name: preflight_classes(revision) for name, revision in world.revisions.items()},
        sorted(world.revisions),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_the_story_ends_in_a_rollback(kind: str) -> None:
    world = story(kind)
    assert 40 < world.writes < 200
    (rejected,) = world.status["rejectedRevisions"]
    if kind == "judged":
        assert rejected["reason"] == reasons.ERROR_RATE_TOO_HIGH
    if kind.startswith("controls"):
        assert sum("controlsReleasedAt" in (status.get("rollout") or {}) for status in world.history) >= 2
    if kind == "preflight":
        assert "(default/arm64): p50 21.000 ms, limit 20 ms" in rejected["message"]


@pytest.mark.parametrize("part", range(1, PARTS + 1))
@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_any_write_the_story_ends_the_same(kind: str, part: int) -> None:
    undisturbed = story(kind)
    kills = []
    for number, world in killed_at_each_write(kind, part):
        assert outcome(world) == outcome(undisturbed), f"killed at write {number}"
        assert_no_node_is_switched_twice(world, undisturbed)
        kills.append(number)
    assert kills == list(range(part, undisturbed.writes + 1, PARTS))


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_every_single_write_the_story_continues_and_ends_the_same(kind: str) -> None:
    """The kills are instead of the first write, after the second, and so on: a pass that began with a write that
    changes each time would never get to the next one."""
    world, undisturbed = story(kind, killed_always=True), story(kind)
    assert world.status["stableRevision"] == undisturbed.status["stableRevision"]
    assert _rejected(world) == _rejected(undisturbed)
    assert {node: world.pinned(node) for node in world.nodes} == {
        node: {world.status["stableRevision"]} for node in world.nodes
    }
    assert_no_node_is_switched_twice(world, undisturbed)


def _rejected(world: Simulation) -> list[str]:
    return [item["reason"] for item in world.status["rejectedRevisions"]]


def assert_no_node_is_switched_twice(world: Simulation, undisturbed: Simulation) -> None:
    """A rollback gives nodes back what they had before, which the undisturbed story does as often."""
    pins, once = _pins_set(world), _pins_set(undisturbed)
    twice = {change for change, count in pins.items() if count > max(once[change], 1)}
    assert not twice, "a node was switched twice"


def _pins_set(world: Simulation) -> Counter[tuple[str, frozenset[str]]]:
    return Counter((patch.node, patch.add) for patch in world.pin_log if patch.add)
