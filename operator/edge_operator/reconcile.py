"""One pass: observe, decide, plan the writes, make them. After a kill at any call, the next pass continues
correctly."""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, TypeVar, assert_never

from edge_operator.cluster import ApiError, Cluster
from edge_operator.cluster_cache import WATCHED, ClusterCache, Key
from edge_operator.decide import decide
from edge_operator.decide.actions import SetPins
from edge_operator.decide.status.suspension import SuspendedModel, suspended_status
from edge_operator.metrics import Metrics
from edge_operator.objects import Object
from edge_operator.work_queue import WorkQueue
from edge_operator.writes import (
    ApplyObject,
    CreateObject,
    CreateReplaySecret,
    DeleteObject,
    PatchNode,
    TellEvent,
    Write,
    WriteRevisionStatus,
    WriteStatus,
    plan_report,
    plan_writes,
)
from edgemodel.names import API_VERSION

log = logging.getLogger(__name__)

T = TypeVar("T")

MIN_RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 60.0
MAX_DOUBLINGS = 10
"""The number of doublings after which a retry waits as long as it ever does: a pass may fail for days."""
PATCHES_IN_FLIGHT = 48
PASS_LIMIT_SECONDS = 600
NOT_LEADING_SECONDS = 2


class Reconciler:
    """The worker that runs passes, and makes their writes."""

    def __init__(
        self,
        cluster: Cluster,
        cache: ClusterCache,
        queue: WorkQueue[Key],
        metrics: Metrics,
        leads: Callable[[], bool],
        reasons_url: str = "",
    ) -> None:
        """Begins passes only while ``leads`` says that this process still holds the lease.

        ``reasons_url`` is the page that conditions and events link to; empty: there are no links.
        """
        self._cluster, self._cache, self._queue, self._metrics = cluster, cache, queue, metrics
        self._leads, self._reasons_url = leads, reasons_url
        self._began: dict[Key, float] = {}
        self._failures: dict[Key, int] = {}
        self._nodes = asyncio.Semaphore(PATCHES_IN_FLIGHT)

    def stuck(self) -> bool:
        """True if a pass has been running for longer than any should."""
        return any(time.monotonic() - began > PASS_LIMIT_SECONDS for began in self._began.values())

    async def work(self) -> None:
        """Takes keys for ever; several of these may run side by side."""
        while True:
            key = await self._queue.get()
            self._began[key] = time.monotonic()
            try:
                if not self._leads():
                    self._queue.add_after(key, NOT_LEADING_SECONDS)
                    continue
                with self._metrics.reconcile_duration.time():
                    await self.run_pass(key)
                self._failures.pop(key, None)
            except ApiError as error:
                if not error.namespace_ends:
                    self._retry(key, error)
            except Exception:
                log.exception("pass of %s/%s failed", *key)
                self._retry(key, None)
            finally:
                self._began.pop(key, None)
                self._queue.done(key)

    async def run_pass(self, key: Key) -> None:
        """Runs one pass over an EdgeModel; for one that is gone, removes its pins. Raises ApiError for the first
        refused write."""
        observation = self._cache.observe(key)
        if observation is None:
            self._metrics.tell_evidence(key, None, ())
            await self.sweep_pins()
            return
        now = datetime.now(UTC)
        if isinstance(observation, SuspendedModel):
            self._metrics.tell_evidence(key, None, ())
            await self.carry_out(plan_report(observation, suspended_status(observation, now), now, self._reasons_url))
            return
        decision = decide(observation, now)
        self._metrics.tell_evidence(key, decision.status.candidate_revision, decision.judged)
        await self.carry_out(plan_writes(observation, decision, now, self._reasons_url))
        if decision.wake_at is not None:
            self._queue.add_after(key, (decision.wake_at - datetime.now(UTC)).total_seconds() + 0.05)

    async def sweep_pins(self) -> None:
        """Removes the pins of models that are gone."""
        strays = self._cache.stray_labels().items()
        await self.carry_out([PatchNode(SetPins(node, remove=labels)) for node, labels in strays])

    async def relist(self) -> None:
        """Stores all existing objects, and removes the others, because a watch may have had a gap."""
        for watched in WATCHED:
            seen, listed_at = [], 0
            async for page in self._cluster.pages(watched.api_version, watched.kind, watched.label):
                listed_at = int(page["metadata"]["resourceVersion"])
                for item in page["items"]:
                    raw = {"apiVersion": watched.api_version, "kind": watched.kind, **item}
                    seen.append({"kind": watched.kind, "metadata": raw["metadata"]})
                    self._cache.see(raw)
            self._cache.prune(watched.kind, seen, listed_at)

    # --- carry out ---

    async def carry_out(self, writes: Sequence[Write]) -> None:
        """Makes ``writes`` in order, and adjacent writes of nodes at the same time.

        A refused write of a node keeps no other node from its pins, and no later write from being made: the first
        refusal is raised at the end, once all nodes have answered, because a late patch would undo what the next pass
        decides.
        """
        refusals: list[BaseException] = []
        for are_nodes, group in groupby(writes, lambda write: isinstance(write, PatchNode)):
            if are_nodes:
                patches = [self._patch_node(write) for write in group if isinstance(write, PatchNode)]
                answers = await asyncio.gather(*patches, return_exceptions=True)
                refusals += [answer for answer in answers if answer is not None]
            else:
                for write in group:
                    await self._write(write)
        if refusals:
            raise refusals[0]

    async def _write(self, write: Write) -> None:
        match write:
            case TellEvent(event):
                await self._tell(event)
            case WriteStatus():
                await self._write_status(write)
            case CreateObject(_, body):
                await self._create_once(body)
            case CreateReplaySecret():
                await self._create_secret(write.body(secrets.token_hex(32)))
            case ApplyObject(body):
                self._cache.see(await self._cluster.apply(body))
            case WriteRevisionStatus(_, namespace, name, changes):
                await self._merge_status("EdgeModelRevision", namespace, name, changes)
            case DeleteObject(_, api_version, kind, namespace, name):
                await self._cluster.delete(api_version, kind, namespace, name)
            case PatchNode():
                await self._patch_node(write)
            case _:
                assert_never(write)

    async def _tell(self, event: Object) -> None:
        try:
            await self._cluster.create(event)
        except ApiError as error:
            if error.status != 409:
                log.warning("event %s of %s: %s", event["reason"], event["involvedObject"]["name"], error)

    async def _write_status(self, write: WriteStatus) -> None:
        await self._merge_status("EdgeModel", write.namespace, write.name, write.changes)
        for check, verdict in write.verdicts:
            self._metrics.verdicts.labels(check, verdict).inc()
        for reason, message in write.transitions:
            log.info("%s/%s: %s: %s", write.namespace, write.name, reason, message)
            self._metrics.ready_transitions.labels(reason).inc()

    async def _merge_status(self, kind: str, namespace: str, name: str, changes: dict[str, Any]) -> None:
        self._cache.see(await self._cluster.merge(API_VERSION, kind, namespace, name, {"status": changes}, "status"))

    async def _create_secret(self, body: Object) -> None:
        try:
            await self._cluster.create(body)
        except ApiError as error:
            if error.status != 409:
                raise

    async def _create_once(self, body: Object) -> None:
        try:
            answer = await self._cluster.create(body)
        except ApiError as error:
            if error.status != 409:
                raise
            meta = body["metadata"]
            found = await self._cluster.get(body["apiVersion"], body["kind"], meta["name"], meta["namespace"])
            if found is None:
                raise
            answer = found
        self._cache.see(answer)

    async def _patch_node(self, write: PatchNode) -> None:
        node = write.action.node
        async with self._nodes:
            try:
                answer = await self._cluster.merge("v1", "Node", "", node, {"metadata": {"labels": write.labels}})
            except ApiError as error:
                if error.status == 404:
                    self._cache.forget_node(node)
                    return
                raise
        self._cache.see(answer)

    def _retry(self, key: Key, error: ApiError | None) -> None:
        count = self._failures[key] = self._failures.get(key, 0) + 1
        delay = min(MIN_RETRY_SECONDS * 2 ** min(count - 1, MAX_DOUBLINGS), MAX_RETRY_SECONDS)
        if error is not None:
            self._metrics.api_errors.labels(str(error.status)).inc()
            log.warning("pass of %s/%s: %s; again in %.0f s", *key, error, delay)
        self._queue.add_after(key, delay)


async def patiently(what: Callable[[], Awaitable[T]]) -> T:
    """Returns the result of ``what``, which is called again while the API server does not answer or refuses."""
    while True:
        try:
            return await what()
        except ApiError as error:
            log.warning("%s; again in %d s", error, NOT_LEADING_SECONDS)
            await asyncio.sleep(NOT_LEADING_SECONDS)


async def every(seconds: float, what: Callable[[], Awaitable[None]]) -> None:
    """Calls ``what`` for ever; an error is logged, and the next call is at its usual time."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await what()
        except ApiError as error:
            log.warning("%s", error)
        except Exception:
            log.exception("a periodic task failed; again in %.0f s", seconds)
