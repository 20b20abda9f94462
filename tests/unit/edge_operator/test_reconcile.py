"""One pass against an API server with arbitrary answers."""

import asyncio
from typing import Any, cast

import pytest

from edge_operator.cluster import ApiError, Cluster
from edge_operator.cluster_cache import ClusterCache, Key
from edge_operator.decide.actions import DeleteDaemonSet, SetPins
from edge_operator.metrics import Metrics
from edge_operator.reconcile import MAX_RETRY_SECONDS, Reconciler, every
from edge_operator.work_queue import WorkQueue
from edge_operator.writes import DeleteObject, PatchNode
from edgemodel.names import PIN_PREFIX
from tests.support.simulation import SETTINGS

PIN = PIN_PREFIX + "0" * 40


class ApiServer:
    """An API server that answers patches of nodes: with an error if it is told so, otherwise later, with the node as it
    is then."""

    def __init__(self, **errors: int) -> None:
        self.errors = errors
        self.patched: list[str] = []

    async def pages(self, _version: str, kind: str, _selector: str = "") -> Any:
        items = [{"metadata": {"name": "broken", "resourceVersion": "1"}}, node("fine", 2, {})]
        yield {"metadata": {"resourceVersion": "3"}, "items": items if kind == "Node" else []}

    async def merge(self, _version: str, kind: str, _namespace: str, name: str, body: Any, _part: str = "") -> Any:
        if name in self.errors:
            raise ApiError(self.errors[name], "no")
        await asyncio.sleep(0)
        self.patched.append(name)
        return node(name, 9, body["metadata"]["labels"])


def node(name: str, version: int, labels: dict[str, str | None]) -> dict[str, Any]:
    found = {key: value for key, value in labels.items() if value is not None}
    meta = {"name": name, "uid": name, "resourceVersion": str(version), "labels": found}
    return {"kind": "Node", "metadata": meta}


def make(server: ApiServer) -> tuple[ClusterCache, Reconciler]:
    """Returns two nodes with the pin of a deleted model."""
    cache = ClusterCache(SETTINGS, lambda _: None)
    for name in ("first", "second"):
        cache.see(node(name, 1, {PIN: "true"}))
    queue: WorkQueue[Key] = WorkQueue()
    return cache, Reconciler(cast(Cluster, server), cache, queue, Metrics(), lambda: True)


async def test_a_refused_node_neither_keeps_others_from_their_pins_nor_leaves_a_patch_in_progress() -> None:
    server = ApiServer(first=500)
    cache, reconciler = make(server)
    with pytest.raises(ApiError, match="500"):
        await reconciler.sweep_pins()
    assert server.patched == ["second"]
    assert [node.name for node in cache.nodes if node.pins] == ["first"]


async def test_a_node_that_the_api_server_does_not_know_is_forgotten() -> None:
    cache, reconciler = make(ApiServer(first=404))
    await reconciler.sweep_pins()
    assert [node.name for node in cache.nodes] == ["second"]


async def test_the_evidence_of_a_model_that_is_gone_is_told_no_longer() -> None:
    told: dict[Key, object] = {("vision", "m"): "evidence"}

    class Told(Metrics):
        def tell_evidence(self, model: tuple[str, str], revision: str | None, judged: object) -> None:
            told[model] = judged

    reconciler = Reconciler(
        cast(Cluster, ApiServer()), ClusterCache(SETTINGS, lambda _: None), WorkQueue(), Told(), lambda: True
    )
    await reconciler.run_pass(("vision", "m"))
    assert told == {("vision", "m"): ()}


async def test_one_object_that_cannot_be_read_hides_no_other() -> None:
    cache, reconciler = make(ApiServer())
    await reconciler.relist()
    assert "fine" in {node.name for node in cache.nodes}


async def test_a_refused_node_does_not_prevent_later_writes() -> None:
    server = ApiServer(first=500)
    _, reconciler = make(server)
    deleted: list[str] = []

    async def delete(_version: str, _kind: str, _namespace: str, name: str) -> None:
        deleted.append(name)

    server.delete = delete  # type: ignore[attr-defined]  # only this test deletes
    pins = [PatchNode(SetPins(name, remove=frozenset({PIN}))) for name in ("first", "second")]
    garbage = DeleteObject(DeleteDaemonSet("old"), "apps/v1", "DaemonSet", "vision", "old")
    with pytest.raises(ApiError, match="500"):
        await reconciler.carry_out([*pins, garbage])
    assert server.patched == ["second"]
    assert deleted == ["old"]


async def test_a_pass_that_has_failed_for_days_is_still_retried() -> None:
    delays: list[float] = []

    class Queue(WorkQueue[Key]):
        def add_after(self, key: Key, seconds: float) -> None:
            delays.append(seconds)
            self.add(key)

    class Broken(ClusterCache):
        def observe(self, key: Key) -> Any:
            if len(delays) == 2000:
                raise asyncio.CancelledError
            raise ApiError(500, "no")

    queue = Queue()
    cache = Broken(SETTINGS, lambda _: None)
    queue.add(("vision", "m"))
    with pytest.raises(asyncio.CancelledError):
        await Reconciler(cast(Cluster, None), cache, queue, Metrics(), lambda: True).work()
    assert delays[:3] == [1, 2, 4]
    assert delays[-1] == MAX_RETRY_SECONDS


async def test_an_unexpected_error_of_a_periodic_task_does_not_end_it() -> None:
    calls: list[int] = []

    async def fail() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise asyncio.CancelledError
        raise ValueError("unexpected")

    with pytest.raises(asyncio.CancelledError):
        await every(0, fail)
    assert len(calls) == 3
