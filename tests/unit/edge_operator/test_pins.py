"""The pin alone says what a node should run."""

from dataclasses import replace

from edgemodel import reasons
from tests.support.simulation import Simulation


def test_a_removed_pin_is_set_again() -> None:
    world = Simulation.with_nodes(3)
    world.run(600)
    pins = world.nodes["camera-1"].pins
    world.nodes["camera-1"] = replace(world.nodes["camera-1"], pins=frozenset())
    world.run(1)
    assert world.nodes["camera-1"].pins == pins


def test_a_pin_of_a_rejected_revision_set_by_hand_is_removed() -> None:
    world = Simulation.with_nodes(2)
    world.run(400)
    stable = world.nodes["camera-1"].pins
    world.new_source("b")
    world.trouble[world.target()] = (reasons.GOLDEN_MISMATCH, "disagrees")
    world.run(60)
    (bad,) = (item["name"] for item in world.status["rejectedRevisions"])
    (pin,) = (key for key, (name, variant) in world.pin_names.items() if (name, variant) == (bad, "default"))
    world.nodes["camera-1"] = replace(world.nodes["camera-1"], pins=stable | {pin})
    world.run(1)
    assert world.nodes["camera-1"].pins == stable
