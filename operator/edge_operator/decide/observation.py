"""The state of the cluster as one pass sees it: the input of ``decide``, made of plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from edge_operator.decide.measurement import Samples
from edgemodel import reasons
from edgemodel.job_images import ARCHITECTURES
from edgemodel.preflight_report import PreflightReport
from edgemodel.progress import StepBegun
from edgemodel.report import Report
from edgemodel.revision import RevisionSpec
from edgemodel.spec import EdgeModelSpec
from edgemodel.status import EdgeModelStatus, PreflightResult


@dataclass(frozen=True)
class Taint:
    """A taint of a node; ``effect`` is NoSchedule, NoExecute or PreferNoSchedule."""

    key: str
    value: str
    effect: str

    def __str__(self) -> str:
        """Returns the taint as ``kubectl taint`` writes it."""
        return f"{self.key}={self.value}:{self.effect}" if self.value else f"{self.key}:{self.effect}"


@dataclass(frozen=True)
class Node:
    """A node of the cluster."""

    name: str
    uid: str
    labels: dict[str, str]
    pins: frozenset[str]
    """The label keys under PIN_PREFIX."""
    online: bool
    """True if the condition Ready is True."""
    architecture: str
    offline_since: datetime | None = None
    """The time at which the node was first seen not to be Ready; None while it is Ready, or if that is unknown."""
    online_since: datetime | None = None
    """The time since which the node is Ready, by its own clock; None while it is not, or if that is unknown."""
    deferrals: frozenset[str] = frozenset()
    """The label keys under DEFERRAL_PREFIX."""
    taints: tuple[Taint, ...] = ()
    memory_bytes: int | None = None
    """The memory that its pods may request together; None if the node does not say."""
    disk_bytes: int | None = None
    """The disk that its pods may use together; None if the node does not say."""
    cordoned: bool = False
    """True if ``kubectl cordon`` marked the node (``spec.unschedulable``)."""


@dataclass(frozen=True)
class Pod:
    """A server pod. ``trouble`` is the (reason, message) of what keeps it from being ready, if that is known."""

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
    """The time at which the pod stopped being ready, or was first reported not to be; None while it is ready, or
    without a report."""
    uid: str = ""
    creating: bool = False
    """True while the kubelet prepares its container: volumes are mounted before the image is pulled."""

    @property
    def lacks_secret(self) -> bool:
        """True if it cannot start because a Secret is missing."""
        return self.trouble is not None and self.trouble[0] == reasons.SECRET_NOT_FOUND

    def served_since(self, now: datetime) -> datetime:
        """Returns when the pod became ready by the node's own clock; a time in the future is ignored, and the time of
        creation returned."""
        return self.ready_since if self.ready_since is not None and self.ready_since <= now else self.created


@dataclass(frozen=True)
class Refusal:
    """The message of an Event that says why Kubernetes does not create an object's pod, or cannot start one."""

    message: str
    is_final: bool
    """True if a person must act; False if time may heal."""
    reason: str = reasons.POD_REFUSED

    @property
    def keeps_from_starting(self) -> bool:
        """True if there is a pod, which cannot start."""
        return self.reason == reasons.SECRET_NOT_FOUND

    @property
    def what(self) -> str:
        """The thing that it prevents, in words."""
        return "its pod cannot start" if self.keeps_from_starting else "no pod is made"


@dataclass(frozen=True)
class PullFailure:
    """The image of a Job's pod that its node cannot pull; the kubelet tries again and again."""

    pod: str
    uid: str
    """The UID of the pod."""
    message: str
    is_final: bool
    """True if a person must act; False if time may heal."""


@dataclass(frozen=True)
class CompressionJob:
    """A compression Job. ``ended`` is None while it runs. ``report`` is its container's; None if that left no usable
    one."""

    name: str
    attempt: int
    ended: datetime | None
    succeeded: bool
    report: Report | None
    trouble: tuple[str, str] | None
    """The (reason, message) of a Job that failed without a report: killed for memory, past its deadline."""
    deleting: bool = False
    waits_for: str = ""
    """The obstacle that keeps its pod from starting, if known: no node has room, or an image is missing."""
    server_image: str = ""
    """The server image that its artifacts are put on; empty if an older operator did not record it."""
    source_bytes: int | None = None
    """The size of the source that its memory and disk are for, if that was known."""
    step: StepBegun | None = None
    """The last step that it began; None before the first, and after a restart of the operator until the next."""
    doing: str = ""
    """The pod's work before the first step: fetching for a converter, or running it; otherwise empty."""
    uid: str = ""
    created: datetime | None = None
    """The time of creation; None if it is unknown."""
    has_pod: bool = True
    pull: PullFailure | None = None
    """The image that its pod waits for, if that cannot be pulled."""


@dataclass(frozen=True)
class PreflightJob:
    """A preflight Job. ``ended`` is None while it runs. ``report`` is its container's; None if that left no usable
    one."""

    name: str
    attempt: int
    created: datetime
    ended: datetime | None
    report: PreflightReport | None
    trouble: tuple[str, str] | None
    """The (reason, message) of a Job that failed without a report, if a retry would not help."""
    crashed: str = ""
    """The way in which its container ended, if it ended by itself and without a report."""
    deleting: bool = False
    waits_for: str = ""
    """The obstacle that keeps its pod from starting, if known."""
    uid: str = ""
    has_pod: bool = True
    pull: PullFailure | None = None
    """The image that its pod waits for, if that cannot be pulled."""


@dataclass(frozen=True)
class Revision:
    """An EdgeModelRevision."""

    name: str
    uid: str
    created: datetime
    spec: RevisionSpec
    verdict: str = ""
    """The contents of ``status.verdict``; empty before there is a verdict."""
    preflight: PreflightResult | None = None
    """The contents of ``status.preflight``; None before there are any."""

    @property
    def fingerprint(self) -> str:
        """Returns the fingerprint of the revision's artifacts."""
        return self.spec.fingerprint


@dataclass(frozen=True)
class Applied:
    """A DaemonSet, Service or NetworkPolicy of this EdgeModel; ``applied`` is the hash of what was last applied."""

    kind: str
    name: str
    applied: str
    pins: frozenset[str] = frozenset()
    """The pins of the nodes that a DaemonSet runs on."""
    uid: str = ""
    """The UID of a DaemonSet."""


@dataclass(frozen=True)
class HostPortClaim:
    """Another EdgeModel with the same ``serving.hostPort``."""

    namespace: str
    name: str
    uid: str
    created: str
    """The creation time as the API server writes it; such times sort as texts."""
    node_selector: dict[str, str]


@dataclass(frozen=True)
class OperatorSettings:
    """The chart's settings that decisions and objects depend on."""

    server_image: str
    job_images: Mapping[str, str]
    """The references of the images of compression Jobs, by the names of ``edgemodel.job_images``."""
    registry_push: str
    registry_pull: str
    registry_embedded: bool = True
    progress_url: str = ""
    """The URL that compression Jobs report their progress to; empty: they report none."""
    plain_http_hosts: tuple[str, ...] = ()
    allowed_source_hosts: tuple[str, ...] = ()
    allowed_converter_images: tuple[str, ...] = ()
    """The prefixes of images that a source's converter may have; empty: no image may run."""
    default_resources: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    """The requests and limits of containers, by their kind, if an EdgeModel has none; the remaining defaults are built
    in."""
    image_pull_secrets: tuple[str, ...] = ()
    registry_push_secret: str = ""
    registry_pull_secret: str = ""
    server_layers: Mapping[str, str] = field(default_factory=dict)
    """The reference ``host/repository@sha256:…`` of each named layer of server images, by its name."""
    upgrade_servers: bool = False
    """True if a newer ``server_image`` makes a new revision of every EdgeModel; otherwise each gets it with its next
    compression."""
    supported_architectures: tuple[str, ...] = ARCHITECTURES


@dataclass(frozen=True)
class Observation:
    """The complete input of one EdgeModel's pass."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: EdgeModelSpec
    status: EdgeModelStatus
    """The status as the previous pass left it."""
    stored_status: Mapping[str, Any]
    """The status as it is stored, to which the new one is compared."""
    settings: OperatorSettings
    revisions: tuple[Revision, ...] = ()
    jobs: tuple[CompressionJob, ...] = ()
    """The compression Jobs."""
    preflights: tuple[PreflightJob, ...] = ()
    pods: tuple[Pod, ...] = ()
    nodes: tuple[Node, ...] = ()
    applied: tuple[Applied, ...] = ()
    service_name_conflict: bool = False
    """True if a Service with the EdgeModel's name exists and is not the operator's."""
    created: str = ""
    """The creation time as the API server writes it."""
    host_port_claims: tuple[HostPortClaim, ...] = ()
    """The other EdgeModels that want the same host port, on whatever nodes."""
    pods_lost: dict[tuple[str, str, str], datetime] = field(default_factory=dict)
    """The time at which a pod was last seen to go, by (node, revision, variant); only what this process saw."""
    pins_seen: Mapping[tuple[str, str], datetime] = field(default_factory=dict)
    """The time at which this process first saw the pin on the node, by (node, pin)."""
    back_since: Mapping[str, datetime] = field(default_factory=dict)
    """The time at which this process last saw the node come back, by node."""
    opened_since: Mapping[str, datetime] = field(default_factory=dict)
    """The time at which this process last saw the taints or the cordon of the node change, by node."""
    startable_since: Mapping[str, datetime] = field(default_factory=dict)
    """The time at which this process last saw what kept a pod from starting disappear, by pod."""
    api_back_since: datetime | None = None
    """The time at which this process last saw the API server come back."""
    refusals: Mapping[tuple[str, str], Refusal] = field(default_factory=dict)
    """The last refusal, by (kind, name) of a Job or DaemonSet without a pod, or of a pod that cannot start."""
    samples: Samples | None = None
    """The last samples of the candidate; None before Prometheus was first queried."""

    def revision(self, name: str | None) -> Revision | None:
        """Returns the recorded revision ``name``; None if there is none."""
        return self._revisions_by_name.get(name) if name is not None else None

    def pods_on(self, node: str, revision: str) -> tuple[Pod, ...]:
        """Returns the pods of ``revision`` on ``node``, of every variant, including terminating ones."""
        return self._pods_by_place.get((node, revision), ())

    @cached_property
    def _revisions_by_name(self) -> dict[str, Revision]:
        return {revision.name: revision for revision in self.revisions}

    @cached_property
    def _pods_by_place(self) -> dict[tuple[str, str], tuple[Pod, ...]]:
        found: dict[tuple[str, str], list[Pod]] = {}
        for pod in self.pods:
            found.setdefault((pod.node, pod.revision), []).append(pod)
        return {place: tuple(pods) for place, pods in found.items()}
