"""The writes of one pass, and their order. Pure.

Each is one request to the API server. ``reconcile.py`` and the simulation of the rollout tests carry them out in this
order; after a kill between any two, the next pass continues correctly.

1. The Event, before the status: after a kill in between, nothing would show that the Event is missing.
2. The status, before the actions that it explains.
3. Jobs and revisions, then the objects that must exist before a node is pinned.
4. The pins.
5. Verdicts on record, and garbage.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, assert_never

from edge_operator import objects
from edge_operator.decide import Decision
from edge_operator.decide.actions import (
    Action,
    DeleteDaemonSet,
    DeleteJob,
    DeleteRevision,
    EnsureDaemonSet,
    EnsureNetworkPolicies,
    EnsureReplaySecret,
    EnsureService,
    RecordPreflight,
    RecordRevision,
    RecordVerdict,
    SetPins,
    StartJob,
    StartPreflight,
)
from edge_operator.decide.observation import Observation
from edge_operator.decide.status.suspension import SuspendedModel
from edge_operator.objects import Object
from edgemodel.digest import canonical_json
from edgemodel.names import ANNOTATION_APPLIED, API_VERSION, short_hash
from edgemodel.plain import to_api
from edgemodel.reasons import anchor_of
from edgemodel.status import (
    MAX_MESSAGE_LENGTH,
    OPERATOR_VERSION,
    CheckStatus,
    EdgeModelStatus,
    StoredCondition,
    SuspendedStatus,
    status_to_json,
)


@dataclass(frozen=True)
class TellEvent:
    """The creation of an Event; a refusal is ignored."""

    event: Object


@dataclass(frozen=True)
class WriteStatus:
    """A merge patch of an EdgeModel's status."""

    namespace: str
    name: str
    changes: dict[str, Any]
    status: dict[str, Any]
    """The members of the status after the write that the pass decides, changed or not."""
    transitions: tuple[tuple[str, str], ...]
    """The (reason, message) of each change of Ready that the Event reports."""
    verdicts: tuple[tuple[str, str], ...]
    """The (check, verdict) of each verdict that is new or has changed."""


@dataclass(frozen=True)
class CreateObject:
    """The creation of an immutable object; an existing one is from an earlier, interrupted pass."""

    action: StartJob | RecordRevision | StartPreflight | EnsureDaemonSet
    body: Object


@dataclass(frozen=True)
class CreateReplaySecret:
    """The creation of a Secret with a random token; an existing one stays as it is.

    The operator may create Secrets and read none.
    """

    observation: Observation

    def body(self, token: str) -> Object:
        """Returns the Secret with ``token``."""
        return objects.replay_secret(self.observation, token)


@dataclass(frozen=True)
class ApplyObject:
    """A server-side apply."""

    body: Object
    applied: str
    """The hash of what is applied, which the object carries."""


@dataclass(frozen=True)
class WriteRevisionStatus:
    """A merge patch of a revision's status."""

    action: RecordVerdict | RecordPreflight
    namespace: str
    name: str
    changes: dict[str, Any]


@dataclass(frozen=True)
class DeleteObject:
    """The deletion of an object; it is no error if it is gone."""

    action: DeleteJob | DeleteDaemonSet | DeleteRevision
    api_version: str
    kind: str
    namespace: str
    name: str


@dataclass(frozen=True)
class PatchNode:
    """A patch of a node's labels. Patches of several nodes may run at the same time."""

    action: SetPins

    @property
    def labels(self) -> dict[str, str | None]:
        """Returns the value of each label; None removes it."""
        return {**dict.fromkeys(self.action.remove), **dict.fromkeys(self.action.add, "true")}


Write = (
    TellEvent
    | WriteStatus
    | CreateObject
    | CreateReplaySecret
    | ApplyObject
    | WriteRevisionStatus
    | DeleteObject
    | PatchNode
)


def plan_writes(
    observation: Observation, decision: Decision, now: datetime, reasons_url: str = ""
) -> tuple[Write, ...]:
    """Returns the writes of a pass, in order; none if nothing has to change.

    ``reasons_url`` is the page of reasons, which a message that asks a person to act links to; empty: there is no link.
    """
    acts = (write for action in decision.actions for write in _writes_of(observation, action))
    return (*plan_report(observation, decision.status, now, reasons_url), *acts)


def plan_report(
    model: Observation | SuspendedModel,
    status: EdgeModelStatus | SuspendedStatus,
    now: datetime,
    reasons_url: str = "",
) -> tuple[TellEvent | WriteStatus, ...]:
    """Returns the writes that publish ``status``, with links below ``reasons_url``; none if it is stored already."""
    status = replace(status, conditions=tuple(_with_link(item, reasons_url) for item in status.conditions))
    stored, written = model.stored_status, status_to_json(status)
    changes = {key: merge_patch(stored.get(key), value) for key, value in written.items() if stored.get(key) != value}
    if changes.keys() <= {OPERATOR_VERSION}:
        return ()
    before = model.status.conditions if isinstance(model, Observation) else model.conditions
    news = _news(before, status.conditions)
    transitions = (news[:2],) if news is not None else ()
    verdicts: tuple[tuple[str, str], ...] = ()
    if isinstance(model, Observation) and isinstance(status, EdgeModelStatus):
        verdicts = new_verdicts(model.status.checks, status.checks)
    write = WriteStatus(model.namespace, model.name, changes, written, transitions, verdicts)
    if news is None:
        return (write,)
    reason, message, is_warning = news
    message = _linked(message, reason, reasons_url) if is_warning else message
    return (TellEvent(objects.event(model, reason, message, now, is_warning=is_warning)), write)


def _with_link(condition: StoredCondition, reasons_url: str) -> StoredCondition:
    """Returns ``condition``, with a link if it is Stalled. Ready has the same message without, and stays short."""
    if condition.type != "Stalled":
        return condition
    return replace(condition, message=_linked(condition.message, condition.reason, reasons_url))


def _linked(message: str, reason: str, reasons_url: str) -> str:
    """Returns ``message`` with the link of ``reason`` at its end, within the length of a message."""
    if not reasons_url:
        return message
    link = f" ({reasons_url}#{anchor_of(reason)})"
    return message[: MAX_MESSAGE_LENGTH - len(link)] + link


def _writes_of(observation: Observation, action: Action) -> Iterator[Write]:
    namespace = observation.namespace
    match action:
        case StartJob(name, attempt, spec, size):
            yield CreateObject(action, objects.job(observation, name, attempt, spec, size))
        case RecordRevision(name, spec):
            yield CreateObject(action, objects.revision(observation, name, spec))
        case StartPreflight():
            yield CreateObject(action, objects.preflight_job(observation, action))
        case EnsureReplaySecret():
            yield CreateReplaySecret(observation)
        case EnsureDaemonSet(revision, variant):
            yield CreateObject(action, objects.daemonset(observation, revision, variant))
        case EnsureService(port):
            yield from _apply(observation, objects.service(observation, port))
        case EnsureNetworkPolicies():
            for policy in objects.network_policies(observation):
                yield from _apply(observation, policy)
        case RecordVerdict(name, verdict, reason, message):
            changes = {"verdict": verdict.value, "reason": reason, "message": message}
            yield WriteRevisionStatus(action, namespace, name, changes)
        case RecordPreflight(name, preflight):
            yield WriteRevisionStatus(action, namespace, name, {"preflight": to_api(preflight)})
        case SetPins():
            if action.add or action.remove:
                yield PatchNode(action)
        case DeleteJob(name):
            yield DeleteObject(action, "batch/v1", "Job", namespace, name)
        case DeleteDaemonSet(name):
            yield DeleteObject(action, "apps/v1", "DaemonSet", namespace, name)
        case DeleteRevision(name):
            yield DeleteObject(action, API_VERSION, "EdgeModelRevision", namespace, name)
        case _:
            assert_never(action)


def _apply(observation: Observation, body: Object) -> Iterator[ApplyObject]:
    """Yields the apply, unless the same was applied before."""
    digest = short_hash(canonical_json(body).decode(), 16)
    kind, name = body["kind"], body["metadata"]["name"]
    if not any((item.kind, item.name, item.applied) == (kind, name, digest) for item in observation.applied):
        meta = {**body["metadata"], "annotations": {ANNOTATION_APPLIED: digest}}
        yield ApplyObject({**body, "metadata": meta}, digest)


def merge_patch(before: Any, after: Any) -> Any:
    """Returns a JSON merge patch from one value to the other, with None for removed fields."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return after
    gone = dict.fromkeys(before.keys() - after.keys())
    changed = {key: merge_patch(before.get(key), value) for key, value in after.items() if before.get(key) != value}
    return gone | changed


def _news(before: Iterable[StoredCondition], after: Collection[StoredCondition]) -> tuple[str, str, bool] | None:
    """Returns the (reason, message, is a person asked) of a new reason of Ready, or of a new message that asks a
    person."""
    old, new = _find("Ready", before), _find("Ready", after)
    stalled = _find("Stalled", after) is not None
    if new is None or (old is not None and old.reason == new.reason and not stalled):
        return None
    if old is not None and (old.reason, old.message) == (new.reason, new.message):
        return None
    return new.reason, new.message, stalled


def _find(kind: str, conditions: Iterable[StoredCondition]) -> StoredCondition | None:
    return next((condition for condition in conditions if condition.type == kind), None)


def new_verdicts(before: Iterable[CheckStatus], after: Iterable[CheckStatus]) -> tuple[tuple[str, str], ...]:
    """Returns the (check, verdict) of the checks on nodes that are new or have changed."""

    def verdicts(checks: Iterable[CheckStatus]) -> dict[tuple[str, str, str], str]:
        return {(c.revision, c.variant or "", c.name): c.verdict.value for c in checks if c.revision is not None}

    known = verdicts(before)
    return tuple((key[2], verdict) for key, verdict in verdicts(after).items() if known.get(key) != verdict)
