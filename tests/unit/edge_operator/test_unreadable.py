"""An unreadable object stops what depends on it, and nothing else."""

import logging
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from prometheus_client import generate_latest

from edge_operator.cluster import Cluster
from edge_operator.cluster_cache import ClusterCache, Key
from edge_operator.decide.artifact.registry_gc import TaggedImage
from edge_operator.decide.observation import Observation
from edge_operator.decide.status.suspension import SuspendedModel, suspended_status
from edge_operator.metrics import Metrics
from edge_operator.reconcile import Reconciler
from edge_operator.registry_gc import in_use
from edge_operator.work_queue import WorkQueue
from edge_operator.writes import WriteStatus, plan_report
from edgemodel import reasons
from edgemodel.names import API_VERSION, LABEL_MODEL, deferral_key, pin_key, puller_of
from edgemodel.status import status_to_json
from tests.support import kstatus
from tests.support.revisions import revision_spec
from tests.support.simulation import SETTINGS, model_spec

NOW = datetime(2026, 1, 1, tzinfo=UTC)
IMAGE = "sha256:" + "1" * 64
STABLE = {"schemaVersion": 2, "stableRevision": "m-1", "nodes": {"selected": 1, "notReady": []}, "conditions": []}


def raw(kind: str, name: str, version: int = 1, model: str = "m", **fields: Any) -> dict[str, Any]:
    meta = {
        "name": name,
        "uid": f"uid-{name}",
        "resourceVersion": str(version),
        "creationTimestamp": "2026-01-01T00:00:00Z",
        "generation": 1,
        "labels": {LABEL_MODEL: model},
        **({} if kind == "Node" else {"namespace": "vision"}),
    }
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": meta, **fields}


def model(name: str = "m", version: int = 1, **status: Any) -> dict[str, Any]:
    return raw("EdgeModel", name, version, spec=model_spec(), status={**STABLE, **status})


def revision(name: str = "m-1", version: int = 1, model: str = "m", **spec: Any) -> dict[str, Any]:
    return raw(
        "EdgeModelRevision",
        name,
        version,
        model,
        spec=revision_spec({"fast": f"vision/{model}@{IMAGE}"}) | spec,
    )


def node(*labels: str, version: int = 1) -> dict[str, Any]:
    made = raw("Node", "camera-1", version)
    made["metadata"]["labels"] = dict.fromkeys(labels, "true")
    return made


def daemonset(name: str, *pins: str) -> dict[str, Any]:
    template = {"spec": {"nodeSelector": dict.fromkeys(pins, "true")}}
    return raw("DaemonSet", name, spec={"template": template})


def damaged(made: dict[str, Any]) -> dict[str, Any]:
    """Returns the object as another version would have written it: its spec holds nothing that is expected."""
    return {
        **made,
        "metadata": {**made["metadata"], "resourceVersion": "9"},
        "spec": {"schemaVersion": 2, "variants": "fast"},
    }


def make(*objects: dict[str, Any]) -> tuple[ClusterCache, list[Key]]:
    changed: list[Key] = []
    cache = ClusterCache(SETTINGS, changed.append)
    for item in objects:
        cache.see(item)
    return cache, changed


def suspended(cache: ClusterCache, key: Key = ("vision", "m")) -> SuspendedModel:
    observation = cache.observe(key)
    assert isinstance(observation, SuspendedModel)
    return observation


@pytest.mark.parametrize("kind", ["EdgeModel", "EdgeModelRevision", "Job", "Pod"])
def test_a_model_with_an_unreadable_object_is_suspended_and_no_other(kind: str) -> None:
    broken = {
        "EdgeModel": damaged(model()),
        "EdgeModelRevision": damaged(revision()),
        "Job": raw("Job", "m-job", metadata_is="incomplete"),
        "Pod": raw("Pod", "m-pod"),
    }[kind]
    if kind in ("Job", "Pod"):
        del broken["metadata"]["creationTimestamp"]
    cache, _ = make(model(), revision(), model("other"), broken)
    assert [(item.kind, item.reason) for item in suspended(cache).unreadable] == [(kind, reasons.OBJECT_UNREADABLE)]
    assert isinstance(cache.observe(("vision", "other")), Observation)


@pytest.mark.parametrize(
    "status",
    [
        {"rejectedRevisions": [{"name": "m-0"}]},
        {"rollout": {"wave": 0, "waveStartedAt": "yesterday"}},
        {"conditions": [{"type": "Ready"}]},
        {"conditions": ["Ready"]},
    ],
    ids=["rejections", "rollout", "conditions", "words"],
)
def test_a_status_that_no_pass_could_go_on_from_suspends_its_model(status: dict[str, Any]) -> None:
    cache, _ = make(model(**status), model("other"))
    assert [item.reason for item in suspended(cache).unreadable] == [reasons.OBJECT_UNREADABLE]
    _, write = plan_report(suspended(cache), suspended_status(suspended(cache), NOW), NOW)
    assert isinstance(write, WriteStatus)
    assert [item["type"] for item in write.status["conditions"]] == ["Ready", "Stalled"]
    assert isinstance(cache.observe(("vision", "other")), Observation)


def test_a_suspended_model_continues_when_its_object_is_readable_or_gone() -> None:
    cache, changed = make(model(), damaged(revision()))
    suspended(cache)
    changed.clear()
    cache.see(revision(version=10))
    assert changed
    assert isinstance(cache.observe(("vision", "m")), Observation)
    cache.see(damaged(revision("m-2")))
    suspended(cache)
    changed.clear()
    cache.forget(revision("m-2", version=11))
    assert ("vision", "m") in changed
    assert isinstance(cache.observe(("vision", "m")), Observation)


def test_an_older_readable_version_does_not_cure_it() -> None:
    cache, _ = make(model(), damaged(revision()))
    cache.see(revision(version=2))
    suspended(cache)


def test_an_unreadable_model_is_reported_and_one_being_deleted_is_not() -> None:
    cache, _ = make(damaged(model(observedGeneration=1)))
    assert suspended(cache).stored_status["stableRevision"] == "m-1"
    going = damaged(model())
    going["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": "10"}
    cache.see(going)
    assert cache.observe(("vision", "m")) is None


def test_the_status_of_a_suspended_model_names_object_and_cure_and_keeps_the_rest() -> None:
    available = {
        "type": "Available",
        "status": "True",
        "reason": "Serving",
        "message": "1 of 1 selected nodes serve",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    cache, _ = make(model(conditions=[available, {**available, "type": "Reconciling"}]), damaged(revision()))
    status = status_to_json(suspended_status(suspended(cache), NOW))
    assert status.keys() == {"observedGeneration", "operatorVersion", "conditions"}
    conditions = {item["type"]: item for item in status["conditions"]}
    assert conditions.keys() == {"Ready", "Stalled", "Available"}
    assert conditions["Available"] == available
    assert (conditions["Ready"]["status"], conditions["Stalled"]["status"]) == ("False", "True")
    assert conditions["Stalled"]["reason"] == reasons.OBJECT_UNREADABLE
    message = conditions["Stalled"]["message"]
    assert message.startswith("EdgeModelRevision vision/m-1 cannot be read: spec lacks ")
    assert "serving, source, specHash; run" in message
    assert kstatus.compute({"metadata": {"generation": 1}, "status": status}) == kstatus.FAILED


def test_the_log_names_it_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        cache, _ = make(damaged(revision()))
        cache.see(damaged(revision()))
    assert [record.message for record in caplog.records] == [str(cache.unreadable[0])]
    assert "EdgeModelRevision vision/m-1 cannot be read" in caplog.text


def test_a_metric_counts_what_cannot_be_read() -> None:
    cache, _ = make(damaged(revision()))
    metrics = Metrics()
    metrics.watch_unreadable(lambda: cache.unreadable)
    labels = 'kind="EdgeModelRevision",name="m-1",namespace="vision",reason="ObjectUnreadable"'
    line = f"edgemodel_operator_unreadable_objects{{{labels}}} 1.0"
    assert line in generate_latest(metrics.registry).decode().splitlines()
    cache.see(revision(version=10))
    assert line not in generate_latest(metrics.registry).decode().splitlines()


STRAY = pin_key("vision", "gone", "gone-1", "default")


@pytest.mark.parametrize(
    "kept",
    [
        pin_key("vision", "m", "m-1", "fast"),
        pin_key("vision", "m", "m-1", puller_of("fast")),
        pin_key("vision", "m", "m-1", "default"),
        pin_key("vision", "m", "m-0", "default"),
        deferral_key("vision", "m", "m-1"),
    ],
    ids=["variant", "puller", "default", "rejected", "deferral"],
)
def test_pins_of_models_that_are_gone_are_swept_and_those_of_an_unreadable_one_kept(kept: str) -> None:
    broken = damaged(model())
    broken["spec"] = {"variants": [{"name": "fast"}]}
    broken["status"] = {"stableRevision": "m-1", "candidateRevision": 7, "rejectedRevisions": [{"name": "m-0"}, "m-9"]}
    cache, _ = make(broken, node(kept, STRAY))
    assert cache.stray_labels() == {"camera-1": {STRAY}}


def test_a_revision_whose_variants_cannot_be_read_keeps_the_pins_that_its_daemonsets_select() -> None:
    """A pin is a hash that does not show its variant."""
    pin = pin_key("vision", "m", "m-1", "unknown")
    cache, _ = make(model(), damaged(revision()), daemonset("m-1-unknown", pin), node(pin, STRAY))
    assert cache.stray_labels() == {"camera-1": {STRAY}}


def test_an_unreadable_node_keeps_its_pins_and_suspends_no_model() -> None:
    cache, _ = make(model(), revision(), node(STRAY))
    broken = node(STRAY, version=9)
    broken["status"] = {"conditions": [{"status": "True"}]}
    cache.see(broken)
    assert cache.stray_labels() == {}
    assert isinstance(cache.observe(("vision", "m")), Observation)


async def test_a_model_that_is_gone_is_swept_while_another_cannot_be_read() -> None:
    class ApiServer:
        async def merge(self, _version: str, _kind: str, _space: str, _name: str, body: Any, _part: str = "") -> Any:
            assert body == {"metadata": {"labels": {STRAY: None}}}
            return node(version=20)

    cache, _ = make(damaged(model()), node(STRAY, version=2))
    queue: WorkQueue[Key] = WorkQueue()
    await Reconciler(cast(Cluster, ApiServer()), cache, queue, Metrics(), lambda: True).sweep_pins()
    assert cache.stray_labels() == {}


async def test_a_suspended_model_gets_a_status_an_event_and_no_other_write() -> None:
    class ApiServer:
        def __init__(self) -> None:
            self.writes: list[str] = []

        async def create(self, body: Any) -> Any:
            self.writes.append(f"create {body['kind']} {body['reason']}")

        async def merge(self, _version: str, kind: str, _space: str, _name: str, body: Any, part: str = "") -> Any:
            self.writes.append(f"patch {kind}/{part} {sorted(body['status'])}")
            return damaged({**model(), "status": {**STABLE, **body["status"]}})

    server = ApiServer()
    cache, _ = make(damaged(model()), revision(), node(pin_key("vision", "m", "m-1", "fast")))
    queue: WorkQueue[Key] = WorkQueue()
    reconciler = Reconciler(cast(Cluster, server), cache, queue, Metrics(), lambda: True)
    for _ in range(2):
        await reconciler.run_pass(("vision", "m"))
        await reconciler.sweep_pins()
    assert server.writes == [
        "create Event ObjectUnreadable",
        "patch EdgeModel/status ['conditions', 'observedGeneration', 'operatorVersion']",
    ]


def image(repository: str, letter: str) -> TaggedImage:
    return TaggedImage(repository, f"sha256:{letter * 64}", ())


def test_the_registry_keeps_every_image_of_an_unreadable_model_and_collects_the_others() -> None:
    cache, _ = make(model(), damaged(revision()), model("other"), revision("other-1", model="other"))
    used = in_use(cache)
    assert image("vision/m", "7") in used
    assert image("vision/other", "1") in used
    assert image("vision/other", "7") not in used


def test_a_revision_that_names_no_model_keeps_the_images_of_its_namespace() -> None:
    broken = damaged(revision())
    broken["metadata"]["labels"] = {}
    cache, _ = make(broken)
    used = in_use(cache)
    assert image("vision/m", "7") in used
    assert image("audio/m", "7") not in used
