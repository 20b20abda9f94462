"""Counts and messages: status counts nodes, whatever the size of cells; a rollout counts the units that switch."""

import pytest

from edgemodel import reasons
from tests.support.cells import cells_of
from tests.support.simulation import Simulation, model_spec

pytestmark = pytest.mark.slow

SIZES = pytest.mark.parametrize(("size", "unit"), [(1, "node"), (3, "cell")], ids=["nodes", "cells"])


def fleet(size: int) -> Simulation:
    """Returns six serving nodes in cells of ``size``; two cells may fail."""
    spec = model_spec()
    world = Simulation.with_nodes(6, spec={**spec, "rollout": {**spec["rollout"], "maxFailedNodes": 2}})
    world.form_cells = cells_of(size)
    world.run(600)
    assert world.status["stableRevision"] == world.target()
    return world


@SIZES
def test_at_rest_status_counts_nodes_and_messages_what_switches_together(size: int, unit: str) -> None:
    world = fleet(size)
    nodes = world.status["nodes"]
    assert (nodes["selected"], nodes["stable"], nodes["candidate"], nodes["summary"]) == (6, 6, 0, "6/6")
    ready, available = world.condition("Ready"), world.condition("Available")
    assert ready is not None
    assert available is not None
    assert ready["message"] == f"{world.target()} serves on {6 // size} {unit}s"
    assert available["message"] == "6 of 6 selected nodes serve"


@SIZES
def test_on_trial_every_node_of_a_cell_is_counted(size: int, unit: str) -> None:
    world = fleet(size)
    world.new_source("b")
    messages = set()
    while world.ready_reason() != reasons.SOAKING:
        world.run(1)
        ready = world.condition("Ready")
        assert ready is not None
        messages.add(ready["message"])
    assert (world.status["nodes"]["stable"], world.status["nodes"]["candidate"]) == (6 - size, size)
    assert any(f"goes to 1 of {6 // size} {unit}s" in message for message in messages)
    assert any(f"{world.target()} serves on 1 {unit}" in message for message in messages)


@SIZES
def test_nodes_that_are_offline_are_counted_each(size: int, unit: str) -> None:
    world = fleet(size)
    world.cut("camera-2")
    world.run(60)
    nodes, pending = world.status["nodes"], world.condition("NodesPending")
    assert pending is not None
    assert pending["message"] == "1 of 6 offline: camera-2"
    assert (nodes["offline"], nodes["stable"], nodes["summary"]) == (1, 6 - size, f"{6 - size}/6")
    assert nodes["notReady"] == ["camera-2"]


@SIZES
def test_nodes_that_fail_are_counted_each_and_limits_count_what_switches_together(size: int, unit: str) -> None:
    world = fleet(size)
    stable = world.status["stableRevision"]
    world.new_source("b")
    world.trouble[world.target()] = (reasons.GOLDEN_MISMATCH, "the golden set disagrees")
    failed = 0
    while not world.status["rejectedRevisions"]:
        world.run(1)
        nodes = world.status["nodes"]
        if not world.status["rejectedRevisions"]:
            failed = max(failed, nodes["failed"])
    rejected = world.status["rejectedRevisions"][0]
    assert failed == {1: 2, 3: 3}[size]
    told = {1: "; 3 of 3 nodes failed, limit 2", 3: "; no node serves it, 2 cells failed"}[size]
    assert rejected["message"].endswith(told)
    world.run(60)
    assert all(world.runs(name) == {stable} for name in world.nodes)
