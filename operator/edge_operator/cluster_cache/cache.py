"""Slim stores of what the operator watches, and the observation of one EdgeModel made from them.

Events of the watch and answers to our own writes go through the same door, so that a pass never runs on
a state older than its own last write.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from edge_operator.decide.observation import (
    Applied,
    CompressionJob,
    Node,
    Observation,
    OperatorSettings,
    Pod,
    PreflightJob,
    Revision,
)
from edge_operator.decide.placement import matches
from edge_operator.decide.samples import Samples
from edge_operator.from_api import (
    Raw,
    is_preflight,
    made_by_daemonset,
    read_applied,
    read_job,
    read_node,
    read_pod,
    read_preflight_job,
    read_revision,
)
from edgemodel.names import (
    API_VERSION,
    COMPONENT_PULLER,
    COMPONENT_SERVER,
    LABEL_COMPONENT,
    LABEL_MODEL,
    deferral_key,
    pin_key,
    puller_of,
)
from edgemodel.progress import StepBegun
from edgemodel.spec import EdgeModelSpec, parse_spec

Key = tuple[str, str]
"""(namespace, name) of an EdgeModel."""

WATCHED = (
    ("v1", "Node", ""),
    (API_VERSION, "EdgeModel", ""),
    (API_VERSION, "EdgeModelRevision", ""),
    ("batch/v1", "Job", LABEL_MODEL),
    ("apps/v1", "DaemonSet", LABEL_MODEL),
    ("v1", "Service", ""),
    ("networking.k8s.io/v1", "NetworkPolicy", LABEL_MODEL),
    ("v1", "Pod", LABEL_MODEL),
)


@dataclass(frozen=True)
class CachedEdgeModel:
    """What is kept of an EdgeModel."""

    namespace: str
    name: str
    uid: str
    generation: int
    created: str
    spec: EdgeModelSpec
    status: dict[str, Any]
    deleting: bool = False


@dataclass
class Owned:
    """What belongs to one EdgeModel, by name."""

    revisions: dict[str, Revision] = field(default_factory=dict)
    jobs: dict[str, Raw] = field(default_factory=dict)
    job_pods: dict[str, Raw] = field(default_factory=dict)
    steps: dict[str, StepBegun] = field(default_factory=dict)
    """By pod of a Job: the last that it began."""
    pods: dict[str, Pod] = field(default_factory=dict)
    applied: dict[tuple[str, str], Applied] = field(default_factory=dict)
    pods_lost: dict[tuple[str, str, str], datetime] = field(default_factory=dict)


class ClusterCache:
    def __init__(
        self,
        settings: OperatorSettings,
        changed: Callable[[Key], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.settings = settings
        self.models: dict[Key, CachedEdgeModel] = {}
        self.nodes: dict[str, Node] = {}
        self.owned: defaultdict[Key, Owned] = defaultdict(Owned)
        self.samples: dict[Key, Samples] = {}
        self._changed = changed
        self._clock = clock
        self._pins_seen: dict[tuple[str, str], datetime] = {}
        self._back_since: dict[str, datetime] = {}
        self._api_back_since: datetime | None = None
        self._versions: dict[tuple[str, str, str], int] = {}
        self._foreign_services: set[Key] = set()
        """Services that are nobody's of ours: an EdgeModel of that name must not take one over."""

        self.unreadable: set[tuple[str, str, str]] = set()
        """Objects that an older or newer operator wrote otherwise: while there are any, nothing is swept away."""

    # --- in ---

    def see(self, raw: Raw) -> None:
        """An object as it is now. One older than what is known is ignored."""
        identity = _identity(raw)
        if _is_foreign(raw):
            if identity[1:] not in self._foreign_services:
                self._foreign_services.add(identity[1:])
                self._changed(identity[1:])
            return
        version = int(raw["metadata"]["resourceVersion"])
        if version < self._versions.get(identity, 0):
            return
        self.unreadable.add(identity)
        self._store(raw)
        self.unreadable.discard(identity)
        self._versions[identity] = version

    def forget(self, raw: Raw) -> None:
        """An object is gone, unless a newer one of its name is known: the end of the old may be heard of after it."""
        kind, namespace, name = identity = _identity(raw)
        if kind == "Service" and (namespace, name) in self._foreign_services:
            self._foreign_services.discard((namespace, name))
            self._changed((namespace, name))
            return
        if int(raw["metadata"].get("resourceVersion", self._versions.get(identity, 0))) < self._versions.get(
            identity, 0
        ):
            return
        self._versions.pop(identity, None)
        self.unreadable.discard(identity)
        if kind == "Node":
            gone = self.nodes.pop(name, None)
            self._back_since.pop(name, None)
            if gone is not None:
                self._note_pins(name, gone.pins, frozenset())
                self._all_changed()
        elif kind == "EdgeModel":
            self.models.pop((namespace, name), None)
            self.samples.pop((namespace, name), None)
            self._all_changed()
            self._changed((namespace, name))
        else:
            key = _owner(raw)
            owned = self.owned[key]
            if kind == "EdgeModelRevision":
                owned.revisions.pop(name, None)
                for lost in [lost for lost in owned.pods_lost if lost[1] == name]:
                    del owned.pods_lost[lost]
            elif kind == "Job":
                owned.jobs.pop(name, None)
            elif kind == "Pod":
                pod = owned.pods.pop(name, None)
                if pod is not None:
                    owned.pods_lost[pod.node, pod.revision, pod.variant] = self._clock()
                owned.job_pods.pop(name, None)
                owned.steps.pop(name, None)
            else:
                owned.applied.pop((kind, name), None)
            self._changed(key)

    def prune(self, kind: str, seen: Iterable[Raw], listed_at: int) -> None:
        """Forgets objects of ``kind`` that a complete listing did not have: a watch gap hid their end.

        What is newer than ``listed_at``, the resourceVersion of the listing, stays.
        """
        alive = {_identity(raw) for raw in seen}
        if kind == "Service":
            self._foreign_services &= {identity[1:] for identity in alive}
        gone = [i for i, version in self._versions.items() if i[0] == kind and i not in alive and version <= listed_at]
        for identity in gone:
            labels = {LABEL_MODEL: self._model_of(identity)}
            meta = {"namespace": identity[1], "name": identity[2], "labels": labels}
            self.forget({"kind": kind, "metadata": meta})

    def set_samples(self, key: Key, samples: Samples) -> None:
        """Prometheus answered, or did not."""
        if key in self.models:
            self.samples[key] = samples
            self._changed(key)

    def set_progress(self, namespace: str, pod: str, step: StepBegun) -> bool:
        """A compression Job's pod begins a step. False when there is no such pod."""
        for key, owned in self.owned.items():
            if key[0] == namespace and pod in owned.job_pods:
                if _put(owned.steps, pod, step):
                    self._changed(key)
                return True
        return False

    def api_is_back(self) -> None:
        """It did not answer for a while, to nodes as little as to us."""
        self._api_back_since = self._clock()

    def forget_samples(self, key: Key) -> None:
        self.samples.pop(key, None)

    # --- out ---

    def observe(self, key: Key) -> Observation | None:
        """None when the EdgeModel is gone or going."""
        model = self.models.get(key)
        if model is None or model.deleting:
            return None
        owned = self.owned[key]
        return Observation(
            namespace=model.namespace,
            name=model.name,
            uid=model.uid,
            generation=model.generation,
            spec=model.spec,
            status=model.status,
            settings=self.settings,
            revisions=tuple(owned.revisions.values()),
            jobs=tuple(_jobs(owned)),
            preflights=tuple(_preflights(owned)),
            pods=tuple(owned.pods.values()),
            nodes=tuple(self.nodes.values()),
            applied=tuple(owned.applied.values()),
            host_port_rivals=self._rivals(model),
            name_taken=key in self._foreign_services,
            pods_lost=dict(owned.pods_lost),
            pins_seen=self._pins_seen,
            back_since=self._back_since,
            api_back_since=self._api_back_since,
            samples=self.samples.get(key),
        )

    def valid_pins(self) -> frozenset[str]:
        """Every pin, and deferral, that a known EdgeModel could have set."""
        pins = set()
        for key, model in self.models.items():
            status = model.status
            names = {revision.name for revision in self.owned[key].revisions.values()}
            names |= {name for name in (status.get("stableRevision"), status.get("candidateRevision")) if name}
            names |= {item["name"] for item in status.get("rejectedRevisions") or ()}
            variants = {variant.name for variant in model.spec.variants}
            for revision in self.owned[key].revisions.values():
                variants |= {variant["name"] for variant in revision.spec["variants"]}
            variants |= {puller_of(variant) for variant in variants}
            pins |= {pin_key(*key, name, variant) for name in names for variant in variants}
            pins |= {deferral_key(*key, name) for name in names}
        return frozenset(pins)

    # --- inside ---

    def _store(self, raw: Raw) -> None:
        kind, namespace, name = _identity(raw)
        if kind == "Node":
            view = read_node(raw)
            if self.nodes.get(name) != view:
                known = self.nodes.get(name)
                if view.online and known is not None and not known.online:
                    self._back_since[name] = self._clock()
                self._note_pins(name, known.pins if known is not None else frozenset(), view.pins)
                self.nodes[name] = view
                self._all_changed()
        elif kind == "EdgeModel":
            self.models[namespace, name] = _model(raw)
            self._changed((namespace, name))
        else:
            key = _owner(raw)
            if self._store_owned(self.owned[key], kind, name, raw):
                self._changed(key)

    def _note_pins(self, node: str, before: frozenset[str], after: frozenset[str]) -> None:
        for pin in before - after:
            self._pins_seen.pop((node, pin), None)
        for pin in after - before:
            self._pins_seen[node, pin] = self._clock()

    def _store_owned(self, owned: Owned, kind: str, name: str, raw: Raw) -> bool:
        """True when what is kept of it changed."""
        if kind == "EdgeModelRevision":
            return _put(owned.revisions, name, read_revision(raw))
        if kind == "Job":
            return _put(owned.jobs, name, raw)
        if kind == "Pod":
            if raw["metadata"]["labels"].get(LABEL_COMPONENT) in (COMPONENT_SERVER, COMPONENT_PULLER):
                if not made_by_daemonset(raw):
                    return False
                pod = read_pod(raw)
                known = owned.pods.get(name)
                if pod.terminating and not (known is not None and known.terminating):
                    owned.pods_lost[pod.node, pod.revision, pod.variant] = self._clock()
                return _put(owned.pods, name, pod)
            return _put(owned.job_pods, name, raw)
        return _put(owned.applied, (kind, name), read_applied(raw))

    def _rivals(self, model: CachedEdgeModel) -> tuple[str, ...]:
        port = model.spec.serving.host_port
        if port is None:
            return ()
        mine = {node.name for node in self.nodes.values() if matches(model.spec.node_selector, node.labels)}
        return tuple(
            f"{other.namespace}/{other.name}"
            for other in self.models.values()
            if other.spec.serving.host_port == port
            and (other.created, other.uid) < (model.created, model.uid)
            and any(
                node.name in mine and matches(other.spec.node_selector, node.labels) for node in self.nodes.values()
            )
        )

    def _model_of(self, identity: tuple[str, str, str]) -> str:
        kind, namespace, name = identity
        for key, owned in self.owned.items():
            if key[0] == namespace and (
                name in owned.revisions
                or name in owned.jobs
                or name in owned.pods
                or name in owned.job_pods
                or (kind, name) in owned.applied
            ):
                return key[1]
        return ""

    def _all_changed(self) -> None:
        for key in self.models:
            self._changed(key)


def _jobs(owned: Owned) -> list[CompressionJob]:
    return [_job(owned, raw) for raw in owned.jobs.values() if not is_preflight(raw)]


def _preflights(owned: Owned) -> list[PreflightJob]:
    return [read_preflight_job(raw, _newest_pod(owned, raw)) for raw in owned.jobs.values() if is_preflight(raw)]


def _job(owned: Owned, raw: Raw) -> CompressionJob:
    newest = _newest_pod(owned, raw)
    step = owned.steps.get(newest["metadata"]["name"]) if newest is not None else None
    return replace(read_job(raw, newest), step=step)


def _newest_pod(owned: Owned, job: Raw) -> Raw | None:
    uid = job["metadata"]["uid"]
    pods = [
        pod
        for pod in owned.job_pods.values()
        if any(owner["uid"] == uid for owner in pod["metadata"].get("ownerReferences") or ())
    ]
    return max(pods, key=lambda pod: str(pod["metadata"]["creationTimestamp"]), default=None)


def _put(store: dict[Any, Any], key: Any, value: Any) -> bool:
    changed = bool(store.get(key) != value)
    store[key] = value
    return changed


def _is_foreign(raw: Raw) -> bool:
    return raw["kind"] == "Service" and LABEL_MODEL not in (raw["metadata"].get("labels") or {})


def _identity(raw: Raw) -> tuple[str, str, str]:
    meta = raw["metadata"]
    return raw["kind"], meta.get("namespace", ""), meta["name"]


def _owner(raw: Raw) -> Key:
    meta = raw["metadata"]
    return meta["namespace"], (meta.get("labels") or {}).get(LABEL_MODEL, "")


def _model(raw: Raw) -> CachedEdgeModel:
    meta = raw["metadata"]
    return CachedEdgeModel(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        generation=meta["generation"],
        created=meta["creationTimestamp"],
        spec=parse_spec(raw["spec"]),
        status=raw.get("status") or {},
        deleting="deletionTimestamp" in meta,
    )
