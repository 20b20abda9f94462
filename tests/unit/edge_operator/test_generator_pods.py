"""The pods of a model that generates text: its limits, the time to end answers in, and the key that clients show."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from edge_operator.cluster import Cluster
from edge_operator.cluster_cache import ClusterCache
from edge_operator.decide.observation import Observation, Pod, Refusal
from edge_operator.from_api import read_refusal
from edge_operator.objects.daemonset import END_SECONDS, GRACE_SECONDS, PRE_STOP_SECONDS, daemonset
from edge_operator.refusal_reader import AGAIN_SECONDS, RefusalReader
from edgemodel import reasons, serving
from edgemodel.generation import Generation, TokenObjectives
from edgemodel.names import API_VERSION, LABEL_MODEL, LABEL_REVISION, LABEL_VARIANT, daemonset_name, puller_of
from inference_server import settings
from tests.support.simulation import SETTINGS, Simulation, built_once, model_spec

pytestmark = pytest.mark.slow

SECRET = {"name": "chat-keys", "key": "token"}
NO_SECRET = 'MountVolume.SetUp failed for volume "api-key" : secret "chat-keys" not found'
NO_KEY = 'MountVolume.SetUp failed for volume "api-key" : references non-existent secret key: token'
OTHER = 'MountVolume.SetUp failed for volume "data" : rpc error: no such device'
KEY = ("vision", "m")


@built_once
def recorded(**fields: Any) -> Simulation:
    """Returns a fleet of one node whose first revision is recorded."""
    world = Simulation.with_nodes(1, spec=model_spec(serving=fields))
    world.run(60)
    return world


def pod_spec(variant: str = "default", **fields: Any) -> dict[str, Any]:
    world = recorded(**fields)
    (revision,) = world.revisions.values()
    spec: dict[str, Any] = daemonset(world.observe(), revision, variant)["spec"]["template"]["spec"]
    return spec


def server_settings(**fields: Any) -> settings.ServerSettings:
    (container,) = pod_spec(**fields)["containers"]
    return settings.parse([], {each["name"]: each["value"] for each in container["env"] if "value" in each})


# --- limits ---


def test_a_server_has_the_limits_that_the_spec_says() -> None:
    limits = {"contextTokens": 4096, "sequences": 4, "maxNewTokens": 1024, "maxStreamSeconds": 240}
    assert limits.keys() == serving.GENERATE.keys()
    found = server_settings(generate=limits, weights="Mapped")
    assert found.generation == Generation(4096, 4, 1024, 240)
    assert found.weights == serving.MAPPED


def test_a_server_has_the_objectives_of_the_checks_at_its_bucket_edges() -> None:
    first = {"name": "first", "type": "TimeToFirstToken", "timeToFirstToken": {"objectiveMilliseconds": 2000}}
    gap = {"name": "gap", "type": "InterTokenLatency", "interTokenLatency": {"objectiveMilliseconds": 80}}
    world = Simulation.with_nodes(1, spec=model_spec(analysis={"checks": [first, gap]}))
    world.run(60)
    (revision,) = world.revisions.values()
    (container,) = daemonset(world.observe(), revision, "default")["spec"]["template"]["spec"]["containers"]
    given = settings.parse([], {each["name"]: each["value"] for each in container["env"] if "value" in each})
    assert given.token_objectives == TokenObjectives(first_token=2.0, inter_token=0.08)


def test_a_server_without_limits_in_the_spec_has_its_own() -> None:
    found = server_settings()
    assert (found.generation, found.weights, found.api_key_file) == (Generation(), None, None)


def test_the_context_of_a_model_that_allows_less_is_the_models() -> None:
    assert Generation().context_of(512) == 512
    assert Generation().context_of(131072) == 2048
    assert Generation(context_tokens=4096).context_of(131072) == 4096


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [
        ({"maxNewTokens": 64}, 124),
        ({}, 300),
        ({"maxNewTokens": 4096}, 300),
        ({"maxStreamSeconds": 900}, 900),
        ({"maxStreamSeconds": 10}, 10),
    ],
)
def test_a_pod_has_time_to_end_its_longest_answer(limits: dict[str, int], seconds: int) -> None:
    options = server_settings(generate=limits)
    assert options.generation.stream_seconds == seconds
    grace = pod_spec(generate=limits)["terminationGracePeriodSeconds"]
    assert grace == max(GRACE_SECONDS, PRE_STOP_SECONDS + seconds + END_SECONDS)
    assert seconds <= options.drain_seconds <= grace - PRE_STOP_SECONDS - END_SECONDS


def test_a_pod_that_generates_nothing_ends_as_soon_as_ever() -> None:
    assert pod_spec()["terminationGracePeriodSeconds"] == GRACE_SECONDS
    assert server_settings().drain_seconds == settings.DEFAULT_DRAIN_SECONDS


# --- the key ---


@pytest.mark.parametrize("variant", ["default", puller_of("default")])
def test_the_key_is_a_file_of_a_mounted_secret_so_that_a_new_one_arrives_without_a_new_pod(variant: str) -> None:
    pod = pod_spec(variant, apiKeySecretRef=SECRET, strategy="Recreate")
    (volume,), (container,) = pod["volumes"], pod["containers"]
    assert volume["secret"]["secretName"] == "chat-keys"
    assert not volume["secret"].get("optional")
    (mount,) = container["volumeMounts"]
    assert (mount["name"], mount["readOnly"]) == (volume["name"], True)
    assert "subPath" not in mount, "a file that is mounted alone keeps the first key"
    assert "token" not in str(container.get("env", ""))
    (item,) = volume["secret"]["items"]
    found = server_settings(apiKeySecretRef=SECRET).api_key_file
    assert (item["key"], Path(mount["mountPath"]) / item["path"]) == ("token", found)


def test_without_a_key_a_pod_has_no_volume() -> None:
    assert "volumes" not in pod_spec()
    assert "volumeMounts" not in pod_spec()["containers"][0]


# --- a Secret that is missing ---


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (NO_SECRET, "the Secret chat-keys does not exist in the namespace"),
        (NO_KEY, "the Secret of the clients' key has no key token"),
    ],
)
def test_an_event_about_the_secret_is_told_with_its_cure(message: str, told: str) -> None:
    found = read_refusal([event(message)])
    cure = f"{told}: create it, or correct spec.serving.apiKeySecretRef"
    assert found == Refusal(cure, is_final=True, reason=reasons.SECRET_NOT_FOUND)


def test_an_event_about_another_volume_is_none_of_it() -> None:
    assert read_refusal([event(OTHER)]) is None


def event(message: str) -> dict[str, Any]:
    return {"reason": "FailedMount", "message": message, "lastTimestamp": "2026-01-01T00:00:00Z", "type": "Warning"}


@built_once
def installed(strategy: str) -> Simulation:
    world = Simulation.with_nodes(3, spec=model_spec(serving={"strategy": strategy}))
    world.run(400)
    assert world.ready_reason() == reasons.SERVING
    return world


@pytest.mark.parametrize("strategy", ["Surge", "Recreate"])
def test_a_candidate_whose_secret_is_missing_waits_stalled_and_unharmed_and_goes_on_when_it_is_there(
    strategy: str,
) -> None:
    world = installed(strategy)
    stable = world.status["stableRevision"]
    world.change(serving={"strategy": strategy, "apiKeySecretRef": SECRET})
    world.trouble[world.target()] = (reasons.SECRET_NOT_FOUND, "the Secret chat-keys does not exist")
    world.run(3600, tick=5)
    stalled = world.condition("Stalled")
    assert stalled is not None
    assert stalled["reason"] == reasons.SECRET_NOT_FOUND
    assert "the Secret chat-keys does not exist; Kubernetes tries again by itself" in stalled["message"]
    assert not world.status["rejectedRevisions"]
    assert all(stable in world.runs(node) for node in world.nodes)
    world.trouble.clear()
    world.run(600, tick=2)
    assert world.ready_reason() == reasons.SERVING
    assert all(world.runs(node) == {world.target()} for node in world.nodes)
    assert not world.status["rejectedRevisions"]


def test_a_pod_at_rest_that_lacks_its_secret_is_named_and_no_node_has_failed() -> None:
    world = Simulation.with_nodes(3, spec=model_spec(serving={"apiKeySecretRef": SECRET}))
    world.run(400)
    world.trouble[world.target(), "camera-2"] = (reasons.SECRET_NOT_FOUND, "the Secret chat-keys does not exist")
    world.lose_pods("camera-2")
    world.run(1200, tick=5)
    stalled, pending = world.condition("Stalled"), world.condition("NodesPending")
    assert stalled is not None
    assert pending is not None
    assert stalled["reason"] == reasons.SECRET_NOT_FOUND
    assert "camera-2 (its pod cannot start: the Secret chat-keys does not exist" in pending["message"]


class Events:
    """An API server with Events of some objects."""

    def __init__(self) -> None:
        self.of: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[str] = []

    async def events(self, namespace: str, uid: str) -> list[dict[str, Any]]:
        self.asked.append(uid)
        return self.of.get(uid, [])


CREATED = datetime(2026, 1, 1, tzinfo=UTC)


class World:
    """A cache with one server pod, which the kubelet creates, and a reader of its Events."""

    def __init__(self, **fields: Any) -> None:
        self.now, self.server, self.seconds = CREATED, Events(), 0.0
        self.cache = ClusterCache(SETTINGS, lambda _: None, lambda: self.now)
        self.reader = RefusalReader(cast(Cluster, self.server), self.cache, lambda: self.seconds)
        (revision,) = recorded(**fields).revisions.values()
        self.revision = revision.name
        self._see("EdgeModel", "m", spec=model_spec(serving=fields), apiVersion=API_VERSION)
        self._see("EdgeModelRevision", revision.name, spec=revision.spec.to_json(), apiVersion=API_VERSION)
        self.pod_is({"waiting": {"reason": "ContainerCreating"}})

    def pod_is(self, state: dict[str, Any]) -> None:
        status = {"containerStatuses": [{"state": state}]}
        self._see("Pod", "p", spec={"nodeName": "camera-1"}, status=status)

    def _see(self, kind: str, name: str, **fields: Any) -> None:
        self.seconds += 1
        owner = {"kind": "DaemonSet", "name": daemonset_name(self.revision, "default"), "controller": True}
        labels = {LABEL_MODEL: "m", LABEL_REVISION: self.revision, LABEL_VARIANT: "default"}
        labels |= {"app.kubernetes.io/component": "server"}
        meta = {"namespace": "vision", "name": name, "uid": f"uid-{name}", "labels": labels, "generation": 1}
        meta |= {"resourceVersion": str(int(self.seconds)), "creationTimestamp": "2026-01-01T00:00:00Z"}
        self.cache.see({"kind": kind, "metadata": {**meta, "ownerReferences": [owner]}, **fields})

    async def look(self, seconds: float) -> Pod:
        self.now += timedelta(seconds=seconds)
        self.seconds += AGAIN_SECONDS
        await self.reader.look(self.now)
        (pod,) = self.observe().pods
        return pod

    def observe(self) -> Observation:
        found = self.cache.observe(KEY)
        assert isinstance(found, Observation)
        return found


async def test_a_pod_that_is_not_created_for_long_is_asked_about_and_has_the_secret_as_its_trouble() -> None:
    world = World(apiKeySecretRef=SECRET)
    world.server.of["uid-p"] = [event(NO_SECRET)]
    assert (await world.look(5)).trouble is None
    assert world.server.asked == []
    found = (await world.look(10)).trouble
    assert found is not None
    assert found[0] == reasons.SECRET_NOT_FOUND
    assert "the Secret chat-keys does not exist in the namespace" in found[1]


async def test_once_the_secret_is_there_the_pod_has_its_whole_time_to_start() -> None:
    """The Event outlives its cause by an hour."""
    world = World(apiKeySecretRef=SECRET)
    world.server.of["uid-p"] = [event(NO_SECRET)]
    await world.look(7200)
    assert not world.observe().startable_since
    world.pod_is({"running": {"startedAt": "2026-01-01T02:00:00Z"}})
    assert (await world.look(60)).trouble is None
    assert world.observe().startable_since == {"p": world.now}


async def test_pods_without_a_secret_are_not_asked_about() -> None:
    world = World()
    await world.look(3600)
    assert world.server.asked == []


def test_a_pod_has_as_long_after_the_secret_came_as_a_new_one() -> None:
    """Without the time at which it came, the node would fail at once: its pod was created two hours ago."""
    world = Simulation.with_nodes(1, spec=model_spec(serving={"apiKeySecretRef": SECRET}), start_seconds=30)
    world.run(60)
    world.trouble[world.target()] = (reasons.SECRET_NOT_FOUND, "no Secret")
    world.lose_pods("camera-1")
    world.run(7200, tick=10)
    world.trouble.clear()
    world.run(20)
    assert world.observe().startable_since
    assert not world.status["rejectedRevisions"]
    world.run(400)
    assert world.ready_reason() == reasons.SERVING
