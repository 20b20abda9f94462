"""Nodes that take no new pod: cordoned, tainted, or without a pod for another reason. They decide about no
candidate."""

from typing import Any

import pytest

from edge_operator.decide.observation import Node, Taint
from edge_operator.decide.placement.set_aside import tolerates, why_set_aside
from edge_operator.from_api import read_node
from edgemodel import reasons
from edgemodel.toleration import Toleration, parse_toleration
from tests.support.simulation import Simulation, model_spec

pytestmark = pytest.mark.slow


def installed(nodes: int = 3, **fields: Any) -> Simulation:
    world = Simulation.with_nodes(nodes, **fields)
    world.run(400)
    assert world.ready_reason() == reasons.SERVING
    return world


def run_until(world: Simulation, reason: str) -> None:
    for _ in range(600):
        if world.ready_reason() == reason:
            return
        world.run(1)
    raise AssertionError(f"waited for {reason}, it is {world.ready_reason()}")


def pending(world: Simulation) -> str:
    condition = world.condition("NodesPending")
    assert condition is not None
    return str(condition["message"])


def node(*taints: Taint, cordoned: bool = False) -> Node:
    return Node("camera-1", "uid", {}, frozenset(), True, "amd64", taints=taints, cordoned=cordoned)


# --- which nodes ---


@pytest.mark.parametrize(
    ("toleration", "matches"),
    [
        ({"key": "edge", "operator": "Exists"}, True),
        ({"key": "edge", "operator": "Exists", "effect": "NoSchedule"}, True),
        ({"key": "edge", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "edge", "operator": "Equal", "value": "yes"}, True),
        ({"key": "edge", "value": "yes"}, True),
        ({"key": "edge", "value": "no"}, False),
        ({"key": "edge"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"operator": "Exists"}, True),
        ({"operator": "Exists", "effect": "NoExecute"}, False),
    ],
)
def test_a_toleration_matches_a_taint_as_the_scheduler_says(toleration: dict[str, Any], matches: bool) -> None:
    taint = Taint("edge", "yes", "NoSchedule")
    parsed = parse_toleration(toleration)
    assert tolerates(parsed, taint) is matches
    assert why_set_aside(node(taint), [parsed]) == ("" if matches else "tainted edge=yes:NoSchedule")


@pytest.mark.parametrize(
    "key", ["not-ready", "unreachable", "disk-pressure", "memory-pressure", "pid-pressure", "unschedulable"]
)
def test_a_taint_that_pods_of_daemonsets_tolerate_by_themselves_sets_no_node_aside(key: str) -> None:
    assert why_set_aside(node(Taint(f"node.kubernetes.io/{key}", "", "NoSchedule")), []) == ""


def test_a_taint_that_the_scheduler_only_would_rather_avoid_sets_no_node_aside() -> None:
    assert why_set_aside(node(Taint("busy", "", "PreferNoSchedule")), []) == ""


def test_only_a_toleration_that_names_its_taint_lets_a_cordoned_node_take_part() -> None:
    """One that tolerates everything says nothing of maintenance."""
    assert why_set_aside(node(cordoned=True), [Toleration(operator="Exists")]) == "cordoned"
    named = Toleration(key="node.kubernetes.io/unschedulable", operator="Exists")
    assert why_set_aside(node(cordoned=True), [named]) == ""


def test_taints_and_the_cordon_are_read() -> None:
    spec = {
        "unschedulable": True,
        "taints": [{"key": "a", "effect": "NoExecute"}, {"key": "b", "value": "c", "effect": "x"}],
    }
    view = read_node({"metadata": {"name": "n", "uid": "u"}, "spec": spec, "status": {}})
    assert view.cordoned
    assert [str(taint) for taint in view.taints] == ["a:NoExecute", "b=c:x"]


# --- a taint ---


def test_a_tainted_node_neither_blocks_nor_fails_the_candidate_and_catches_up_without_the_taint() -> None:
    world = installed()
    stable = world.status["stableRevision"]
    world.taint("camera-2")
    world.new_source("b")
    world.run(400)
    assert world.ready_reason() == reasons.SERVING
    assert world.status["stableRevision"] == world.target()
    assert pending(world) == "1 of 3 set aside: camera-2 (tainted maintenance:NoSchedule)"
    assert world.runs("camera-2") == {stable}
    assert world.status["nodes"]["setAside"] == 1
    world.untaint("camera-2")
    world.run(60)
    assert world.runs("camera-2") == {world.target()}
    assert world.condition("NodesPending") is None
    assert world.ready_reason() == reasons.SERVING


def test_at_the_first_install_the_nodes_without_a_taint_serve() -> None:
    world = Simulation.with_nodes(3)
    world.taint("camera-2")
    world.run(400)
    ready = world.condition("Ready")
    assert ready is not None
    assert ready["reason"] == reasons.SERVING
    assert "serves on 2 nodes" in ready["message"]
    assert not world.nodes["camera-2"].pins
    assert world.status["nodes"]["notReady"] == ["camera-2"]
    world.untaint("camera-2")
    world.run(60)
    assert world.runs("camera-2") == {world.target()}


def test_while_every_node_is_tainted_the_candidate_waits_and_the_nodes_are_named() -> None:
    world = Simulation.with_nodes(2)
    world.taint("camera-1")
    world.taint("camera-2", key="gpu")
    world.run(120)
    ready = world.condition("Ready")
    assert ready is not None
    assert ready["reason"] == reasons.NODES_SET_ASIDE
    assert "camera-1 (tainted maintenance:NoSchedule), camera-2 (tainted gpu:NoSchedule)" in ready["message"]
    world.untaint("camera-1")
    world.run(400)
    assert world.runs("camera-1") == {world.target()}
    assert world.ready_reason() == reasons.SERVING


@pytest.mark.parametrize("effect", ["NoSchedule", "NoExecute"])
@pytest.mark.parametrize("strategy", ["Surge", "Recreate"])
def test_a_taint_during_a_trial_fails_nothing(effect: str, strategy: str) -> None:
    world = installed(spec=model_spec(serving={"strategy": strategy}))
    world.new_source("b")
    run_until(world, reasons.SOAKING)
    (canary,) = (name for name in world.nodes if world.target() in world.runs(name))
    world.taint(canary, effect)
    world.run(5)
    assert (world.target() in world.runs(canary)) is (effect == "NoSchedule")
    world.run(400)
    assert not world.status["rejectedRevisions"]
    assert world.status["stableRevision"] == world.target()
    assert world.ready_reason() == reasons.SERVING
    world.untaint(canary)
    world.run(100)
    assert world.runs(canary) == {world.target()}
    assert len(world.nodes[canary].pins) == 1


@pytest.mark.parametrize("strategy", ["Surge", "Recreate"])
def test_a_node_that_is_tainted_before_the_candidate_serves_there_stays_on_stable(strategy: str) -> None:
    world = installed(spec=model_spec(serving={"strategy": strategy}), start_seconds=20)
    stable = world.status["stableRevision"]
    world.new_source("b")
    run_until(world, reasons.ROLLING_OUT)
    world.run(3)
    (canary,) = (name for name, item in world.nodes.items() if len(item.pins) > 1)
    world.taint(canary)
    world.run(400)
    assert world.runs(canary) == {stable}
    assert world.status["stableRevision"] == world.target() != stable
    assert not world.status["rejectedRevisions"]


def test_an_evicted_pod_at_rest_has_not_failed_and_has_time_to_start_without_the_taint() -> None:
    world = installed(start_seconds=20)
    world.taint("camera-2", "NoExecute")
    world.run(900)
    assert world.ready_reason() == reasons.SERVING
    assert "camera-2 (tainted maintenance:NoExecute)" in pending(world)
    seen = len(world.history)
    world.untaint("camera-2")
    world.run(60)
    said = {c["reason"] for status in world.history[seen:] for c in status["conditions"] if c["type"] == "Ready"}
    assert said == {reasons.NODES_CATCHING_UP, reasons.SERVING}


def test_a_pod_that_blinks_on_a_tainted_node_keeps_its_pin_for_no_other_could_be_made() -> None:
    world = installed()
    world.new_source("b")
    run_until(world, reasons.SOAKING)
    (canary,) = (name for name in world.nodes if world.target() in world.runs(name))
    world.run(10)
    world.taint(canary)
    world.blink(canary)
    world.run(3)
    assert world.pinned(canary) == {world.target()}
    world.run(10)
    assert world.runs(canary) == {world.target()}


def test_a_taint_that_the_pods_tolerate_changes_nothing() -> None:
    tolerations = [{"key": "maintenance", "operator": "Exists"}]
    world = Simulation.with_nodes(
        3, spec=model_spec(placement={"nodeSelector": {"edge": "camera"}, "tolerations": tolerations})
    )
    world.taint("camera-2")
    world.run(400)
    assert all(world.runs(name) == {world.target()} for name in world.nodes)
    assert world.condition("NodesPending") is None


def test_a_toleration_that_is_added_lets_a_tainted_node_catch_up() -> None:
    world = installed()
    world.taint("camera-2")
    tolerations = [{"key": "maintenance", "operator": "Exists"}]
    world.change(placement={"nodeSelector": {"edge": "camera"}, "tolerations": tolerations})
    world.run(600)
    assert world.ready_reason() == reasons.SERVING
    assert all(world.runs(name) == {world.target()} for name in world.nodes)


def test_while_nothing_serves_since_all_nodes_are_evicted_the_model_is_not_ready() -> None:
    world = installed(2)
    for name in world.nodes:
        world.taint(name, "NoExecute")
    world.run(10)
    assert world.ready_reason() == reasons.NODES_SET_ASIDE
    available = world.condition("Available")
    assert available is not None
    assert available["status"] == "False"


# --- a cordon ---


@pytest.mark.slow
def test_a_cordoned_node_is_never_the_canary_and_serves_on() -> None:
    for cordoned in ("camera-1", "camera-2", "camera-3"):
        world = installed()
        stable = world.status["stableRevision"]
        world.cordon(cordoned)
        world.new_source("b")
        while world.status["stableRevision"] == stable:
            world.run(1)
            assert world.pinned(cordoned) == {stable}
        assert pending(world) == f"1 of 3 set aside: {cordoned} (cordoned)"


def test_a_node_that_is_cordoned_and_goes_down_on_trial_fails_nothing_and_keeps_its_pin() -> None:
    world = installed()
    world.new_source("b")
    run_until(world, reasons.SOAKING)
    (canary,) = (name for name in world.nodes if world.target() in world.runs(name))
    world.run(5)
    world.cordon(canary)
    world.cut(canary)
    world.run(1)
    assert f"{canary} (cordoned)" in pending(world)
    world.run(600)
    assert not world.status["rejectedRevisions"]
    assert world.status["stableRevision"] == world.target()
    world.uncordon(canary)
    world.run(300)
    assert not world.status["rejectedRevisions"]
    world.join(canary)
    world.run(60)
    assert world.runs(canary) == {world.target()}


def test_a_node_that_returns_cordoned_and_is_uncordoned_while_offline_fails_nothing_in_a_long_bake() -> None:
    rollout = {**model_spec()["rollout"], "bakeSeconds": 500}
    world = Simulation.with_nodes(3, spec=model_spec(rollout=rollout))
    world.run(800, tick=5)
    world.new_source("b")
    run_until(world, reasons.BAKING)
    world.run(10)
    world.cordon("camera-2")
    world.cut("camera-2")
    world.run(60, tick=5)
    world.uncordon("camera-2")
    world.run(300, tick=5)
    assert world.ready_reason() == reasons.BAKING
    assert not world.status["rejectedRevisions"]


def test_a_rejected_revision_leaves_a_node_that_is_set_aside_as_well() -> None:
    world = installed()
    stable = world.status["stableRevision"]
    world.new_source("b")
    run_until(world, reasons.BAKING)
    world.cordon("camera-2")
    world.trouble[world.target()] = (reasons.GOLDEN_MISMATCH, "disagrees")
    world.run(60)
    assert world.ready_reason() == reasons.ROLLED_BACK
    assert all(world.runs(name) == {stable} for name in world.nodes)


def test_preflight_asks_no_node_that_is_set_aside() -> None:
    preflight = {"nodeSelector": {"edge": "camera"}, "deadlineSeconds": 60}
    world = Simulation.with_nodes(2, spec=model_spec(preflight=preflight))
    world.cordon("camera-1")
    world.run(300)
    assert {start.node for start in world.preflights_started} == {"camera-2"}
    alone = Simulation.with_nodes(1, spec=model_spec(preflight=preflight))
    alone.cordon("camera-1")
    alone.run(60)
    assert alone.ready_reason() == reasons.NODES_SET_ASIDE
    assert not alone.preflights_started


# --- no pod for another reason ---


class Refusing(Simulation):
    """A simulation that creates no pod on some nodes, without a message."""

    refused: frozenset[str] = frozenset()

    def _run_pods(self, node: Node, here: list[tuple[str, str, str]]) -> None:
        before = dict(self.pods)
        super()._run_pods(node, here)
        if node.name in self.refused:
            for key in [key for key in self.pods if key[0] == node.name and key not in before]:
                del self.pods[key]


@pytest.mark.parametrize("strategy", ["Surge", "Recreate"])
def test_a_node_without_a_pod_holds_up_a_rollout_for_its_timeout_and_fails_nothing(strategy: str) -> None:
    world = Refusing.with_nodes(3, spec=model_spec(serving={"strategy": strategy}))
    world.run(400)
    stable = world.status["stableRevision"]
    world.refused = frozenset({"camera-2"})  # type: ignore[attr-defined]  # with_nodes makes what it is called on
    world.new_source("b")
    world.run(700)
    assert not world.status["rejectedRevisions"]
    assert world.status["stableRevision"] == world.target()
    assert world.runs("camera-2") == {stable}
    assert "camera-2 (no pod was made in 120 s: kubectl describe daemonset" in pending(world)
    world.refused = frozenset()  # type: ignore[attr-defined]  # as above
    world.run(100)
    assert world.runs("camera-2") == {world.target()}
    assert world.condition("NodesPending") is None


def test_a_candidate_without_any_pod_waits_and_finally_stalls() -> None:
    rollout = {**model_spec()["rollout"], "progressDeadlineSeconds": 600}
    world = Refusing.with_nodes(2, spec=model_spec(rollout=rollout))
    world.refused = frozenset({"camera-1", "camera-2"})  # type: ignore[attr-defined]  # as above
    world.run(1500, tick=10)
    stalled = world.condition("Stalled")
    assert stalled is not None
    assert stalled["reason"] == reasons.PROGRESS_DEADLINE_EXCEEDED
    assert "no pod was made in 120 s" in stalled["message"]
    world.refused = frozenset()  # type: ignore[attr-defined]  # as above
    world.run(300)
    assert world.ready_reason() == reasons.SERVING
