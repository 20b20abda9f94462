"""A serving model in the state in which an operator of schema version 1 left it: nothing of it is touched.

The stored objects are made from a simulated rollout and the operator's own objects, and read as after an upgrade, when
the API server has dropped all fields that the new schema does not have.
"""

import logging
from datetime import timedelta
from typing import Any, cast

import pytest

from edge_operator import objects
from edge_operator.cluster import Cluster
from edge_operator.cluster_cache import ClusterCache, Key
from edge_operator.decide.artifact.registry_gc import TaggedImage
from edge_operator.decide.observation import Observation
from edge_operator.decide.status.suspension import SuspendedModel
from edge_operator.metrics import Metrics
from edge_operator.reconcile import Reconciler
from edge_operator.registry_gc import in_use
from edge_operator.work_queue import WorkQueue
from edgemodel import reasons
from edgemodel.names import API_VERSION, LABEL_MODEL, pin_key
from tests.support.simulation import SETTINGS, Simulation

pytestmark = pytest.mark.slow

KEY = ("vision", "m")
TIME = "2026-01-01T00:00:00Z"
USER = {"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:spec": {"f:source": {"f:uri": {}}}}}
USED_VALIDATION = {"manager": "kubectl", "operation": "Apply", "fieldsV1": {"f:spec": {"f:validation": {}}}}


class ApiServer:
    """An API server that keeps objects, and records writes."""

    def __init__(self, cache: ClusterCache) -> None:
        self.cache = cache
        self.stored: dict[tuple[str, str], dict[str, Any]] = {}
        self.writes: list[str] = []
        self.version = 0

    def store(self, raw: dict[str, Any]) -> None:
        self.version += 1
        meta = {"uid": f"uid-{raw['metadata']['name']}", "creationTimestamp": TIME, **raw["metadata"]}
        meta["resourceVersion"] = str(self.version)
        self.stored[raw["kind"], meta["name"]] = made = {**raw, "metadata": meta}
        self.cache.see(made)

    async def create(self, body: Any) -> Any:
        self.writes.append(f"create {body['kind']}")
        return body

    async def merge(self, _version: str, kind: str, _space: str, name: str, body: Any, part: str = "") -> Any:
        self.writes.append(f"patch {kind}/{part} {','.join(sorted(body['status']))}")
        before = self.stored[kind, name]
        self.store({**before, "status": {**before["status"], **body["status"]}})
        return self.stored[kind, name]

    async def delete(self, _version: str, kind: str, _space: str, name: str) -> None:
        self.writes.append(f"delete {kind} {name}")


class Upgraded:
    """The new operator, which has just started, with a serving model and a rollout of another in progress."""

    def __init__(self, user: dict[str, Any] = USER, *, drop_marks: bool = True) -> None:
        self.before = Simulation.with_nodes(3)
        self.before.run(400)
        self.stable = self.before.target()
        self.before.new_source("b")
        self.before.run(25)
        self.cache = ClusterCache(SETTINGS, lambda _: None)
        self.server = ApiServer(self.cache)
        self._store_nodes()
        self.store_model(user, drop_marks=drop_marks)
        for revision in self.before.revisions.values():
            made = objects.revision(self.before.observe(), revision.name, revision.spec)
            if drop_marks:
                del made["spec"]["schemaVersion"]
            self.server.store(made)
            for variant in ("default",):
                self.server.store(objects.daemonset(self.before.observe(), revision, variant))
        queue: WorkQueue[Key] = WorkQueue()
        self.reconciler = Reconciler(cast(Cluster, self.server), self.cache, queue, Metrics(), lambda: True)

    def _store_nodes(self) -> None:
        for node in self.before.nodes.values():
            labels = {**node.labels, **dict.fromkeys(node.pins | node.deferrals, "true")}
            status = {"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": TIME}]}
            self.server.store({"kind": "Node", "metadata": {"name": node.name, "labels": labels}, "status": status})

    def store_model(self, user: dict[str, Any], *, drop_marks: bool = True) -> None:
        meta = {"namespace": "vision", "name": "m", "generation": self.before.generation, "managedFields": [user]}
        status = {key: v for key, v in self.before.status.items() if not (drop_marks and key == "schemaVersion")}
        self.server.store(
            {
                "apiVersion": API_VERSION,
                "kind": "EdgeModel",
                "metadata": meta,
                "spec": self.before.spec,
                "status": status,
            }
        )

    async def work(self) -> None:
        for _ in range(3):
            await self.reconciler.run_pass(KEY)
            await self.reconciler.sweep_pins()

    def stalled(self) -> dict[str, Any]:
        conditions = self.server.stored["EdgeModel", "m"]["status"]["conditions"]
        (found,) = [item for item in conditions if item["type"] == "Stalled"]
        return dict(found)


async def test_an_upgrade_in_the_middle_of_a_rollout_touches_nothing_and_says_why() -> None:
    upgraded = Upgraded()
    assert len(upgraded.before.revisions) == 2
    pinned = {node.name: node.pins for node in upgraded.cache.nodes}
    await upgraded.work()
    assert upgraded.server.writes == ["create Event", "patch EdgeModel/status conditions"]
    assert {node.name: node.pins for node in upgraded.cache.nodes} == pinned
    assert upgraded.stalled()["reason"] == reasons.SCHEMA_OUTDATED
    for name in upgraded.before.revisions:
        assert name in upgraded.stalled()["message"]
    status = upgraded.server.stored["EdgeModel", "m"]["status"]
    assert (status["stableRevision"], status["candidateRevision"]) == (upgraded.stable, upgraded.before.target())
    assert "schemaVersion" not in status


async def test_a_dropped_field_is_reported_with_its_new_name(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        upgraded = Upgraded(USED_VALIDATION)
        await upgraded.work()
    assert "spec.validation -> spec.preflight" in upgraded.stalled()["message"]
    assert "EdgeModel vision/m cannot be read" in caplog.text
    assert "spec.validation -> spec.preflight" in caplog.text


def test_its_images_stay_in_the_registry() -> None:
    used = in_use(Upgraded().cache)
    assert TaggedImage("vision/m", "sha256:" + "7" * 64, ()) in used
    assert TaggedImage("vision/n", "sha256:" + "7" * 64, ()) not in used


async def test_another_model_continues_and_a_pin_of_a_deleted_one_is_swept() -> None:
    upgraded = Upgraded()
    stray = pin_key("vision", "gone", "gone-1", "default")
    labels = {"edge": "camera", stray: "true"}
    upgraded.server.store({"kind": "Node", "metadata": {"name": "camera-9", "labels": labels}})
    other = {"namespace": "vision", "name": "other", "generation": 1, "labels": {LABEL_MODEL: "other"}}
    upgraded.server.store({"kind": "EdgeModel", "metadata": other, "spec": upgraded.before.spec})
    assert isinstance(upgraded.cache.observe(("vision", "other")), Observation)
    assert upgraded.cache.stray_labels() == {"camera-9": {stray}}


async def test_it_continues_once_its_manifest_and_its_revisions_have_the_new_schema() -> None:
    upgraded = Upgraded(USED_VALIDATION)
    await upgraded.work()
    upgraded.store_model(USER)
    assert isinstance(upgraded.cache.observe(KEY), SuspendedModel)
    for name in upgraded.before.revisions:
        upgraded.cache.forget({"kind": "EdgeModelRevision", "metadata": {"namespace": "vision", "name": name}})
    observation = upgraded.cache.observe(KEY)
    assert isinstance(observation, Observation)
    assert observation.revisions == ()


async def test_an_operator_that_finds_its_own_marks_continues_the_rollout() -> None:
    upgraded = Upgraded(drop_marks=False)
    observation = upgraded.cache.observe(KEY)
    assert isinstance(observation, Observation)
    assert {revision.name for revision in observation.revisions} == set(upgraded.before.revisions)
    assert upgraded.before.now - timedelta(seconds=425) == Simulation().now
