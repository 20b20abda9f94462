"""The state of the cluster as one pass sees it: the input of ``decide``, made of plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from edge_operator.decide.measurement import Samples
from edge_operator.decide.memory import Remembered
from edgemodel.preflight_report import PreflightReport
from edgemodel.progress import StepBegun
from edgemodel.report import Report
from edgemodel.revision import RevisionSpec
from edgemodel.spec import EdgeModelSpec


@dataclass(frozen=True)
class Node:
    name: str
    uid: str
    labels: dict[str, str]
    pins: frozenset[str]
    """Label keys under PIN_PREFIX."""
    online: bool
    """The Ready condition is True."""
    architecture: str
    offline_since: datetime | None = None
    """When it was first seen not to be Ready; None while it is, or where nobody has said."""
    online_since: datetime | None = None
    """By its own clock; None while it is not, or where it has not said."""
    deferrals: frozenset[str] = frozenset()
    """Label keys under DEFERRAL_PREFIX."""


@dataclass(frozen=True)
class Pod:
    """A server pod. ``trouble`` is (reason, message) of what keeps it from being ready, where that is known."""

    name: str
    node: str
    revision: str
    variant: str
    ready: bool
    ready_since: datetime | None
    created: datetime
    terminating: bool
    restarts: int
    trouble: tuple[str, str] | None
    ip: str = ""
    unready_since: datetime | None = None
    """When it stopped being ready, or was first said not to be; None while it is ready, or nothing is said of it."""

    def served_since(self, now: datetime) -> datetime:
        """The node's own clock says when it became ready: what is yet to come is not believed."""
        return self.ready_since if self.ready_since is not None and self.ready_since <= now else self.created


@dataclass(frozen=True)
class CompressionJob:
    """``ended``: None while it runs. ``report`` is what its container said, or None when it said nothing usable."""

    name: str
    attempt: int
    ended: datetime | None
    succeeded: bool
    report: Report | None
    trouble: tuple[str, str] | None
    """(reason, message) when it failed without a report: killed for memory, past its deadline."""
    deleting: bool = False
    waits_for: str = ""
    """What keeps its pod from starting, where that is known: no node has room, no image."""
    server_image: str = ""
    """What its artifacts lie on; empty where an operator made it that did not say."""
    step: StepBegun | None = None
    """The last that it began; None before the first, and until the next one where the operator started anew."""
    doing: str = ""
    """The pod's work before the first step: fetching for a converter, or running it; empty where there is none."""


@dataclass(frozen=True)
class PreflightJob:
    """``ended``: None while it runs. ``report`` is what its container said, or None when it said nothing usable."""

    name: str
    attempt: int
    created: datetime
    ended: datetime | None
    report: PreflightReport | None
    trouble: tuple[str, str] | None
    """(reason, message) when it failed without a report and trying again is no use."""
    crashed: str = ""
    """How its container ended, where it ended by itself and without a report."""
    deleting: bool = False
    waits_for: str = ""
    """As of a Job."""


@dataclass(frozen=True)
class Revision:
    """An EdgeModelRevision."""

    name: str
    uid: str
    created: datetime
    spec: RevisionSpec
    verdict: str = ""
    """``status.verdict``; empty before there is one."""
    preflight: dict[str, Any] | None = None
    """``status.preflight``; None before there is one."""

    @property
    def fingerprint(self) -> str:
        return self.spec.fingerprint


@dataclass(frozen=True)
class Applied:
    """A DaemonSet, Service or NetworkPolicy of this EdgeModel; ``applied`` is the hash of what was last applied."""

    kind: str
    name: str
    applied: str
    pins: frozenset[str] = frozenset()
    """Pins of the nodes that a DaemonSet runs on."""


@dataclass(frozen=True)
class HostPortClaim:
    """Another EdgeModel with the same ``serving.hostPort``."""

    namespace: str
    name: str
    uid: str
    created: str
    """As the API server writes it: such times sort as texts."""
    node_selector: dict[str, str]


@dataclass(frozen=True)
class OperatorSettings:
    """The settings of the chart that decisions and objects depend on."""

    server_image: str
    compressor_image: str
    trainer_image: str
    """The compressor with torch."""
    registry_push: str
    registry_pull: str
    registry_embedded: bool = True
    progress_url: str = ""
    """Where compression Jobs tell how far they are; empty: nowhere."""
    plain_http_hosts: tuple[str, ...] = ()
    allowed_source_hosts: tuple[str, ...] = ()
    allowed_converter_images: tuple[str, ...] = ()
    """Prefixes of images that a source's converter may be; empty: none."""
    image_pull_secrets: tuple[str, ...] = ()
    registry_push_secret: str = ""
    registry_pull_secret: str = ""
    server_layers: Mapping[str, str] = field(default_factory=dict)
    """``host/repository@sha256:…`` of each named layer of server images, by its name."""
    upgrade_servers: bool = False
    """A newer ``server_image`` makes a new revision of every EdgeModel; otherwise it waits for its next compression."""
    supported_architectures: tuple[str, ...] = ("amd64", "arm64")


@dataclass(frozen=True)
class Observation:
    """Everything that one EdgeModel's pass decides from."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: EdgeModelSpec
    status: dict[str, Any]
    settings: OperatorSettings
    revisions: tuple[Revision, ...] = ()
    jobs: tuple[CompressionJob, ...] = ()
    """That compress."""
    preflights: tuple[PreflightJob, ...] = ()
    pods: tuple[Pod, ...] = ()
    nodes: tuple[Node, ...] = ()
    applied: tuple[Applied, ...] = ()
    service_name_conflict: bool = False
    """A Service of our name is there that is not ours."""
    created: str = ""
    """As the API server writes it."""
    host_port_claims: tuple[HostPortClaim, ...] = ()
    """The other EdgeModels that want the same host port, on whatever nodes."""
    pods_lost: dict[tuple[str, str, str], datetime] = field(default_factory=dict)
    """(node, revision, variant) -> when a pod of it was last seen to go, as far as this process saw."""
    pins_seen: Mapping[tuple[str, str], datetime] = field(default_factory=dict)
    """(node, pin) -> when this process first saw the pin there."""
    back_since: Mapping[str, datetime] = field(default_factory=dict)
    """Node -> when it was last seen to come back, as far as this process saw."""
    api_back_since: datetime | None = None
    """When the API server was, as far as this process saw."""
    samples: Samples | None = None
    """What Prometheus last said of the candidate; None before it was asked."""

    def revision(self, name: str | None) -> Revision | None:
        """Returns the recorded revision ``name``; None when there is none."""
        return self._revisions_by_name.get(name) if name is not None else None

    def pods_on(self, node: str, revision: str) -> tuple[Pod, ...]:
        """Returns the pods of ``revision`` on ``node``, of every variant, terminating ones included."""
        return self._pods_by_place.get((node, revision), ())

    @cached_property
    def remembered(self) -> Remembered:
        """The status, parsed."""
        return Remembered.parse(self.status)

    @cached_property
    def _revisions_by_name(self) -> dict[str, Revision]:
        return {revision.name: revision for revision in self.revisions}

    @cached_property
    def _pods_by_place(self) -> dict[tuple[str, str], tuple[Pod, ...]]:
        found: dict[tuple[str, str], list[Pod]] = {}
        for pod in self.pods:
            found.setdefault((pod.node, pod.revision), []).append(pod)
        return {place: tuple(pods) for place, pods in found.items()}
