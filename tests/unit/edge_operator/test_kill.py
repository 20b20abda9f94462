"""Killed at any write, the operator goes on rightly: nothing is done twice, nothing is forgotten."""

import re

import pytest

from edgemodel import reasons
from tests.support.simulation import Simulation, model_spec

SECONDS = 900


def story(killed_at: int, kind: str = "Surge", killed_always: bool = False) -> Simulation:
    """An install, an update, and a candidate that is rolled back: the same story with a kill at some write.

    ``kind``: Surge or Recreate, with a candidate that does not get ready; judged: with one that fails its check.
    """
    world = Simulation.with_nodes(
        3, spec=model_spec(serving={"strategy": "Recreate" if kind == "Recreate" else "Surge"})
    )
    if kind == "judged":
        world.change(analysis={"checks": [{"name": "errors", "type": "ErrorRate"}]})
    world.requests_per_second = 20
    world.killed_at, world.killed_always = killed_at, killed_always
    world.run(300)
    world.new_source("b")
    world.run(300)
    world.new_source("c")
    if kind == "judged":
        world.errors[world.target()] = 0.3
    else:
        world.trouble[world.target()] = (reasons.GOLDEN_MISMATCH, "golden set agrees on 12.5 %, limit 99.5 % (n = 64)")
    world.run(SECONDS - 600)
    return world


def said(message: str) -> str:
    """How many requests came until then depends on the kill."""
    return re.sub(r"[0-9.]+ %|n = [0-9]+", "", message)


def outcome(world: Simulation) -> tuple[object, ...]:
    """All that must not depend on the kill; times do."""
    return (
        world.status["stableRevision"],
        [(item["name"], item["reason"], said(item["message"])) for item in world.status["rejectedRevisions"]],
        [(item["type"], item["status"], item["reason"], said(item["message"])) for item in world.status["conditions"]],
        {node.name: node.pins for node in world.nodes.values()},
        {node: world.runs(node) for node in world.nodes},
        sorted(world.daemonsets),
        world.jobs_started,
        sorted(world.revisions),
    )


WRITES = {kind: story(0, kind).writes for kind in ("Surge", "Recreate", "judged")}
EXPECTED = {kind: outcome(story(0, kind)) for kind in ("Surge", "Recreate", "judged")}


def test_the_story_ends_in_a_rollback() -> None:
    for kind in WRITES:
        assert EXPECTED[kind][1]
        assert 40 < WRITES[kind] < 200
    (judged,) = story(0, "judged").status["rejectedRevisions"]
    assert judged["reason"] == reasons.ERROR_RATE_TOO_HIGH


@pytest.mark.parametrize(("kind", "killed_at"), [(s, number) for s in WRITES for number in range(1, WRITES[s] + 1)])
def test_killed_at_any_write_the_story_ends_the_same(kind: str, killed_at: int) -> None:
    world = story(killed_at, kind)
    assert world.writes >= killed_at
    assert outcome(world) == EXPECTED[kind]
    pins = [(patch.node, patch.add) for patch in world.pin_log if patch.add]
    assert len(pins) == len(set(pins)), "a node was switched twice"


@pytest.mark.parametrize("kind", list(WRITES))
def test_killed_at_every_single_write_the_story_goes_on_and_ends_the_same(kind: str) -> None:
    """Instead of the first, after the second, and so on: a pass that began with a write that changes each time would
    never get to the next one."""
    world = story(0, kind, killed_always=True)
    assert world.status["stableRevision"] == story(0, kind).status["stableRevision"]
    assert [item["reason"] for item in world.status["rejectedRevisions"]] == [item[1] for item in EXPECTED[kind][1]]
    assert {node: world.pinned(node) for node in world.nodes} == {
        node: {world.status["stableRevision"]} for node in world.nodes
    }
    pins = [(patch.node, patch.add) for patch in world.pin_log if patch.add]
    assert len(pins) == len(set(pins)), "a node was switched twice"
