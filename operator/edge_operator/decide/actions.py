"""The acts of a pass on the cluster: idempotent, with deterministic names. ``writes.py`` makes requests of them."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from edge_operator.decide.observation import Revision
from edgemodel.revision import RevisionSpec
from edgemodel.spec import EdgeModelSpec
from edgemodel.verdict import Verdict


@dataclass(frozen=True)
class StartJob:
    name: str
    attempt: int
    spec: EdgeModelSpec


@dataclass(frozen=True)
class DeleteJob:
    name: str


@dataclass(frozen=True)
class RecordRevision:
    """Create the immutable EdgeModelRevision ``name``."""

    name: str
    spec: RevisionSpec


@dataclass(frozen=True)
class RecordVerdict:
    """Say in the status of revision ``name`` what its rollout came to."""

    name: str
    verdict: Verdict
    reason: str
    message: str


@dataclass(frozen=True)
class StartPreflight:
    """Ask ``node`` what the artifact of ``variant`` does there."""

    name: str
    attempt: int
    revision: Revision
    variant: str
    node: str
    deadline: timedelta


@dataclass(frozen=True)
class RecordPreflight:
    """Say in the status of revision ``name`` what its preflight came to."""

    name: str
    preflight: dict[str, Any]


@dataclass(frozen=True)
class DeleteRevision:
    """Its DaemonSets and preflight Jobs go with it."""

    name: str


@dataclass(frozen=True)
class EnsureReplaySecret:
    """The token that the servers of this EdgeModel show each other."""


@dataclass(frozen=True)
class EnsureDaemonSet:
    revision: Revision
    variant: str


@dataclass(frozen=True)
class DeleteDaemonSet:
    name: str


@dataclass(frozen=True)
class EnsureService:
    port: int


@dataclass(frozen=True)
class EnsureNetworkPolicies:
    pass


@dataclass(frozen=True)
class SetPins:
    """One patch of one node's labels: pins, and deferrals."""

    node: str
    add: frozenset[str] = field(default_factory=frozenset)
    remove: frozenset[str] = field(default_factory=frozenset)


Action = (
    StartJob
    | DeleteJob
    | RecordRevision
    | RecordVerdict
    | StartPreflight
    | RecordPreflight
    | DeleteRevision
    | EnsureReplaySecret
    | EnsureDaemonSet
    | DeleteDaemonSet
    | EnsureService
    | EnsureNetworkPolicies
    | SetPins
)
