"""A revision is parsed once and written once, and holds all that its nodes run."""

from dataclasses import replace
from typing import Any

import pytest

from edge_operator import objects
from edge_operator.decide.actions import EnsureDaemonSet
from edge_operator.decide.decision import decide
from edgemodel.names import daemonset_name
from edgemodel.revision import RevisionSpec, parse_revision
from tests.support.simulation import SETTINGS, Simulation, model_spec

CONVERTER = {"image": "registry.example/converters/maker@sha256:" + "a" * 64, "args": ["--width", "16"]}
LATENCY = {"name": "latency", "type": "Latency", "latency": {"objectiveMilliseconds": "12.5"}}
EVERYTHING: dict[str, Any] = {
    "source": {
        "uri": "https://files.example/m.safetensors",
        "format": "Safetensors",
        "converter": CONVERTER,
        "statefulInputs": [{"input": "state", "output": "stateN"}],
    },
    "datasets": {"training": {"uri": "https://files.example/t.npz", "digest": "sha256:" + "b" * 64}},
    "compression": {
        "steps": [{"name": "small", "type": "Distill"}],
        "teacher": {"uri": "https://files.example/t.pt2", "format": "ExportedProgram"},
    },
    "placement": {"nodeSelector": {"edge": "camera"}, "tolerations": [{"key": "edge", "operator": "Exists"}]},
    "imagePullSecrets": [{"name": "nodes"}],
    "variants": [{"name": "pi", "nodeSelector": {"board": "pi"}, "serving": {"resources": {"limits": {"cpu": 1}}}}],
    "serving": {
        "hostPort": 8100,
        "strategy": "Recreate",
        "tuning": {"concurrency": 2, "memoryArena": "Off"},
        "shadowReplay": {"maxRequests": 64},
        "warmUpSeconds": 0,
        "generate": {"contextTokens": 4096, "sequences": 4, "maxNewTokens": 1024, "maxStreamSeconds": 240},
        "apiKeySecretRef": {"name": "chat", "key": "token"},
        "weights": "Mapped",
    },
    "analysis": {"checks": [LATENCY]},
}


def recorded(spec: dict[str, Any]) -> RevisionSpec:
    world = Simulation.with_nodes(1, spec=model_spec(**spec))
    world.settings = replace(SETTINGS, allowed_converter_images=("registry.example/",))
    world.run(60)
    (revision,) = world.revisions.values()
    return revision.spec


@pytest.mark.parametrize("spec", [{}, EVERYTHING], ids=["the least", "everything"])
def test_what_is_written_is_read_back(spec: dict[str, Any]) -> None:
    made = recorded(spec)
    assert parse_revision(made.to_json()) == made


def test_all_settings_of_a_server_are_in_it() -> None:
    written = recorded(EVERYTHING).to_json()
    assert written["serving"] == {
        "port": 8080,
        "strategy": "Recreate",
        "hostPort": 8100,
        "tuning": {"concurrency": 2, "memoryArena": "Off"},
        "shadowReplay": {"maxRequests": 64},
        "warmUpSeconds": 0,
        "generate": {"contextTokens": 4096, "sequences": 4, "maxNewTokens": 1024, "maxStreamSeconds": 240},
        "apiKeySecretRef": {"name": "chat", "key": "token"},
        "weights": "Mapped",
        "tolerations": [{"key": "edge", "operator": "Exists"}],
        "imagePullSecrets": [{"name": "nodes"}],
        "latencyObjectiveMilliseconds": "12.5",
    }
    assert [variant["artifact"]["runtime"] for variant in written["variants"]] == ["ONNXRuntime"] * 2
    assert written["source"]["statefulInputs"] == [{"input": "state", "output": "stateN"}]


@pytest.mark.parametrize("missing", ["specHash", "fingerprint", "variants", "serving", "serverImage"])
def test_an_object_that_lacks_a_field_cannot_be_read(missing: str) -> None:
    written = recorded({}).to_json()
    del written[missing]
    with pytest.raises(ValueError, match=missing):
        parse_revision(written)


def test_a_message_names_the_field_that_is_wrong() -> None:
    written = recorded({}).to_json()
    written["serving"]["port"] = "http"
    with pytest.raises(ValueError, match=r"spec\.serving\.port is 'http', want a whole number"):
        parse_revision(written)


def test_a_recreated_daemonset_of_stable_is_stables_and_not_the_candidates() -> None:
    old = {"placement": {"nodeSelector": {"edge": "camera"}, "tolerations": [{"key": "old"}]}}
    world = Simulation.with_nodes(1, spec=model_spec(**old))
    world.run(400)
    stable = world.status["stableRevision"]
    name = daemonset_name(stable, "default")
    before = objects.daemonset(world.observe(), world.revisions[stable], "default")
    world.change(
        placement={"nodeSelector": {"edge": "camera"}, "tolerations": [{"key": "new"}]},
        imagePullSecrets=[{"name": "new"}],
        serving={"tuning": {"concurrency": 1}},
        analysis={"checks": [LATENCY]},
    )
    world.daemonsets.discard(name)
    (again,) = [
        action
        for action in decide(world.observe(), world.now).actions
        if isinstance(action, EnsureDaemonSet) and daemonset_name(action.revision.name, action.variant) == name
    ]
    assert objects.daemonset(world.observe(), again.revision, again.variant) == before
