"""Nodes that stay on stable until the bake is through: ``rollout.controlNodes``."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from edge_operator.decide.analysis import measurement_plan
from edge_operator.decide.decision import gather
from edge_operator.decide.observation import Node
from edge_operator.decide.placement.cells import Cell
from edge_operator.decide.placement.controls import choose_controls
from edge_operator.decide.placement.selection import Placed, switch_order
from edgemodel import reasons
from tests.support.cells import cells_of
from tests.support.simulation import Simulation, built_once, model_spec

pytestmark = pytest.mark.slow

PI = [{"name": "pi", "nodeSelector": {"board": "pi"}}]
MISMATCH = (reasons.GOLDEN_MISMATCH, "golden set agrees on 12.5 %, limit 99.5 % (n = 64)")


def spec(
    controls: int, strategy: str = "Surge", waves: list[dict[str, Any]] | None = None, **more: Any
) -> dict[str, Any]:
    made = model_spec(serving={"strategy": strategy}, **more)
    changes = {"waves": waves} if waves else {}
    return {**made, "rollout": {**made["rollout"], "controlNodes": controls, **changes}}


@built_once
def installed(nodes: int = 4, controls: int = 2, pis: int = 0, cell_size: int = 1, **more: Any) -> Simulation:
    """Returns a fleet on its first stable revision."""
    world = Simulation.with_nodes(nodes, spec=spec(controls, **more))
    for number in range(1, pis + 1):
        world.add_node(f"pi-{number}", board="pi")
    if cell_size > 1:
        world.form_cells = cells_of(cell_size)
    world.run(400)
    assert world.ready_reason() == reasons.SERVING
    return world


def order(world: Simulation) -> list[str]:
    """Returns the nodes in the order in which they switch to the target."""
    return sorted(world.nodes, key=lambda name: switch_order(world.nodes[name].uid, "uid-m", world.target()))


def on_candidate(world: Simulation) -> set[str]:
    return {name for name in world.nodes if world.target() in world.pinned(name)}


def rollout(world: Simulation) -> dict[str, Any]:
    found: dict[str, Any] = world.status.get("rollout") or {}
    return found


def message(world: Simulation) -> str:
    ready = world.condition("Ready")
    assert ready is not None
    return str(ready["message"])


def until_baking(world: Simulation, seconds: int = 200) -> None:
    for _ in range(seconds):
        if world.ready_reason() == reasons.BAKING:
            return
        world.run(1)
    raise AssertionError(f"not baking: {message(world)}")


def until_released(world: Simulation, seconds: int = 200) -> None:
    for _ in range(seconds):
        if "controlsReleasedAt" in rollout(world):
            return
        world.run(1)
    raise AssertionError(f"not released: {message(world)}")


# --- the rule ---


@pytest.mark.parametrize("strategy", ["Surge", "Recreate"])
def test_the_last_nodes_in_order_stay_on_stable_until_the_bake_is_through(strategy: str) -> None:
    world = installed(strategy=strategy)
    stable = world.status["stableRevision"]
    world.new_source("b")
    first, second, *controls = order(world)
    until_baking(world)
    assert on_candidate(world) == {first, second}
    assert all(world.runs(node) == {stable} for node in controls)
    world.run(55)
    assert on_candidate(world) == {first, second}
    world.run(60)
    assert world.status["stableRevision"] == world.target()
    assert all(world.runs(node) == {world.target()} for node in world.nodes)


def test_status_and_condition_say_how_many_stay() -> None:
    world = installed()
    world.new_source("b")
    until_baking(world)
    assert rollout(world)["controlNodes"] == 2
    told = f"{world.target()} serves on 2 nodes; 2 nodes stay on stable until the bake is through"
    assert message(world) == f"wave all (2 of 2): {told}"
    assert world.status["nodes"]["stable"] == 2
    until_released(world)
    assert message(world) == f"controls, after wave all (2 of 2): {world.target()} goes to 4 of 4 nodes"
    assert "controlNodes" not in rollout(world)


def test_percentages_count_the_other_nodes() -> None:
    waves = [{"name": "half", "percent": 50}, {"name": "all", "percent": 100}]
    world = installed(nodes=8, controls=2, waves=waves)
    world.new_source("b")
    world.run(30)
    assert on_candidate(world) == set(order(world)[:3])
    until_baking(world)
    assert on_candidate(world) == set(order(world)[:6])


def test_the_controls_switch_before_the_promotion_without_a_soak_of_their_own() -> None:
    world = installed()
    world.new_source("b")
    until_released(world)
    released = world.now
    while world.status["stableRevision"] != world.target():
        world.run(1)
    assert all(world.runs(node) == {world.target()} for node in world.nodes)
    assert (world.now - released).total_seconds() < 15
    assert not rollout(world)


def test_by_default_there_are_none_and_status_does_not_mention_them() -> None:
    world = installed(controls=0)
    world.new_source("b")
    until_baking(world)
    assert on_candidate(world) == set(world.nodes)
    world.run(200)
    assert not any("control" in key for status in world.history for key in status.get("rollout") or {})
    assert not any("stay on stable" in item["message"] for status in world.history for item in status["conditions"])


def test_a_first_revision_has_no_stable_to_stay_on() -> None:
    world = Simulation.with_nodes(4, spec=spec(2))
    world.run(1)
    until_baking(world)
    assert on_candidate(world) == set(world.nodes)
    assert "controlNodes" not in rollout(world)


def test_at_least_one_node_switches_and_the_message_says_how_many_were_wanted() -> None:
    world = installed(nodes=3, controls=5)
    world.new_source("b")
    until_baking(world)
    assert on_candidate(world) == set(order(world)[:1])
    kept = "2 nodes stay on stable until the bake is through (rollout.controlNodes: 5)"
    assert message(world).endswith(f"serves on 1 node; {kept}")
    world.run(120)
    assert world.status["stableRevision"] == world.target()


def test_the_only_node_is_no_control() -> None:
    world = installed(nodes=1, controls=1)
    world.new_source("b")
    world.run(200)
    assert world.status["stableRevision"] == world.target()


def test_without_a_bake_they_switch_when_the_last_wave_serves() -> None:
    world = installed()
    world.change(rollout={**world.spec["rollout"], "bakeSeconds": 0})
    world.new_source("b")
    until_released(world)
    assert len(on_candidate(world)) == 4
    world.run(20)
    assert world.status["stableRevision"] == world.target()


def test_a_node_on_which_stable_fails_is_no_control_for_the_candidate_may_cure_it() -> None:
    world = installed(nodes=4, controls=1)
    stable = world.status["stableRevision"]
    world.new_source("b")
    *_, third, last = order(world)
    world.trouble[stable, last] = (reasons.CRASH_LOOP, "the server ended 3 times")
    until_baking(world)
    assert last in on_candidate(world)
    assert world.runs(third) == {stable}


def test_a_control_on_which_stable_begins_to_fail_in_the_bake_stays_one() -> None:
    world = installed(nodes=4, controls=1)
    world.new_source("b")
    until_baking(world)
    control = order(world)[-1]
    world.trouble[world.status["stableRevision"], control] = (reasons.CRASH_LOOP, "the server ended 3 times")
    world.run(20)
    assert control not in on_candidate(world)


# --- variants and cells ---


def test_each_variant_has_a_control_and_a_node_that_switches() -> None:
    world = installed(nodes=4, controls=2, pis=2, variants=PI)
    world.new_source("b")
    pis = [name for name in order(world) if name.startswith("pi")]
    cameras = [name for name in order(world) if name.startswith("camera")]
    until_baking(world)
    assert on_candidate(world) == {pis[0], *cameras[:-1]}
    world.run(120)
    assert world.status["stableRevision"] == world.target()


def test_a_variant_of_one_node_has_no_control_for_its_artifact_would_never_be_tried() -> None:
    world = installed(nodes=3, controls=2, pis=1, variants=PI)
    world.new_source("b")
    until_baking(world)
    assert "pi-1" in on_candidate(world)
    assert len(on_candidate(world)) == 2


def test_a_control_of_several_nodes_is_a_cell_and_stays_as_a_whole() -> None:
    world = installed(nodes=9, controls=1, cell_size=3)
    stable = world.status["stableRevision"]
    world.new_source("b")
    until_baking(world)
    assert len(on_candidate(world)) == 6
    assert message(world).endswith("serves on 2 cells; 1 cell stays on stable until the bake is through")
    kept = world.nodes.keys() - on_candidate(world)
    assert all(world.runs(node) == {stable} for node in kept)
    assert len({(int(node.removeprefix("camera-")) - 1) // 3 for node in kept}) == 1
    world.run(120)
    assert world.status["stableRevision"] == world.target()


# --- nodes that go away ---


@pytest.mark.parametrize("away", ["cut", "cordon", "delete_node"])
def test_a_control_that_goes_away_is_replaced_while_a_node_has_not_switched(away: str) -> None:
    world = installed(nodes=5, controls=1)
    world.new_source("b")
    world.run(30)
    *_, fourth, control = order(world)
    getattr(world, away)(control)
    until_baking(world)
    assert world.nodes.keys() - on_candidate(world) - {control} == {fourth}
    assert rollout(world)["controlNodes"] == 1


@pytest.mark.parametrize("away", ["cut", "cordon", "delete_node"])
def test_a_control_that_goes_away_in_the_bake_makes_no_node_switch_back(away: str) -> None:
    world = installed(nodes=4, controls=1)
    world.new_source("b")
    until_baking(world)
    control = order(world)[-1]
    getattr(world, away)(control)
    world.run(5)
    assert len(on_candidate(world)) == 3
    assert "controlNodes" not in rollout(world)
    world.run(70)
    assert world.status["stableRevision"] == world.target()
    assert not world.status["rejectedRevisions"]


def test_a_control_that_comes_back_stays_on_stable_until_the_promotion() -> None:
    world = installed(nodes=4, controls=1)
    stable = world.status["stableRevision"]
    world.new_source("b")
    until_baking(world)
    control = order(world)[-1]
    world.cut(control)
    world.run(5)
    world.join(control)
    world.run(20)
    assert world.runs(control) == {stable}
    world.run(100)
    assert world.status["stableRevision"] == world.target()
    world.run(100)
    assert world.runs(control) == {world.target()}


def test_a_control_that_goes_offline_in_its_switch_holds_up_no_promotion() -> None:
    world = installed(nodes=4, controls=1)
    world.new_source("b")
    until_released(world)
    world.cut(order(world)[-1])
    world.run(10)
    assert world.status["stableRevision"] == world.target()
    assert not world.status["rejectedRevisions"]


# --- the end of the trial ---


@pytest.mark.parametrize("strategy", ["Surge", "Recreate"])
def test_a_pod_that_fails_on_a_control_still_rolls_back(strategy: str) -> None:
    world = installed(strategy=strategy)
    stable = world.status["stableRevision"]
    world.new_source("b")
    bad = world.target()
    world.trouble[bad, order(world)[-1]] = MISMATCH
    until_released(world)
    world.run(30)
    assert world.ready_reason() == reasons.ROLLED_BACK
    (rejected,) = world.status["rejectedRevisions"]
    assert rejected["reason"] == reasons.GOLDEN_MISMATCH
    assert all(world.runs(node) == {stable} for node in world.nodes)


def test_within_the_tolerance_a_control_that_fails_does_not() -> None:
    world = installed()
    world.change(rollout={**world.spec["rollout"], "maxFailedNodes": 1})
    world.new_source("b")
    world.trouble[world.target(), order(world)[-1]] = MISMATCH
    until_released(world)
    world.run(30)
    assert world.status["stableRevision"] == world.target()


def test_a_check_that_fails_while_the_controls_switch_still_rolls_back() -> None:
    world = installed(start_seconds=20, analysis={"checks": [{"name": "errors", "type": "ErrorRate"}]})
    stable = world.status["stableRevision"]
    world.requests_per_second = 20
    world.new_source("b")
    until_released(world, 400)
    world.errors[world.target()] = 0.5
    world.run(15)
    assert world.ready_reason() == reasons.ROLLED_BACK
    assert all(world.pinned(node) == {stable} for node in world.nodes)


def test_a_node_that_fails_in_the_bake_is_not_replaced_by_a_control() -> None:
    world = installed(nodes=4, controls=1)
    world.change(rollout={**world.spec["rollout"], "maxFailedNodes": 1})
    world.new_source("b")
    until_baking(world)
    world.trouble[world.target(), order(world)[0]] = MISMATCH
    world.run(5)
    assert order(world)[-1] not in on_candidate(world)


def test_a_rollback_in_the_bake_leaves_the_controls_alone() -> None:
    world = installed()
    world.new_source("b")
    until_baking(world)
    controls = set(order(world)[2:])
    patches = len(world.pin_log)
    world.trouble[world.target()] = MISMATCH
    world.run(10)
    assert world.ready_reason() == reasons.ROLLED_BACK
    assert not controls & {patch.node for patch in world.pin_log[patches:]}


def test_while_paused_the_controls_stay_and_a_pause_in_their_switch_holds_the_promotion() -> None:
    world = installed()
    stable = world.status["stableRevision"]
    world.new_source("b")
    until_baking(world)
    world.change(rollout={**world.spec["rollout"], "paused": True})
    world.run(200)
    assert len(on_candidate(world)) == 2
    assert message(world).endswith("2 nodes stay on stable until the bake is through")
    world.change(rollout={**world.spec["rollout"], "paused": False})
    until_released(world)
    world.change(rollout={**world.spec["rollout"], "paused": True})
    world.run(100)
    assert world.status["stableRevision"] == stable
    world.change(rollout={**world.spec["rollout"], "paused": False})
    world.run(10)
    assert world.status["stableRevision"] == world.target()


@pytest.mark.parametrize("strategy", ["Surge", "Recreate"])
def test_a_candidate_that_is_superseded_in_the_bake_leaves_the_next_its_own_controls(strategy: str) -> None:
    world = installed(strategy=strategy)
    stable = world.status["stableRevision"]
    world.new_source("b")
    until_baking(world)
    world.new_source("c")
    world.run(10)
    assert all(stable in world.pinned(node) for node in world.nodes)
    until_baking(world)
    assert len(on_candidate(world)) == 2
    world.run(120)
    assert world.status["stableRevision"] == world.target()


def test_more_controls_in_the_bake_take_no_node_back_and_fewer_let_nodes_switch() -> None:
    world = installed(nodes=5, controls=2)
    world.new_source("b")
    until_baking(world)
    world.change(rollout={**world.spec["rollout"], "controlNodes": 4})
    world.run(5)
    assert len(on_candidate(world)) == 3
    world.change(rollout={**world.spec["rollout"], "controlNodes": 1})
    world.run(2)
    assert len(on_candidate(world)) == 4
    until_baking(world)
    world.run(50)
    assert len(on_candidate(world)) == 4
    world.run(30)
    assert world.status["stableRevision"] == world.target()


def test_a_wave_that_is_added_while_the_controls_switch_is_the_last_one() -> None:
    world = installed()
    world.new_source("b")
    until_released(world)
    waves = [*world.spec["rollout"]["waves"][:1], {"name": "more", "percent": 50}, {"name": "all", "percent": 100}]
    world.change(rollout={**world.spec["rollout"], "waves": waves})
    world.run(200)
    assert world.status["stableRevision"] == world.target()


# --- the guard ---


@pytest.mark.parametrize(("controls", "rolled_back"), [(0, True), (2, False)])
def test_nodes_that_all_get_worse_in_the_last_wave_roll_nothing_back_with_controls(
    controls: int, rolled_back: bool
) -> None:
    """In the last wave all servers fail five times as often, those of stable and of the candidate alike."""
    world = installed(nodes=6, controls=controls, analysis={"checks": [{"name": "errors", "type": "ErrorRate"}]})
    stable = world.status["stableRevision"]
    world.requests_per_second = 20
    world.errors_before = 0.01
    world.new_source("b")
    world.errors = {stable: 0.01, world.target(): 0.01}
    until_baking(world, 600)
    world.errors = {stable: 0.05, world.target(): 0.05}
    world.run(200)
    assert (world.status["stableRevision"] == stable) == rolled_back
    assert bool(world.status["rejectedRevisions"]) == rolled_back


def test_with_controls_a_candidate_that_is_worse_than_all_nodes_are_is_found_in_the_last_wave() -> None:
    world = installed(nodes=6, analysis={"checks": [{"name": "errors", "type": "ErrorRate"}]})
    stable = world.status["stableRevision"]
    world.requests_per_second = 20
    world.errors_before = 0.01
    world.new_source("b")
    world.errors = {stable: 0.01, world.target(): 0.01}
    until_baking(world, 600)
    world.errors = {stable: 0.03, world.target(): 0.15}
    world.run(60)
    assert world.ready_reason() == reasons.ROLLED_BACK
    assert world.status["stableRevision"] == stable


def test_while_the_controls_switch_what_stable_served_there_still_shows_the_drift() -> None:
    world = installed(nodes=6, analysis={"checks": [{"name": "errors", "type": "ErrorRate"}]})
    world.requests_per_second = 20
    world.new_source("b")
    first, second = order(world)[-2:]
    until_baking(world, 600)
    world.trouble[world.target(), second] = (reasons.IMAGE_PULL_FAILED, "ErrImagePull: connection refused")
    until_released(world)
    world.run(20)
    assert world.runs(first) == {world.target()}
    (errors,) = gather(world.observe(), world.now).judgement.judged
    assert f"expected by the drift of stable on {', '.join(sorted([first, second]))}" in errors.message


def test_a_node_whose_candidate_is_not_ready_is_no_control() -> None:
    """Stable served there at the beginning of the wave, which says nothing about the time since."""
    world = installed(nodes=3, controls=0, analysis={"checks": [{"name": "errors", "type": "ErrorRate"}]})
    world.requests_per_second = 20
    world.new_source("b")
    until_baking(world, 600)
    world.blink(order(world)[0])
    (errors,) = gather(world.observe(), world.now).judgement.judged
    assert "no node on stable shows a drift" in errors.message


@pytest.mark.parametrize("strategy", ["Surge", "Recreate"])
def test_at_no_moment_of_their_switch_do_the_controls_stop_to_show_the_drift(strategy: str) -> None:
    checks = {"checks": [{"name": "errors", "type": "ErrorRate"}]}
    world = installed(strategy=strategy, analysis=checks, start_seconds=3, pod_delay_seconds=2)
    world.requests_per_second = 20
    world.new_source("b")
    until_released(world, 600)
    passes = 0
    while world.status["stableRevision"] != world.target():
        (errors,) = gather(world.observe(), world.now).judgement.judged
        assert "by the drift of stable on " in errors.message
        world.step()
        world.now += timedelta(seconds=1)
        passes += 1
    assert passes > 5


@pytest.mark.parametrize("ahead", [-20, 20])
def test_the_controls_show_the_drift_to_the_end_though_the_clocks_differ(ahead: int) -> None:
    """The API server's clock says when a pod was created, the operator's when the controls were released."""
    world = installed(nodes=6, analysis={"checks": [{"name": "errors", "type": "ErrorRate"}]})
    world.requests_per_second = 20
    world.new_source("b")
    controls = order(world)[-2:]
    until_released(world, 600)
    while not all(world.target() in world.runs(node) for node in controls):
        world.react()
        world.now += timedelta(seconds=1)
        world.carry_out(world.decide())
    skew = timedelta(seconds=ahead)
    world.pods = {key: replace(pod, created=pod.created - skew) for key, pod in world.pods.items()}
    (errors,) = gather(world.observe(), world.now).judgement.judged
    assert f"expected by the drift of stable on {', '.join(sorted(controls))}" in errors.message


def test_in_a_large_fleet_the_controls_are_sampled_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement_plan, "MAX_SAMPLED_NODES", 4)
    world = installed(nodes=6, controls=1, analysis={"checks": [{"name": "errors", "type": "ErrorRate"}]})
    world.requests_per_second = 20
    world.new_source("b")
    control = order(world)[-1]
    for wait in (until_baking, until_released):
        wait(world, 600)
        plan = measurement_plan.plan_measuring(world.observe())
        assert plan is not None
        assert control in plan.sampled_nodes
        assert len(plan.sampled_nodes) == 4
    world.step()
    assert world.target() in world.pinned(control)
    plan = measurement_plan.plan_measuring(world.observe())
    assert plan is not None
    assert control in plan.sampled_nodes


# --- the choice ---


def cell(name: str, variant: str = "default") -> Cell:
    node = Node(name=name, uid=name, labels={}, pins=frozenset(), online=True, architecture="amd64")
    return Cell(name, (Placed(node, variant),))


def names(cells: tuple[Cell, ...]) -> list[str]:
    return [one.name for one in cells]


def choose(untried: list[Cell], on_trial: list[Cell], number: int) -> list[str]:
    return names(choose_controls(untried, on_trial, number, lambda one: (one.members[0].variant,)))


def test_the_last_in_order_are_chosen() -> None:
    cells = [cell(f"n{number}") for number in range(6)]
    assert choose(cells, [], 2) == ["n4", "n5"]
    assert choose(cells, [], 0) == []
    assert choose([], cells, 2) == []


def test_each_variant_gets_one_before_any_gets_two_and_then_they_are_in_proportion() -> None:
    cells = [cell(f"d{number}") for number in range(12)] + [cell(f"p{number}", "pi") for number in range(4)]
    assert choose(cells, [], 2) == ["d11", "p3"]
    assert choose(cells, [], 3) == ["d10", "d11", "p3"]
    assert choose(cells, [], 8) == ["d6", "d7", "d8", "d9", "d10", "d11", "p2", "p3"]


def test_with_fewer_controls_than_variants_the_largest_variants_get_them() -> None:
    cells = [cell("a0", "a"), cell("a1", "a"), *(cell(f"b{number}", "b") for number in range(3))]
    assert choose(cells, [], 1) == ["b2"]


def test_each_variant_keeps_a_cell_for_the_waves() -> None:
    cells = [cell("d0"), cell("d1"), cell("p0", "pi")]
    assert choose(cells, [], 9) == ["d1"]
    assert choose(cells, [cell("p9", "pi")], 9) == ["d1", "p0"]


def test_the_choice_stays_the_same_while_the_others_switch() -> None:
    cells = [cell(f"d{number}") for number in range(9)] + [cell(f"p{number}", "pi") for number in range(5)]
    chosen = choose(cells, [], 4)
    rest = [one for one in cells if one.name not in chosen]
    switched: list[Cell] = []
    while rest:
        switched.append(rest.pop(0))
        assert choose([one for one in cells if one not in switched], switched, 4) == chosen


def test_one_more_control_is_one_more_and_no_other_choice() -> None:
    cells = [cell(f"d{number}") for number in range(9)] + [cell(f"p{number}", "pi") for number in range(5)]
    choices = [set(choose(cells, [], number)) for number in range(12)]
    assert all(fewer < more and len(more) == len(fewer) + 1 for fewer, more in pairwise(choices))
