"""Pods that cannot be created: the refusal is quoted within a minute, and no candidate is blamed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from edge_operator.cluster import ApiError, Cluster
from edge_operator.cluster_cache import ClusterCache, Key
from edge_operator.decide.observation import Applied, Observation, PullFailure, Refusal
from edge_operator.decide.refused_pods import Question, explain, explain_pull, plan_questions
from edge_operator.from_api import read_refusal
from edge_operator.refusal_reader import AGAIN_SECONDS, RefusalReader
from edgemodel import reasons
from edgemodel.names import API_VERSION, LABEL_MODEL, daemonset_name, pin_key
from tests.support.simulation import SETTINGS, Simulation, model_spec

pytestmark = pytest.mark.slow

QUOTA = 'Error creating: pods "m-1-x7k2p" is forbidden: failed quota: q: must specify limits.cpu for: compress'
EXCEEDED = (
    'Error creating: pods "m-1-default-abcde" is forbidden: exceeded quota: q, requested: pods=1, used: pods=2, '
    "limited: pods=2"
)
LIMIT_RANGE = 'Error creating: pods "p" is forbidden: maximum memory usage per Container is 64Mi, but limit is 512Mi'
POD_SECURITY = (
    'Error creating: pods "p" is forbidden: violates PodSecurity "baseline:latest": hostPort (container "server")'
)
NO_ACCOUNT = 'Error creating: pods "p" is forbidden: error looking up service account vision/default: not found'
DENIED = 'Error creating: admission webhook "policy.example" denied the request: no label team'
WEBHOOK_DOWN = (
    'Error creating: Internal error occurred: failed calling webhook "policy.example": Post "https://policy": '
    "dial tcp 10.0.0.1:443: connect: connection refused"
)


def event(
    message: str, at: str = "2026-01-01T00:00:00Z", reason: str = "FailedCreate", **fields: Any
) -> dict[str, Any]:
    return {"reason": reason, "message": message, "lastTimestamp": at, "type": "Warning", **fields}


# --- the words of an Event ---


@pytest.mark.parametrize(
    ("message", "told", "advice"),
    [
        (QUOTA, "forbidden: failed quota: q: must specify limits.cpu for: compress", "set them in spec.x"),
        (
            f"(combined from similar events): {QUOTA}",
            "forbidden: failed quota: q: must specify limits.cpu for: compress",
            "set them in spec.x",
        ),
        (EXCEEDED, "forbidden: exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2", "raise the quota"),
        (LIMIT_RANGE, "forbidden: maximum memory usage per Container is 64Mi, but limit is 512Mi", "change spec.x"),
        (POD_SECURITY, 'forbidden: violates PodSecurity "baseline:latest": hostPort (container "server")', "labels"),
        (NO_ACCOUNT, "forbidden: error looking up service account vision/default: not found", "create the Service"),
        (DENIED, 'admission webhook "policy.example" denied the request: no label team', "whoever runs the webhook"),
    ],
)
def test_what_refuses_a_pod_for_good_is_quoted_without_the_random_name_and_with_a_cure(
    message: str, told: str, advice: str
) -> None:
    refusal = read_refusal([event(message)])
    assert refusal == Refusal(told, is_final=True)
    assert advice in explain(refusal, "spec.x")
    assert explain(refusal, "spec.x").endswith("; Kubernetes tries again by itself")


@pytest.mark.parametrize(
    "message",
    [WEBHOOK_DOWN, "Error creating: Timeout: request did not complete", "Error creating: etcdserver: leader changed"],
)
def test_a_transient_refusal_does_not_stall(message: str) -> None:
    refusal = read_refusal([event(message)])
    assert refusal is not None
    assert not refusal.is_final


def test_the_newest_event_counts_and_others_do_not() -> None:
    old = event(QUOTA, "2026-01-01T00:00:00Z")
    new = event(DENIED, "2026-01-01T00:01:00Z")
    by_series = event(EXCEEDED, "", series={"lastObservedTime": "2026-01-01T00:02:00.123456Z"})
    other = event("Created pod: m-1-abc", "2026-01-02T00:00:00Z", reason="SuccessfulCreate")
    found = read_refusal([new, old, other])
    assert found is not None
    assert "denied the request" in found.message
    found = read_refusal([new, by_series, old])
    assert found is not None
    assert "exceeded quota" in found.message
    assert read_refusal([other]) is None
    assert read_refusal([]) is None


# --- what is asked ---


def seen(world: Simulation) -> Observation:
    """Returns the observation with the DaemonSets' pins and uids, as an API server has them."""
    applied = []
    for revision in world.revisions.values():
        pin = pin_key("vision", "m", revision.name, "default")
        name = daemonset_name(revision.name, "default")
        applied.append(Applied("DaemonSet", name, "", frozenset({pin}), f"uid-{name}"))
    return replace(world.observe(), applied=tuple(applied))


def test_the_events_of_a_job_without_a_pod_are_read_after_a_moment() -> None:
    world = Simulation.with_nodes(1, refusal=Refusal("no", is_final=True))
    world.run(1)
    (name,) = world.jobs
    assert plan_questions(seen(world), world.now) == ()
    assert plan_questions(seen(world), world.now + timedelta(seconds=10)) == (Question("Job", name, f"uid-{name}"),)


def test_the_events_of_a_daemonset_are_read_if_a_pinned_node_lacks_its_pod_unless_it_is_set_aside() -> None:
    world = Simulation.with_nodes(2)
    world.run(25)
    world.refusal = Refusal("no", is_final=True)
    world.lose_pods("camera-1")
    world.lose_pods("camera-2")
    world.run(30)
    (revision,) = world.revisions
    name = daemonset_name(revision, "default")
    assert plan_questions(seen(world), world.now) == (Question("DaemonSet", name, f"uid-{name}"),)
    for node in world.nodes:
        world.taint(node)
    assert plan_questions(seen(world), world.now) == ()


def test_the_events_of_a_pod_that_cannot_pull_are_read() -> None:
    world = Simulation.with_nodes(1)
    world.run(200)
    trouble = (reasons.IMAGE_PULL_FAILED, "401 Unauthorized")
    world.pods = {key: replace(pod, uid="uid-p", ready=False, trouble=trouble) for key, pod in world.pods.items()}
    (pod,) = world.pods.values()
    assert plan_questions(seen(world), world.now) == (Question("Pod", pod.name, "uid-p"),)


class Events:
    """An API server with Events of some objects, or that refuses to list any."""

    def __init__(self, **events: list[dict[str, Any]]) -> None:
        self.of, self.asked = events, list[tuple[str, str]]()
        self.refuses = False

    async def events(self, namespace: str, uid: str) -> list[dict[str, Any]]:
        self.asked.append((namespace, uid))
        if self.refuses:
            raise ApiError(403, "no")
        return self.of.get(uid, [])


def cached() -> tuple[ClusterCache, list[Key]]:
    changed: list[Key] = []
    cache = ClusterCache(SETTINGS, changed.append)
    known = {"resourceVersion": "1", "creationTimestamp": "2026-01-01T00:00:00Z"}
    model = {"namespace": "vision", "name": "m", "uid": "uid-m", "generation": 1, **known}
    job = {"namespace": "vision", "name": "m-1", "uid": "uidjob", "labels": {LABEL_MODEL: "m"}, **known}
    cache.see({"kind": "EdgeModel", "apiVersion": API_VERSION, "metadata": model, "spec": model_spec()})
    cache.see({"kind": "Job", "metadata": job, "status": {}})
    changed.clear()
    return cache, changed


NOW = datetime(2026, 1, 1, 0, 1, tzinfo=UTC)


async def test_the_events_of_the_one_object_are_read_until_there_is_an_answer_and_then_seldom() -> None:
    cache, changed = cached()
    clock, server = [0.0], Events()
    reader = RefusalReader(cast(Cluster, server), cache, lambda: clock[0])
    await reader.look(NOW)
    await reader.look(NOW)
    assert server.asked == [("vision", "uidjob")] * 2
    assert not changed
    server.of["uidjob"] = [event(QUOTA)]
    await reader.look(NOW)
    assert changed == [("vision", "m")]
    observation = cache.observe(("vision", "m"))
    assert isinstance(observation, Observation)
    assert "must specify limits.cpu" in observation.refusals["Job", "m-1"].message
    await reader.look(NOW)
    assert len(server.asked) == 3
    clock[0] = AGAIN_SECONDS
    await reader.look(NOW)
    assert len(server.asked) == 4
    assert len(changed) == 1


async def test_without_an_answer_of_the_api_server_known_refusals_stay() -> None:
    cache, changed = cached()
    clock, server = [0.0], Events(uidjob=[event(QUOTA)])
    reader = RefusalReader(cast(Cluster, server), cache, lambda: clock[0])
    await reader.look(NOW)
    server.refuses, clock[0] = True, AGAIN_SECONDS
    await reader.look(NOW)
    observation = cache.observe(("vision", "m"))
    assert isinstance(observation, Observation)
    assert observation.refusals
    assert len(changed) == 1


async def test_events_of_another_form_end_no_reader() -> None:
    cache, changed = cached()
    server = Events(uidjob=[{"reason": "FailedCreate", "lastTimestamp": 7}])
    reader = RefusalReader(cast(Cluster, server), cache, lambda: 0.0)
    await reader.look(NOW)
    assert not changed
    server.of["uidjob"] = [event(QUOTA)]
    await reader.look(NOW)
    assert changed == [("vision", "m")]


# --- what is told, and what happens ---


def test_a_compression_that_a_quota_forbids_is_stalled_within_a_minute_and_goes_on_when_it_does_not() -> None:
    world = Simulation.with_nodes(2, refusal=read_refusal([event(QUOTA)]))
    world.run(60)
    stalled = world.condition("Stalled")
    assert stalled is not None
    assert stalled["reason"] == reasons.POD_REFUSED
    assert "must specify limits.cpu for: compress; set them in spec.compression.resources" in stalled["message"]
    world.refusal = None
    world.run(400)
    assert world.ready_reason() == reasons.SERVING
    assert len(world.jobs_started) == 1


def test_a_webhook_that_is_down_is_reported_without_a_stall() -> None:
    world = Simulation.with_nodes(1, refusal=read_refusal([event(WEBHOOK_DOWN)]))
    world.run(60)
    ready = world.condition("Ready")
    assert ready is not None
    assert ready["reason"] == reasons.COMPRESSING
    assert "failed calling webhook" in ready["message"]
    assert world.condition("Stalled") is None


def test_a_job_without_a_pod_and_events_is_reported_after_a_minute() -> None:
    world = Simulation.with_nodes(1)
    world.run(1)
    world.jobs = {name: replace(job, has_pod=False) for name, job in world.jobs.items()}
    world.refusal = Refusal("kept from the operator", is_final=True)
    world._refusals = dict  # type: ignore[method-assign]  # nobody reads Events
    world.run(65)
    ready = world.condition("Ready")
    assert ready is not None
    assert "it has no pod: kubectl describe job" in ready["message"]


def test_a_job_that_outlives_its_deadline_is_reported() -> None:
    world = Simulation.with_nodes(1, job_seconds=10**9)
    world.run(2 * 3600, tick=60)
    ready = world.condition("Ready")
    assert ready is not None
    assert "it has not ended after 4200 s: kubectl describe job" in ready["message"]


@pytest.mark.parametrize("strategy", ["Surge", "Recreate"])
def test_a_candidate_whose_pods_a_quota_refuses_waits_stalled_and_unharmed(strategy: str) -> None:
    world = Simulation.with_nodes(3, spec=model_spec(serving={"strategy": strategy}))
    world.run(400)
    stable = world.status["stableRevision"]
    world.new_source("b")
    world.run(22)
    world.refusal = read_refusal([event(EXCEEDED)])
    world.run(300, tick=5)
    stalled = world.condition("Stalled")
    assert stalled is not None
    assert stalled["reason"] == reasons.POD_REFUSED
    assert "exceeded quota" in stalled["message"]
    assert "or lower spec.serving.resources" in stalled["message"]
    assert not world.status["rejectedRevisions"]
    assert all(world.runs(node) == {stable} for node in world.nodes)
    world.refusal = None
    world.run(400, tick=2)
    assert world.ready_reason() == reasons.SERVING
    assert all(world.runs(node) == {world.target()} for node in world.nodes)


def test_a_refused_pod_at_rest_is_stalled_and_named() -> None:
    world = Simulation.with_nodes(3)
    world.run(400)
    world.refusal = read_refusal([event(EXCEEDED)])
    world.lose_pods("camera-2")
    world.run(20)
    stalled, pending = world.condition("Stalled"), world.condition("NodesPending")
    assert stalled is not None
    assert pending is not None
    assert stalled["reason"] == reasons.POD_REFUSED
    assert "camera-2 (no pod is made: forbidden: exceeded quota" in pending["message"]
    world.refusal = None
    world.run(30)
    assert world.ready_reason() == reasons.SERVING
    assert world.condition("NodesPending") is None


def test_the_schedulers_message_for_a_pod_without_room_is_reported_at_once() -> None:
    world = Simulation.with_nodes(2)
    world.run(400)
    world.new_source("b")
    world.trouble[world.target()] = (reasons.UNSCHEDULABLE, "0/2 nodes are available: 1 Insufficient memory.")
    world.run(50)
    ready = world.condition("Ready")
    assert ready is not None
    assert ready["reason"] == reasons.ROLLING_OUT
    assert ready["message"].endswith("Unschedulable: 0/2 nodes are available: 1 Insufficient memory.")


def test_a_missing_pull_secret_is_reported_before_the_kubelets_own_error() -> None:
    cache, _ = cached()
    revision, variant = "m-0123456789", "default"
    owner = {"kind": "DaemonSet", "name": daemonset_name(revision, variant), "controller": True}
    labels = {
        LABEL_MODEL: "m",
        "edgemodel.io/revision": revision,
        "edgemodel.io/variant": variant,
        "app.kubernetes.io/component": "server",
    }
    meta = {"namespace": "vision", "name": "p", "uid": "uid-p", "resourceVersion": "1", "labels": labels}
    waiting = {"reason": "ErrImagePull", "message": "401 Unauthorized"}
    status = {"containerStatuses": [{"state": {"waiting": waiting}}]}
    meta |= {"creationTimestamp": "2026-01-01T00:00:00Z", "ownerReferences": [owner]}
    cache.see({"kind": "Pod", "metadata": meta, "spec": {"nodeName": "camera-1"}, "status": status})
    said = read_refusal(
        [event("Unable to retrieve some image pull secrets (regcred)", reason="FailedToRetrieveImagePullSecret")]
    )
    assert said is not None
    cache.set_refusals(("vision", "m"), {("Pod", "p"): said})
    observation = cache.observe(("vision", "m"))
    assert isinstance(observation, Observation)
    (pod,) = observation.pods
    assert pod.trouble == (
        reasons.IMAGE_PULL_FAILED,
        "the Secret regcred does not exist in the namespace: create it with type kubernetes.io/dockerconfigjson, or "
        "correct spec.imagePullSecrets, or the chart's pull secrets; the node cannot pull the image: docker.io refuses "
        "access; the pod has no pull secret: name a Secret of type kubernetes.io/dockerconfigjson with a login for "
        "docker.io in spec.imagePullSecrets; ErrImagePull: 401 Unauthorized",
    )


PULL = "the node cannot pull registry.example/compressor:1: registry.example refuses access"


def test_a_job_whose_image_is_refused_is_stalled_and_goes_on_when_it_is_pulled() -> None:
    world = Simulation.with_nodes(1)
    world.run(2)
    (name,) = world.jobs
    running = world.jobs[name]
    world.jobs[name] = replace(running, pull=PullFailure("p", "uid-p", PULL, is_final=True), waits_for=PULL)
    assert Question("Pod", "p", "uid-p") in plan_questions(seen(world), world.now)
    world.step()
    stalled = world.condition("Stalled")
    assert stalled is not None
    assert stalled["reason"] == reasons.IMAGE_PULL_FAILED
    assert PULL in stalled["message"]
    observation = replace(
        world.observe(), refusals={("Pod", "p"): Refusal("the Secret s does not exist", is_final=True)}
    )
    assert explain_pull(observation, PullFailure("p", "uid-p", PULL, is_final=True)).startswith(
        "the Secret s does not exist; "
    )
    world.jobs[name] = replace(running, pull=PullFailure("p", "uid-p", "no DNS", is_final=False), waits_for="no DNS")
    world.step()
    assert world.condition("Stalled") is None
    ready = world.condition("Ready")
    assert ready is not None
    assert "its pod waits: no DNS" in ready["message"]
    world.jobs[name] = running
    world.run(400)
    assert world.ready_reason() == reasons.SERVING


def test_what_keeps_a_puller_from_its_image_is_told_before_the_node_has_failed() -> None:
    world = Simulation.with_nodes(1, spec=model_spec(serving={"strategy": "Recreate"}))
    world.run(400)
    world.new_source("b")
    world.trouble[world.target()] = (reasons.IMAGE_PULL_FAILED, PULL)
    world.run(35)
    assert world.ready_reason() == reasons.ROLLING_OUT
    ready = world.condition("Ready")
    assert ready is not None
    assert PULL in ready["message"]


def test_a_preflight_that_a_quota_forbids_is_stalled_and_goes_on_when_it_does_not() -> None:
    preflight = {"nodeSelector": {"edge": "camera"}, "deadlineSeconds": 60}
    world = Simulation.with_nodes(1, spec=model_spec(preflight=preflight))
    world.run(21)
    world.refusal = read_refusal([event(EXCEEDED)])
    world.run(30)
    stalled = world.condition("Stalled")
    assert stalled is not None
    assert stalled["reason"] == reasons.POD_REFUSED
    assert "exceeded quota" in stalled["message"]
    world.refusal = None
    world.run(400, tick=2)
    assert world.ready_reason() == reasons.SERVING
    assert world.condition("LatencyUnverified") is None
