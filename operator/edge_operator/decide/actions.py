"""The actions of a pass on the cluster: idempotent, with deterministic names. ``writes.py`` turns them into
requests."""

from dataclasses import dataclass, field
from datetime import timedelta

from edge_operator.decide.observation import Revision
from edgemodel.revision import RevisionSpec
from edgemodel.spec import EdgeModelSpec
from edgemodel.status import PreflightResult
from edgemodel.verdict import Verdict


@dataclass(frozen=True)
class StartJob:
    """The action that creates the compression Job ``name``, which compresses for ``spec``."""

    name: str
    attempt: int
    spec: EdgeModelSpec
    source_bytes: int | None = None
    """The size of the source, if an earlier Job has read it."""


@dataclass(frozen=True)
class DeleteJob:
    """The action that deletes a compression or preflight Job with its pods."""

    name: str


@dataclass(frozen=True)
class RecordRevision:
    """The action that creates the immutable EdgeModelRevision ``name``."""

    name: str
    spec: RevisionSpec


@dataclass(frozen=True)
class RecordVerdict:
    """The action that records the result of a rollout in the status of revision ``name``."""

    name: str
    verdict: Verdict
    reason: str
    message: str


@dataclass(frozen=True)
class StartPreflight:
    """The action that measures the artifact of ``variant`` on ``node``."""

    name: str
    attempt: int
    revision: Revision
    variant: str
    node: str
    deadline: timedelta


@dataclass(frozen=True)
class RecordPreflight:
    """The action that records the result of a preflight in the status of revision ``name``."""

    name: str
    preflight: PreflightResult


@dataclass(frozen=True)
class DeleteRevision:
    """The action that deletes a revision, and with it its DaemonSets and preflight Jobs."""

    name: str


@dataclass(frozen=True)
class EnsureReplaySecret:
    """The action that creates the token that the servers of this EdgeModel show each other, if it does not exist."""


@dataclass(frozen=True)
class EnsureDaemonSet:
    """The action that creates the DaemonSet of ``variant``, or of its puller, if it does not exist."""

    revision: Revision
    variant: str


@dataclass(frozen=True)
class DeleteDaemonSet:
    """The action that deletes a DaemonSet with its pods."""

    name: str


@dataclass(frozen=True)
class EnsureService:
    """The action that applies the Service of the EdgeModel on ``port``, unless it is applied already."""

    port: int


@dataclass(frozen=True)
class EnsureNetworkPolicies:
    """The action that applies the NetworkPolicies of the EdgeModel, unless they are applied already."""


@dataclass(frozen=True)
class SetPins:
    """The action that patches one node's labels: pins, and deferrals."""

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
