"""The cache's state of the cluster, in whatever order the events arrive."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from edge_operator.cluster_cache import ClusterCache, Key
from edge_operator.decide.observation import Observation
from edge_operator.endpoints import scrape_targets
from edgemodel.names import (
    API_VERSION,
    COMPONENT_PREFLIGHT,
    COMPONENT_SERVER,
    LABEL_COMPONENT,
    LABEL_MODEL,
    LABEL_REVISION,
    LABEL_VARIANT,
    pin_key,
)
from edgemodel.progress import StepBegun
from tests.support.revisions import revision_spec
from tests.support.simulation import SETTINGS, model_spec

STEP = StepBegun("quantize", "QuantizeDynamic", 1, 4)


def raw(kind: str, name: str, version: int, **fields: Any) -> dict[str, Any]:
    meta = {
        "name": name,
        "uid": f"uid-{name}",
        "resourceVersion": str(version),
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "generation": 1,
        "labels": {LABEL_MODEL: "m"},
        **({} if kind == "Node" else {"namespace": "vision"}),
    }
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": meta, **fields}


def model(version: int, **changes: Any) -> dict[str, Any]:
    return raw("EdgeModel", "m", version, spec=model_spec(**changes))


def revision(name: str, version: int) -> dict[str, Any]:
    return raw(
        "EdgeModelRevision",
        name,
        version,
        spec=revision_spec(),
    )


def pinned_node(name: str, version: int, *pins: str) -> dict[str, Any]:
    node = raw("Node", name, version)
    node["metadata"]["labels"] = dict.fromkeys(pins, "true")
    return node


def camera(name: str, version: int, **fields: Any) -> dict[str, Any]:
    """Returns a node that the EdgeModel selects."""
    node = raw("Node", name, version, **fields)
    node["metadata"]["labels"] = {"edge": "camera"}
    return node


def make() -> tuple[ClusterCache, list[Key]]:
    changed: list[Key] = []
    return ClusterCache(SETTINGS, changed.append), changed


def test_an_older_event_does_not_undo_what_our_own_write_answered() -> None:
    cache, _ = make()
    cache.see({**model(5), "status": {"stableRevision": "new"}})
    cache.see({**model(4), "status": {"stableRevision": "old"}})
    observation = cache.observe(("vision", "m"))
    assert isinstance(observation, Observation)
    assert observation.status.stable_revision == "new"
    assert observation.stored_status == {"stableRevision": "new"}


def test_a_listing_prunes_what_is_gone_and_keeps_what_is_newer_than_itself() -> None:
    cache, _ = make()
    cache.see(model(1))
    cache.see(revision("m-gone", 2))
    cache.see(revision("m-kept", 3))
    cache.see(revision("m-new", 9))
    cache.prune("EdgeModelRevision", [revision("m-kept", 3)], listed_at=5)
    observation = cache.observe(("vision", "m"))
    assert isinstance(observation, Observation)
    assert {item.name for item in observation.revisions} == {"m-kept", "m-new"}


def test_a_heartbeat_of_a_node_starts_no_pass() -> None:
    cache, changed = make()
    cache.see(model(1))
    ready = {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "1"}]}
    cache.see(camera("camera-1", 2, status=ready))
    changed.clear()
    beat = {"conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2"}]}
    cache.see(camera("camera-1", 3, status=beat))
    assert not changed
    lost = {"conditions": [{"type": "Ready", "status": "Unknown"}]}
    cache.see(camera("camera-1", 4, status=lost))
    assert changed == [("vision", "m")]


def test_a_node_wakes_the_models_that_select_it_or_did_before_its_labels_changed() -> None:
    cache, changed = make()
    cache.see(model(1))
    other = raw("EdgeModel", "other", 2, spec=model_spec(placement={"nodeSelector": {"edge": "gateway"}}))
    cache.see(other)
    node = raw("Node", "camera-1", 3)
    node["metadata"]["labels"] = {"edge": "camera"}
    changed.clear()
    cache.see(node)
    assert changed == [("vision", "m")]
    node = raw("Node", "camera-1", 4)
    node["metadata"]["labels"] = {"edge": "gateway"}
    changed.clear()
    cache.see(node)
    assert sorted(changed) == [("vision", "m"), ("vision", "other")]


def test_when_a_node_was_last_away_is_remembered_and_when_the_api_server_was() -> None:
    moments = [datetime(2026, 1, 1, 0, minute, tzinfo=UTC) for minute in range(10)]
    clock = iter(moments)
    cache = ClusterCache(SETTINGS, lambda _: None, lambda: next(clock))

    def seen(name: str, version: int, ready: str) -> tuple[dict[str, datetime], datetime | None]:
        conditions = [{"type": "Ready", "status": ready, "lastTransitionTime": "2020-01-01T00:00:00Z"}]
        cache.see(raw("Node", name, version, status={"conditions": conditions}))
        observation = cache.observe(("vision", "m"))
        assert isinstance(observation, Observation)
        return dict(observation.back_since), observation.api_back_since

    cache.see(model(1))
    assert seen("camera-1", 2, "True") == ({}, None)
    assert seen("camera-1", 3, "Unknown") == ({}, None)
    assert seen("camera-1", 4, "True") == ({"camera-1": moments[0]}, None)
    cache.api_is_back()
    assert seen("camera-2", 5, "True") == ({"camera-1": moments[0]}, moments[1])
    cache.forget(raw("Node", "camera-1", 6))
    assert seen("camera-1", 7, "True") == ({}, moments[1])


def test_a_deleted_model_is_looked_at_once_more_so_that_its_pins_are_swept() -> None:
    cache, changed = make()
    cache.see(model(1))
    changed.clear()
    cache.forget(model(2))
    assert ("vision", "m") in changed
    assert cache.observe(("vision", "m")) is None
    cache.see(pinned_node("camera-1", 3, pin_key("vision", "m", "m-1", "default")))
    assert cache.stray_labels() == {"camera-1": {pin_key("vision", "m", "m-1", "default")}}


def test_the_deletion_of_a_recreated_object_arrives_late() -> None:
    cache, _ = make()
    cache.see(model(1))
    cache.see(revision("m-1", 7))
    cache.forget(revision("m-1", 5))
    observation = cache.observe(("vision", "m"))
    assert isinstance(observation, Observation)
    assert [item.name for item in observation.revisions] == ["m-1"]


def pod(version: int, **meta: Any) -> dict[str, Any]:
    made = raw("Pod", "m-1", version, spec={"nodeName": "camera-1"})
    labels = {LABEL_COMPONENT: COMPONENT_SERVER, LABEL_REVISION: "m-1", LABEL_VARIANT: "default"}
    owner = {"kind": "DaemonSet", "name": "m-1-default", "uid": "uid", "controller": True}
    made["metadata"] = {
        **made["metadata"],
        "ownerReferences": [owner],
        **meta,
        "labels": {LABEL_MODEL: "m", **labels},
    }
    return made


def test_when_a_node_lost_its_pod_is_remembered_until_the_revision_goes() -> None:
    times = iter([datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)])
    cache = ClusterCache(SETTINGS, lambda _: None, lambda: next(times))
    cache.see(model(1))
    cache.see(revision("m-1", 2))
    cache.see(pod(3))
    cache.see(pod(4, deletionTimestamp="2026-01-01T00:00:00Z"))
    cache.forget(pod(5))
    observation = cache.observe(("vision", "m"))
    assert isinstance(observation, Observation)
    assert observation.pods_lost == {("camera-1", "m-1", "default"): datetime(2026, 1, 2, tzinfo=UTC)}
    cache.forget(revision("m-1", 6))
    observation = cache.observe(("vision", "m"))
    assert isinstance(observation, Observation)
    assert not observation.pods_lost


def test_a_service_without_our_label_takes_the_name_until_it_is_gone() -> None:
    cache, changed = make()
    cache.see(model(1))
    service = raw("Service", "m", 2)
    service["metadata"]["labels"] = {"app": "somebody-else"}
    cache.see(service)
    observation = cache.observe(("vision", "m"))
    assert isinstance(observation, Observation)
    assert observation.service_name_conflict
    changed.clear()
    cache.forget(service)
    assert changed == [("vision", "m")]
    observation = cache.observe(("vision", "m"))
    assert isinstance(observation, Observation)
    assert not observation.service_name_conflict


def served_revision(version: int) -> dict[str, Any]:
    return raw("EdgeModelRevision", "m-1", version, spec=revision_spec(port=9000))


def test_prometheus_gets_every_server_with_the_clusters_facts_about_it() -> None:
    cache, _ = make()
    cache.see(model(1))
    cache.see(served_revision(2))
    cache.see({**pod(3), "status": {"podIP": "198.18.1.7"}})
    (target,) = scrape_targets(cache)
    assert target["targets"] == ["198.18.1.7:9000"]
    labels = {"namespace": "vision", "model": "m", "revision": "m-1", "variant": "default", "node": "camera-1"}
    assert target["labels"] == {"job": "edgemodel-servers", "pod": "m-1", **labels}
    cache.see({**pod(4), "status": {"podIP": "fd00:10:244::7"}})
    (target,) = scrape_targets(cache)
    assert target["targets"] == ["[fd00:10:244::7]:9000"]


@pytest.mark.parametrize(
    "owners",
    [
        [],
        [{"kind": "DaemonSet", "name": "somebody-elses", "uid": "uid", "controller": True}],
        [{"kind": "DaemonSet", "name": "m-1-default", "uid": "uid"}],
        [{"kind": "ReplicaSet", "name": "m-1-default", "uid": "uid", "controller": True}],
    ],
)
def test_a_pod_that_only_carries_our_labels_is_ignored(owners: list[dict[str, Any]]) -> None:
    cache, _ = make()
    cache.see(model(1))
    cache.see(served_revision(2))
    cache.see({**pod(3, ownerReferences=owners), "status": {"podIP": "198.18.1.7"}})
    observation = cache.observe(("vision", "m"))
    assert isinstance(observation, Observation)
    assert observation.pods == ()
    assert scrape_targets(cache) == []


def test_a_preflight_job_is_not_a_compression_job() -> None:
    """The memory of a compression is its Jobs: those of another name are deleted."""
    cache, changed = make()
    cache.see(model(1))
    preflight = raw("Job", "m-5f1c-0a1b2c3d-1", 2)
    preflight["metadata"]["labels"][LABEL_COMPONENT] = COMPONENT_PREFLIGHT
    cache.see(preflight)
    cache.see(raw("Job", "m-91ab-1", 3))
    pod = raw("Pod", "m-5f1c-0a1b2c3d-1-x", 4)
    pod["metadata"]["labels"][LABEL_COMPONENT] = COMPONENT_PREFLIGHT
    pod["metadata"]["ownerReferences"] = [{"kind": "Job", "uid": "uid-m-5f1c-0a1b2c3d-1"}]
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "not yet"}}
    changed.clear()
    cache.see({**pod, "status": {"containerStatuses": [{"state": waiting}]}})
    assert changed == [("vision", "m")]
    observation = cache.observe(("vision", "m"))
    assert isinstance(observation, Observation)
    assert [(job.name, job.waits_for) for job in observation.preflights] == [
        ("m-5f1c-0a1b2c3d-1", "the node cannot pull the image: ErrImagePull: not yet")
    ]
    assert [job.name for job in observation.jobs] == ["m-91ab-1"]
    assert not observation.pods


def calls(act: Callable[[], object]) -> int:
    """Returns the number of calls of Python functions in ``act``, including built-in ones."""
    count = 0

    def tick(_frame: object, event: str, _arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(tick)
    try:
        act()
    finally:
        sys.setprofile(None)
    return count


def large(nodes: int, models: int) -> tuple[ClusterCache, list[dict[str, Any]]]:
    """Returns a cluster in which each of ``models`` serves on all nodes, with its pods."""
    cache, pods, version = make()[0], [], 0
    for number in range(nodes):
        version += 1
        cache.see(camera(f"camera-{number}", version))
    for number in range(models):
        name = f"m-{number}"
        cache.see(raw("EdgeModel", name, version, spec=model_spec(serving={"hostPort": 30000 + number})))
        for node in range(nodes):
            version += 1
            made = pod(version, name=f"{name}-{node}")
            made["metadata"]["labels"][LABEL_MODEL] = name
            made["spec"] = {"nodeName": f"camera-{node}"}
            cache.see(made)
            pods.append(made)
    return cache, pods


def test_to_observe_one_model_costs_nothing_for_the_objects_of_others() -> None:
    few, many = large(20, 2)[0], large(20, 20)[0]
    for cache in (few, many):
        cache.observe(("vision", "m-0"))  # the tuple of nodes is made once
    assert calls(lambda: many.observe(("vision", "m-0"))) == calls(lambda: few.observe(("vision", "m-0")))


@pytest.mark.parametrize(
    "act",
    [
        lambda cache, pods: cache.prune("Pod", [], 10**9),
        lambda cache, pods: [cache.forget(item) for item in pods],
        lambda cache, pods: [cache.set_progress("vision", item["metadata"]["name"], STEP) for item in pods],
        lambda cache, pods: [cache.see(item) for item in pods],
    ],
    ids=["prune", "forget", "set_progress", "see"],
)
def test_a_pod_costs_no_more_among_many(act: Callable[[ClusterCache, list[dict[str, Any]]], object]) -> None:
    few, many = large(50, 2), large(200, 4)
    times = len(many[1]) / len(few[1])
    assert calls(lambda: act(*many)) < 1.2 * times * calls(lambda: act(*few))
