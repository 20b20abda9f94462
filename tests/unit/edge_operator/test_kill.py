"""Killed at any write, the operator goes on rightly: nothing is done twice, nothing is forgotten."""

import pytest

from edgemodel import reasons
from tests.support.simulation import Simulation, model_spec

SECONDS = 900


def story(killed_at: int, strategy: str = "Surge") -> Simulation:
    """An install, an update, and a candidate that is rolled back: the same story with a kill at some write."""
    world = Simulation.with_nodes(3, spec=model_spec(serving={"strategy": strategy}))
    world.killed_at = killed_at
    world.run(300)
    world.new_source("b")
    world.run(300)
    world.new_source("c")
    world.trouble[world.target()] = (reasons.GOLDEN_MISMATCH, "golden set agrees on 12.5 %, limit 99.5 % (n = 64)")
    world.run(SECONDS - 600)
    return world


def outcome(world: Simulation) -> tuple[object, ...]:
    """All that must not depend on the kill; times do."""
    return (
        world.status["stableRevision"],
        [(item["name"], item["reason"], item["message"]) for item in world.status["rejectedRevisions"]],
        [(item["type"], item["status"], item["reason"], item["message"]) for item in world.status["conditions"]],
        {node.name: node.pins for node in world.nodes.values()},
        {node: world.runs(node) for node in world.nodes},
        sorted(world.daemonsets),
        world.jobs_started,
        sorted(world.revisions),
    )


WRITES = {strategy: story(0, strategy).writes for strategy in ("Surge", "Recreate")}
EXPECTED = {strategy: outcome(story(0, strategy)) for strategy in ("Surge", "Recreate")}


def test_the_story_ends_in_a_rollback() -> None:
    assert EXPECTED["Surge"][1]
    assert 40 < WRITES["Surge"] < 200


@pytest.mark.parametrize(("strategy", "killed_at"), [(s, number) for s in WRITES for number in range(1, WRITES[s] + 1)])
def test_killed_at_any_write_the_story_ends_the_same(strategy: str, killed_at: int) -> None:
    world = story(killed_at, strategy)
    assert world.writes >= killed_at
    assert outcome(world) == EXPECTED[strategy]
    pins = [(patch.node, patch.add) for patch in world.pin_log if patch.add]
    assert len(pins) == len(set(pins)), "a node was switched twice"
