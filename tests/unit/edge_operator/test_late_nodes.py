"""Nodes that join, or come back, while a candidate is on trial get stable, and the candidate only once it is stable."""

import pytest

from edge_operator.decide.placement.fleet import ROUTES_AFTER, ROUTES_AFTER_API
from edgemodel import reasons
from edgemodel.names import pin_key, puller_of
from tests.support.simulation import Simulation, built_once, model_spec

pytestmark = pytest.mark.slow

WAVES = [{"name": "canary", "nodes": 1}, {"name": "half", "percent": 50}, {"name": "all", "percent": 100}]


@built_once
def baking(nodes: int = 3, strategy: str = "Surge") -> Simulation:
    """Returns a candidate that every node serves, in a long bake."""
    rollout = {**model_spec()["rollout"], "bakeSeconds": 600}
    world = Simulation.with_nodes(nodes, spec=model_spec(rollout=rollout, serving={"strategy": strategy}))
    world.run(900)
    world.new_source("b")
    world.run(200)
    assert world.ready_reason() == reasons.BAKING
    return world


def until(world: Simulation, reason: str) -> None:
    for _ in range(2000):
        if world.ready_reason() == reason:
            return
        world.run(1)
    raise AssertionError(f"waited for {reason}, it is {world.ready_reason()}")


@pytest.mark.parametrize("strategy", ["Surge", "Recreate"])
def test_a_node_that_joins_in_the_bake_gets_stable_and_catches_up_after_promotion(strategy: str) -> None:
    world = baking(strategy=strategy)
    stable, candidate = world.status["stableRevision"], world.target()
    world.add_node("camera-9")
    world.run(300)
    assert world.pins("camera-9") == {(stable, "default")}
    assert world.runs("camera-9") == {stable}
    assert not world.status["rejectedRevisions"]
    until(world, reasons.SERVING)
    assert world.runs("camera-9") == {candidate}


@pytest.mark.parametrize(("stable_strategy", "strategy"), [("Surge", "Recreate"), ("Recreate", "Surge")])
def test_a_node_switches_by_the_strategy_of_the_revision_that_it_gets(stable_strategy: str, strategy: str) -> None:
    """The node was away while stable was rolled out, and comes back while a candidate of another strategy is on
    trial."""
    world = Simulation.with_nodes(3, spec=model_spec(serving={"strategy": stable_strategy}))
    world.run(600)
    world.cut("camera-2")
    world.new_source("b")
    world.run(600)
    stable, patches = world.target(), len(world.pin_log)
    assert world.status["stableRevision"] == stable
    world.new_source("c")
    world.change(serving={"strategy": strategy})
    until(world, reasons.SOAKING)
    world.join("camera-2")
    while world.runs("camera-2") != {stable}:
        assert world.status["candidateRevision"] == world.target()
        world.run(1)
    added = {label for patch in world.pin_log[patches:] if patch.node == "camera-2" for label in patch.add}
    pulled = pin_key("vision", "m", stable, puller_of("default")) in added
    assert pulled is (stable_strategy == "Recreate")


@pytest.mark.parametrize("strategy", ["Surge", "Recreate"])
def test_a_node_that_was_offline_when_its_turn_came_gets_stable_in_no_later_wave_either(strategy: str) -> None:
    world = Simulation.with_nodes(4, spec=model_spec(serving={"strategy": strategy}))
    world.change(rollout={**world.spec["rollout"], "waves": WAVES})
    world.run(600)
    stable = world.status["stableRevision"]
    world.cut("camera-2")
    world.new_source("b")
    until(world, reasons.SOAKING)
    candidate = world.target()
    world.join("camera-2")
    while world.ready_reason() != reasons.SERVING:
        if world.status["candidateRevision"] == candidate:
            assert candidate not in world.pinned("camera-2")
        world.run(1)
    assert stable != candidate
    until(world, reasons.SERVING)
    assert all(world.runs(node) == {candidate} for node in world.nodes)


@pytest.mark.parametrize("strategy", ["Surge", "Recreate"])
def test_a_node_that_goes_offline_before_the_candidate_serves_there_comes_back_to_stable(strategy: str) -> None:
    world = Simulation.with_nodes(3, spec=model_spec(serving={"strategy": strategy}), start_seconds=20)
    world.run(600)
    stable = world.status["stableRevision"]
    world.new_source("b")
    until(world, reasons.SOAKING)
    until(world, reasons.ROLLING_OUT)
    world.run(3)
    (canary,) = (node for node in world.nodes if world.runs(node) == {world.target()})
    late = next(node for node in world.nodes if node != canary)
    assert {name for name, _ in world.pins(late)} == {stable, world.target()}
    world.cut(late)
    world.run(2)
    assert world.pins(late) == {(stable, "default")}
    world.join(late)
    until(world, reasons.BAKING)
    assert world.pins(late) == {(stable, "default")}
    until(world, reasons.SERVING)
    assert world.runs(late) == {world.target()}


def test_nothing_is_left_on_a_node_of_having_been_late() -> None:
    world = baking()
    world.add_node("camera-9")
    world.run(5)
    assert world.nodes["camera-9"].deferrals
    until(world, reasons.SERVING)
    assert not any(node.deferrals for node in world.nodes.values())


def test_a_late_node_is_out_of_the_denominator() -> None:
    """Six of ten are offline: half of the four online ones are two."""
    world = Simulation.with_nodes(10)
    world.change(rollout={**world.spec["rollout"], "waves": WAVES})
    world.run(900)
    for number in range(5, 11):
        world.cut(f"camera-{number}")
    world.new_source("b")
    most = 0
    while world.status["rollout"] is None or world.status["rollout"]["waveName"] != "all":
        most = max(most, sum(world.target() in world.pinned(node) for node in world.nodes))
        world.run(1)
    assert most == 2


def test_the_rejection_of_a_candidate_frees_late_nodes_for_the_next() -> None:
    world = baking()
    world.add_node("camera-9")
    world.run(5)
    world.trouble[world.target()] = (reasons.GOLDEN_MISMATCH, "disagrees")
    for name in ("camera-1", "camera-2", "camera-3"):
        world.blink(name)
    until(world, reasons.ROLLED_BACK)
    world.run(1)
    assert not any(node.deferrals for node in world.nodes.values())
    world.new_source("c")
    until(world, reasons.BAKING)
    assert all(world.target() in world.runs(node) for node in world.nodes)


def test_when_the_whole_site_was_away_the_rollout_ends_all_the_same() -> None:
    world = Simulation.with_nodes(3)
    world.run(600)
    world.new_source("b")
    until(world, reasons.SOAKING)
    for name in list(world.nodes):
        world.cut(name)
    world.run(20)
    for name in list(world.nodes):
        world.join(name)
    until(world, reasons.SERVING)
    assert all(world.runs(node) == {world.target()} for node in world.nodes)
    assert not world.status["rejectedRevisions"]


def test_before_any_node_took_the_candidate_no_node_is_late() -> None:
    world = Simulation.with_nodes(2)
    world.run(600)
    for name in list(world.nodes):
        world.cut(name)
    world.new_source("b")
    until(world, reasons.NODES_OFFLINE)
    for name in list(world.nodes):
        world.join(name)
    until(world, reasons.BAKING)
    assert all(world.target() in world.runs(node) for node in world.nodes)


def test_a_returned_node_keeps_its_earlier_pod_until_it_surely_routes_to_the_new_one() -> None:
    world = Simulation.with_nodes(2)
    world.run(600)
    stable = world.status["stableRevision"]
    world.cut("camera-2")
    world.new_source("b")
    until(world, reasons.BAKING)
    until(world, reasons.SERVING)
    world.join("camera-2")
    back = world.now
    until(world, reasons.NODES_CATCHING_UP)
    world.run(10)
    assert world.runs("camera-2") == {stable, world.target()}
    ready = world.condition("Ready")
    assert ready is not None
    assert "1 of 2 online nodes still run one before it beside it" in ready["message"]
    assert world.decide().wake_at == back + ROUTES_AFTER
    while world.now < back + ROUTES_AFTER:
        assert world.runs("camera-2") == {stable, world.target()}
        world.run(1)
    until(world, reasons.SERVING)
    assert world.runs("camera-2") == {world.target()}


def baking_after_an_outage() -> tuple[Simulation, str, str]:
    """Returns a fleet whose second of two nodes was switched after an outage, that node, and the stable revision, which
    it keeps."""
    world = Simulation.with_nodes(2, start_seconds=2)
    world.run(600)
    stable = world.status["stableRevision"]
    world.new_source("b")
    until(world, reasons.SOAKING)
    until(world, reasons.ROLLING_OUT)
    world.lose_api(60)
    until(world, reasons.BAKING)
    (late,) = (node for node in world.nodes if stable in world.runs(node))
    return world, late, stable


def test_an_api_server_that_was_away_holds_no_rollout_up_but_every_pod_that_it_replaces() -> None:
    world, late, stable = baking_after_an_outage()
    until(world, reasons.NODES_CATCHING_UP)
    assert world.status["stableRevision"] == world.target()
    assert world.api_back_since is not None
    while world.now < world.api_back_since + ROUTES_AFTER_API:
        assert world.runs(late) == {stable, world.target()}
        world.run(1)
    until(world, reasons.SERVING)
    assert all(world.runs(node) == {world.target()} for node in world.nodes)


def test_a_node_that_keeps_a_pod_waits_with_a_third() -> None:
    world, late, _ = baking_after_an_outage()
    world.new_source("c")
    while world.target() not in world.runs(late):
        assert len(world.pins(late)) <= 2
        world.run(1)
    until(world, reasons.SERVING)
    assert all(world.runs(node) == {world.target()} for node in world.nodes)


def test_a_rollback_reuses_the_kept_pod() -> None:
    world, late, stable = baking_after_an_outage()
    kept = world.pods[late, stable, "default"]
    world.trouble[world.target()] = (reasons.GOLDEN_MISMATCH, "disagrees")
    world.blink(late)
    world.pods[late, stable, "default"] = kept
    until(world, reasons.ROLLED_BACK)
    assert world.pods[late, stable, "default"] == kept
    world.run(1)
    assert world.runs(late) == {stable}
