"""The settings that a server gets from its DaemonSet."""

import pytest

from edge_operator.decide.analysis import objective_edge
from edge_operator.objects.daemonset import daemonset, replay_secret
from edge_operator.objects.network import network_policies
from edge_runtime.tuning import Arena, Tuning
from edgemodel import serving
from inference_server import settings
from tests.support.simulation import Simulation, model_spec


def environment(world: Simulation) -> dict[str, str]:
    """Returns the variables of the only revision's server that have fixed values."""
    (revision,) = world.revisions.values()
    built = daemonset(world.observe(), revision, "default")
    (container,) = built["spec"]["template"]["spec"]["containers"]
    return {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}


def judged_by(objective: str) -> Simulation:
    check = {"name": "latency", "type": "Latency", "latency": {"objectiveMilliseconds": objective}}
    world = Simulation.with_nodes(1, spec=model_spec(analysis={"checks": [check]}))
    world.run(60)
    return world


@pytest.mark.parametrize("objective", ["0.001", "12.5", "250", "1234.564", "59999.999", "60000"])
def test_a_server_has_a_bucket_edge_exactly_at_the_objective_that_it_is_judged_by(objective: str) -> None:
    world = judged_by(objective)
    told = environment(world)
    assert told[serving.LATENCY_OBJECTIVE_MILLISECONDS] == objective
    edge = settings.parse([], told).latency_objective_seconds
    assert edge == objective_edge(world.observe().spec.analysis)


def test_without_an_objective_a_server_gets_none() -> None:
    world = Simulation.with_nodes(1)
    world.run(60)
    assert serving.LATENCY_OBJECTIVE_MILLISECONDS not in environment(world)


def test_a_server_is_tuned_as_the_spec_says() -> None:
    tuning = {"concurrency": 2, "intraOpThreads": 3, "queueLength": 0, "maxBatchItems": 16, "memoryArena": "Off"}
    assert tuning.keys() == serving.TUNING.keys()
    world = Simulation.with_nodes(1, spec=model_spec(serving={"tuning": tuning}))
    world.run(60)
    options = settings.parse([], environment(world))
    assert (options.concurrency, options.queue_length, options.max_batch_items) == (2, 0, 16)
    assert options.tuning == Tuning(intra_op_threads=3, arena=Arena.OFF, concurrency=2)


def test_a_server_warms_up_as_long_as_the_spec_says() -> None:
    for spec, seconds in (({}, 60), ({"warmUpSeconds": 0}, 0), ({"warmUpSeconds": 300}, 300)):
        world = Simulation.with_nodes(1, spec=model_spec(serving=spec))
        world.run(60)
        assert settings.parse([], environment(world)).warm_up_seconds == seconds


def test_a_server_gets_no_variables_for_settings_that_the_spec_lacks() -> None:
    world = Simulation.with_nodes(1)
    world.run(60)
    assert not environment(world).keys() & {*serving.TUNING.values(), serving.WARM_UP_SECONDS}


def test_servers_that_replay_show_each_other_what_only_a_secret_has() -> None:
    world = Simulation.with_nodes(1, spec=model_spec(serving={"shadowReplay": {"maxRequests": 64}}))
    world.run(60)
    observation = world.observe()
    told = environment(world)
    options = settings.parse([], told)
    assert (options.shadow_replay_max_requests, options.shadow_replay_token) == (64, None)
    assert options.shadow_replay_from == f"http://{observation.name}.{observation.namespace}:8080"
    secret = replay_secret(observation, "0123")
    (revision,) = world.revisions.values()
    (container,) = daemonset(observation, revision, "default")["spec"]["template"]["spec"]["containers"]
    (token,) = [one for one in container["env"] if one["name"] == serving.SHADOW_REPLAY_TOKEN]
    reference = token["valueFrom"]["secretKeyRef"]
    assert reference["name"] == secret["metadata"]["name"]
    assert secret["stringData"] == {reference["key"]: "0123"}
    (servers, _) = network_policies(observation)
    assert servers["spec"]["egress"]


def test_servers_that_replay_nothing_open_no_connections() -> None:
    world = Simulation.with_nodes(1)
    world.run(60)
    assert not {serving.SHADOW_REPLAY_FROM, serving.SHADOW_REPLAY_MAX_REQUESTS} & environment(world).keys()
    (servers, _) = network_policies(world.observe())
    assert servers["spec"]["egress"] == []


def test_a_recreated_daemonset_follows_its_revision_whatever_the_present_spec_is() -> None:
    """Somebody deletes the DaemonSet of stable after the spec has already changed."""
    check = {"name": "latency", "type": "Latency", "latency": {"objectiveMilliseconds": "12.5"}}
    taint = {"key": "edge", "operator": "Exists"}
    placement = {"nodeSelector": {"edge": "camera"}, "tolerations": [taint]}
    world = Simulation.with_nodes(1, spec=model_spec(analysis={"checks": [check]}, placement=placement))
    world.run(60)
    (revision,) = world.revisions.values()
    before = daemonset(world.observe(), revision, "default")
    assert before["spec"]["template"]["spec"]["tolerations"] == [taint]
    world.change(analysis=None, placement={"nodeSelector": {"edge": "camera"}})
    assert daemonset(world.observe(), revision, "default") == before
