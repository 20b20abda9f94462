"""One pass: observe, decide, report, act. Killed at any call, the next pass goes on rightly.

The status that explains an action is written before the action is taken.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from edge_operator import objects
from edge_operator.cluster import ApiError, Cluster
from edge_operator.cluster_cache import WATCHED, ClusterCache, Key
from edge_operator.decide import decide
from edge_operator.decide.actions import (
    Action,
    DeleteDaemonSet,
    DeleteJob,
    DeleteRevision,
    EnsureDaemonSet,
    EnsureNetworkPolicies,
    EnsureService,
    RecordPreflight,
    RecordRevision,
    RecordVerdict,
    SetPins,
    StartJob,
    StartPreflight,
)
from edge_operator.decide.formats import timestamp
from edge_operator.decide.observation import Observation
from edge_operator.decide.status.suspension import SuspendedModel, suspended_status
from edge_operator.metrics import Metrics
from edge_operator.work_queue import WorkQueue
from edgemodel.digest import canonical_json
from edgemodel.names import ANNOTATION_APPLIED, API_VERSION, short_hash

log = logging.getLogger(__name__)

T = TypeVar("T")

MIN_RETRY_SECONDS = 1.0
MAX_RETRY_SECONDS = 60.0
PATCHES_IN_FLIGHT = 48
PASS_LIMIT_SECONDS = 600
NOT_LEADING_SECONDS = 2


class Reconciler:
    def __init__(
        self, cluster: Cluster, cache: ClusterCache, queue: WorkQueue[Key], metrics: Metrics, leads: Callable[[], bool]
    ) -> None:
        """``leads``: whether this process still holds the lease; without it no pass is begun."""
        self._cluster, self._cache, self._queue, self._metrics = cluster, cache, queue, metrics
        self._leads = leads
        self._began: dict[Key, float] = {}
        self._failures: dict[Key, int] = {}
        self._nodes = asyncio.Semaphore(PATCHES_IN_FLIGHT)

    def stuck(self) -> bool:
        """A pass has been running for longer than any should."""
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
        observation = self._cache.observe(key)
        if observation is None:
            await self.sweep_pins()
            return
        now = datetime.now(UTC)
        if isinstance(observation, SuspendedModel):
            await self._report(observation, suspended_status(observation, now), now)
            return
        decision = decide(observation, now)
        await self._report(observation, decision.status, now)
        pins = [action for action in decision.actions if isinstance(action, SetPins)]
        for action in decision.actions:
            if not isinstance(action, SetPins):
                await self._act(observation, action)
        await self._set_all_pins(pins)
        if decision.wake_at is not None:
            self._queue.add_after(key, (decision.wake_at - datetime.now(UTC)).total_seconds() + 0.05)

    async def sweep_pins(self) -> None:
        """Removes the pins of models that are gone."""
        await self._set_all_pins([SetPins(node, remove=labels) for node, labels in self._cache.stray_labels().items()])

    async def relist(self) -> None:
        """Sees everything that is there, and forgets what is not: a watch may have had a gap."""
        for watched in WATCHED:
            seen, listed_at = [], 0
            async for page in self._cluster.pages(watched.api_version, watched.kind, watched.label):
                listed_at = int(page["metadata"]["resourceVersion"])
                for item in page["items"]:
                    raw = {"apiVersion": watched.api_version, "kind": watched.kind, **item}
                    seen.append({"kind": watched.kind, "metadata": raw["metadata"]})
                    self._cache.see(raw)
            self._cache.prune(watched.kind, seen, listed_at)

    # --- report ---

    async def _report(self, observation: Observation | SuspendedModel, after: dict[str, Any], now: datetime) -> None:
        before = observation.status
        changes = {key: _patch(before.get(key), value) for key, value in after.items() if before.get(key) != value}
        if not changes:
            return
        news = _news(before, after)
        for item in news:
            await self._tell(_event(observation, item, now))
        answer = await self._cluster.merge(
            API_VERSION, "EdgeModel", observation.namespace, observation.name, {"status": changes}, "status"
        )
        self._cache.see(answer)
        for name, verdict in _new_verdicts(before, after):
            self._metrics.verdicts.labels(name, verdict).inc()
        for item in news:
            log.info("%s/%s: %s: %s", observation.namespace, observation.name, item.reason, item.message)
            self._metrics.ready_transitions.labels(item.reason).inc()

    async def _tell(self, event: dict[str, Any]) -> None:
        """Before the status is written, after which nobody would know any more that there is something to tell.

        A pass that was killed between the two told it already. An API server that takes no events hinders nothing.
        """
        try:
            await self._cluster.create(event)
        except ApiError as error:
            if error.status != 409:
                log.warning("event %s of %s: %s", event["reason"], event["involvedObject"]["name"], error)

    # --- act ---

    async def _act(self, observation: Observation, action: Action) -> None:
        namespace = observation.namespace
        match action:
            case StartJob(name, attempt, spec):
                await self._create_once(objects.job(observation, name, attempt, spec))
            case RecordRevision(name, spec):
                await self._create_once(objects.revision(observation, name, spec))
            case RecordVerdict(name, verdict, reason, message):
                await self._say_of_revision(
                    namespace, name, {"verdict": verdict.value, "reason": reason, "message": message}
                )
            case StartPreflight():
                await self._create_once(objects.preflight_job(observation, action))
            case RecordPreflight(name, preflight):
                await self._say_of_revision(namespace, name, {"preflight": preflight})
            case EnsureDaemonSet(revision, variant):
                if "shadowReplay" in revision.spec["serving"]:
                    await self._create_secret(objects.replay_secret(observation, secrets.token_hex(32)))
                await self._create_once(objects.daemonset(observation, revision, variant))
            case EnsureService(port):
                await self._apply(observation, objects.service(observation, port))
            case EnsureNetworkPolicies():
                for policy in objects.network_policies(observation):
                    await self._apply(observation, policy)
            case DeleteJob(name):
                await self._cluster.delete("batch/v1", "Job", namespace, name)
            case DeleteDaemonSet(name):
                await self._cluster.delete("apps/v1", "DaemonSet", namespace, name)
            case DeleteRevision(name):
                await self._cluster.delete(API_VERSION, "EdgeModelRevision", namespace, name)

    async def _say_of_revision(self, namespace: str, name: str, status: dict[str, Any]) -> None:
        self._cache.see(
            await self._cluster.merge(API_VERSION, "EdgeModelRevision", namespace, name, {"status": status}, "status")
        )

    async def _create_secret(self, body: dict[str, Any]) -> None:
        """The operator may create Secrets and read none: one that exists already stays as it is."""
        try:
            await self._cluster.create(body)
        except ApiError as error:
            if error.status != 409:
                raise

    async def _create_once(self, body: dict[str, Any]) -> None:
        """For what is immutable: one that exists already is what an earlier, interrupted pass made."""
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

    async def _apply(self, observation: Observation, body: dict[str, Any]) -> None:
        """Server-side apply, unless the same was applied before."""
        digest = short_hash(canonical_json(body).decode(), 16)
        if any(
            a.kind == body["kind"] and a.name == body["metadata"]["name"] and a.applied == digest
            for a in observation.applied
        ):
            return
        meta = {**body["metadata"], "annotations": {ANNOTATION_APPLIED: digest}}
        self._cache.see(await self._cluster.apply({**body, "metadata": meta}))

    async def _set_all_pins(self, changes: list[SetPins]) -> None:
        """Raises the first refusal, after all are answered: a late patch would undo what the next pass decides."""
        answers = await asyncio.gather(*(self._set_pins(change) for change in changes), return_exceptions=True)
        for answer in answers:
            if answer is not None:
                raise answer

    async def _set_pins(self, action: SetPins) -> None:
        if not action.add and not action.remove:
            return
        labels: dict[str, str | None] = {**dict.fromkeys(action.remove), **dict.fromkeys(action.add, "true")}
        async with self._nodes:
            try:
                answer = await self._cluster.merge("v1", "Node", "", action.node, {"metadata": {"labels": labels}})
            except ApiError as error:
                if error.status == 404:
                    self._cache.forget_node(action.node)
                    return
                raise
        self._cache.see(answer)

    def _retry(self, key: Key, error: ApiError | None) -> None:
        count = self._failures[key] = self._failures.get(key, 0) + 1
        delay = min(MIN_RETRY_SECONDS * 2 ** (count - 1), MAX_RETRY_SECONDS)
        if error is not None:
            self._metrics.api_errors.labels(str(error.status)).inc()
            log.warning("pass of %s/%s: %s; again in %.0f s", *key, error, delay)
        self._queue.add_after(key, delay)


async def patiently(what: Callable[[], Awaitable[T]]) -> T:
    """The answer of ``what``, asked again while the API server does not answer or refuses."""
    while True:
        try:
            return await what()
        except ApiError as error:
            log.warning("%s; again in %d s", error, NOT_LEADING_SECONDS)
            await asyncio.sleep(NOT_LEADING_SECONDS)


async def every(seconds: float, what: Callable[[], Awaitable[None]]) -> None:
    """Calls ``what`` for ever; an API error is logged and waits for the next time."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await what()
        except ApiError as error:
            log.warning("%s", error)


def _patch(before: Any, after: Any) -> Any:
    """A JSON merge patch from one value to the other: fields that are gone have to be named."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return after
    gone = dict.fromkeys(before.keys() - after.keys())
    return gone | {key: _patch(before.get(key), value) for key, value in after.items() if before.get(key) != value}


@dataclass(frozen=True)
class News:
    """``warning``: a person is asked."""

    reason: str
    message: str
    warning: bool


def _news(before: dict[str, Any], after: dict[str, Any]) -> list[News]:
    """Each new reason of Ready, and each new message that asks for a person."""
    old = _ready(before)
    new = _ready(after)
    stalled = any(item["type"] == "Stalled" for item in after["conditions"])
    if new is None or (old is not None and old["reason"] == new["reason"] and not stalled):
        return []
    if old is not None and (old["reason"], old["message"]) == (new["reason"], new["message"]):
        return []
    return [News(new["reason"], new["message"], stalled)]


def _new_verdicts(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str]]:
    """(check, verdict) of those on nodes that are new, or other than they were."""

    def verdicts(status: dict[str, Any]) -> dict[tuple[str, str, str], str]:
        judged = [item for item in status.get("checks") or () if "revision" in item]
        return {(item["revision"], item.get("variant", ""), item["name"]): item["verdict"] for item in judged}

    known = verdicts(before)
    return [(key[2], verdict) for key, verdict in verdicts(after).items() if known.get(key) != verdict]


def _ready(status: dict[str, Any]) -> dict[str, Any] | None:
    found: dict[str, Any] | None = next((c for c in status.get("conditions") or () if c["type"] == "Ready"), None)
    return found


def _event(observation: Observation | SuspendedModel, news: News, now: datetime) -> dict[str, Any]:
    """Its name is the same when a pass that was killed is made again: nothing was written in between."""
    moment = canonical_json([observation.uid, observation.generation, observation.status, news.reason])
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{observation.name}.{short_hash(moment.decode(), 16)}",
            "namespace": observation.namespace,
        },
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": "EdgeModel",
            "namespace": observation.namespace,
            "name": observation.name,
            "uid": observation.uid,
        },
        "reason": news.reason,
        "message": news.message[:1000],
        "type": "Warning" if news.warning else "Normal",
        "firstTimestamp": timestamp(now),
        "lastTimestamp": timestamp(now),
        "count": 1,
        "source": {"component": "edgemodel-operator"},
        "reportingComponent": "edgemodel-operator",
    }
