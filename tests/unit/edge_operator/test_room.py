"""The memory of servers: it follows from the model, and nodes that lack it are told of before the first wave."""

from dataclasses import replace
from typing import Any

import pytest

from edge_operator import objects
from edge_operator.decide.resources import DEFAULTS, HEADROOM_BYTES, SERVER, amount, server_bytes
from edge_operator.from_api import read_node
from edgemodel import reasons
from edgemodel.generation import RUNTIME_BYTES, Generation, GeneratorFacts
from edgemodel.report import ArtifactReport
from inference_server.generate.limits import GenerationSettings, limits_of, shortage
from tests.support import simulation
from tests.support.simulation import Simulation, artifact_report, model_spec

MIB = 2**20
WEIGHTS = 800 * MIB
FACTS = GeneratorFacts(context_tokens=8192, cache_bytes_per_token=50_000)
NEEDS = WEIGHTS + 2 * 2048 * 50_000 + RUNTIME_BYTES
"""The limits are those of an EdgeModel that names none."""


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes compression Jobs publish a model that generates text."""

    def report(variant: str) -> ArtifactReport:
        return replace(artifact_report(variant), size_bytes=WEIGHTS, generator=FACTS)

    monkeypatch.setattr(simulation, "artifact_report", report)


def fleet(*memory: int, **serving: Any) -> Simulation:
    """Returns a fleet whose nodes have this memory, in MiB, for pods."""
    world = Simulation.with_nodes(len(memory), spec=model_spec(serving=serving))
    world.nodes = {
        name: replace(node, memory_bytes=size * MIB)
        for (name, node), size in zip(sorted(world.nodes.items()), memory, strict=True)
    }
    return world


def server(world: Simulation) -> dict[str, Any]:
    """Returns the resources of the only revision's server."""
    (revision,) = world.revisions.values()
    pod = objects.daemonset(world.observe(), revision, "default")["spec"]["template"]["spec"]
    found: dict[str, Any] = pod["containers"][0]["resources"]
    return found


def stalled(world: Simulation) -> dict[str, Any]:
    found = world.condition("Stalled")
    assert found is not None
    return found


# --- requests and limits ---


def test_the_server_of_a_small_model_has_what_it_always_had() -> None:
    world = fleet(4096)
    world.run(60)
    assert server(world) == DEFAULTS[SERVER]


@pytest.mark.usefixtures("large")
def test_the_server_of_a_large_model_requests_what_its_weights_and_caches_need() -> None:
    world = fleet(8192)
    world.run(60)
    found = server(world)
    assert NEEDS <= amount(found["requests"]["memory"]) < NEEDS + MIB
    assert amount(found["limits"]["memory"]) > NEEDS + WEIGHTS // 4
    assert found["requests"]["cpu"] == "50m"


@pytest.mark.usefixtures("large")
def test_more_sequences_and_a_longer_context_request_more() -> None:
    world = fleet(16384, generate={"sequences": 8, "contextTokens": 4096})
    world.run(60)
    assert amount(server(world)["requests"]["memory"]) >= WEIGHTS + 8 * 4096 * 50_000 + RUNTIME_BYTES


@pytest.mark.parametrize("generation", [Generation(), Generation(4096, 8), Generation(context_tokens=100, sequences=1)])
def test_the_operator_and_the_server_count_the_same_memory(generation: Generation) -> None:
    """The server ends with the reason InsufficientMemory one byte below, and loads with it."""
    artifact = replace(artifact_report("default"), size_bytes=WEIGHTS, generator=FACTS)
    needs = server_bytes(artifact, generation)
    limits = limits_of(GenerationSettings(generation), FACTS.context_tokens)
    assert shortage(WEIGHTS, FACTS.cache_bytes_per_token, limits, needs) is None
    assert shortage(WEIGHTS, FACTS.cache_bytes_per_token, limits, needs - 1) is not None


@pytest.mark.usefixtures("large")
def test_what_the_spec_says_of_memory_counts() -> None:
    world = fleet(8192, resources={"limits": {"memory": "3Gi"}})
    world.run(60)
    assert server(world)["limits"]["memory"] == server(world)["requests"]["memory"] == "3Gi"


# --- before the first wave ---


@pytest.mark.usefixtures("large")
def test_a_limit_below_what_the_server_needs_stalls_with_both_numbers_and_no_pod_is_made() -> None:
    world = fleet(8192, resources={"limits": {"memory": "512Mi"}})
    world.run(300)
    found = stalled(world)
    assert found["reason"] == reasons.INSUFFICIENT_MEMORY
    assert f"needs {NEEDS / 1e6:,.0f} MB" in found["message"]
    assert "its memory limit is 537 MB" in found["message"]
    assert not world.pods
    world.change(serving={"resources": {"limits": {"memory": "2Gi"}}})
    world.run(400)
    assert world.ready_reason() == reasons.SERVING


@pytest.mark.usefixtures("large")
def test_weights_that_are_mapped_are_requested_and_need_not_fit_the_limit() -> None:
    world = fleet(8192, weights="Mapped")
    world.run(60)
    found = server(world)
    assert NEEDS <= amount(found["requests"]["memory"]) < NEEDS + MIB
    assert NEEDS + HEADROOM_BYTES <= amount(found["limits"]["memory"]) < NEEDS + HEADROOM_BYTES + MIB
    least = -(-(NEEDS - WEIGHTS) // MIB)
    world.change(serving={"weights": "Mapped", "resources": {"limits": {"memory": f"{least - 1}Mi"}}})
    world.run(300)
    assert f"needs {(NEEDS - WEIGHTS) / 1e6:,.0f} MB" in stalled(world)["message"]
    world.change(serving={"weights": "Mapped", "resources": {"limits": {"memory": f"{least}Mi"}}})
    world.run(400)
    assert world.ready_reason() == reasons.SERVING


@pytest.mark.usefixtures("large")
def test_a_context_that_the_model_does_not_allow_stalls_with_both_numbers() -> None:
    world = fleet(8192, generate={"contextTokens": 16384})
    world.run(300)
    found = stalled(world)
    assert found["reason"] == reasons.INVALID_SPEC
    assert "contextTokens is 16384, and the model of variant default allows 8192: lower it" in found["message"]


@pytest.mark.usefixtures("large")
def test_nodes_without_room_are_named_with_both_numbers_before_any_node_switches() -> None:
    world = fleet(8192, 512, 8192)
    world.run(300)
    found = stalled(world)
    assert found["reason"] == reasons.INSUFFICIENT_MEMORY
    assert "1 of 3 nodes lack the memory" in found["message"]
    assert (
        f"camera-2 has 537 MB, needs {amount(server(world)['requests']['memory']) / 10**6:,.0f} MB" in found["message"]
    )
    assert "Recreate" not in found["message"]
    assert not world.pods


@pytest.mark.usefixtures("large")
def test_as_many_nodes_without_room_as_may_fail_hold_nothing() -> None:
    world = fleet(8192, 512, 8192)
    world.change(rollout={**world.spec.get("rollout", {}), "maxFailedNodes": 1})
    world.run(100)
    assert world.pods


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize(("strategy", "held"), [("Surge", True), ("Recreate", False)])
def test_with_surge_a_node_must_hold_both_and_that_is_told_before_the_wave(strategy: str, held: bool) -> None:
    world = fleet(1600, 1600, strategy=strategy)
    world.run(400)
    stable = world.status["stableRevision"]
    assert world.ready_reason() == reasons.SERVING
    world.new_source("b")
    world.run(400)
    if not held:
        assert world.status["stableRevision"] == world.target() != stable
        return
    found = stalled(world)
    assert found["reason"] == reasons.INSUFFICIENT_MEMORY
    assert "camera-1 has 1,678 MB, needs 2,2" in found["message"]
    assert "with stable beside it" in found["message"]
    assert "set spec.serving.strategy: Recreate" in found["message"]
    assert all(world.runs(node) == {stable} for node in world.nodes)
    assert not world.status["rejectedRevisions"]


@pytest.mark.usefixtures("large")
def test_a_surge_that_has_room_goes_through() -> None:
    world = fleet(2600, 2600)
    world.run(400)
    stable = world.status["stableRevision"]
    world.new_source("b")
    world.run(400)
    assert world.status["stableRevision"] == world.target() != stable


@pytest.mark.parametrize(
    ("quantity", "size"), [("2Gi", 2 * 2**30), ("1000000Ki", 1_024_000_000), (None, None), ("lots", None)]
)
def test_the_memory_of_a_node_is_what_its_pods_may_have(quantity: str | None, size: int | None) -> None:
    status = {"allocatable": {"memory": quantity} if quantity else {}, "capacity": {"memory": "64Gi"}}
    assert read_node({"metadata": {"name": "n", "uid": "u"}, "status": status}).memory_bytes == size
