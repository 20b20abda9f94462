"""The state of the cluster as the operator knows it, and the observation of one EdgeModel made from it.

Watch events and the answers to the operator's own writes enter the same way, so that a pass never runs on a state older
than its own last write.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from edge_operator.cluster_cache.clocks import Clocks
from edge_operator.cluster_cache.kinds import BY_KIND
from edge_operator.cluster_cache.salvage import (
    revisions_in_status,
    stored_status,
    variants_in_spec,
    whole_conditions,
)
from edge_operator.cluster_cache.store import Identity, Key, ObjectStore, Stored
from edge_operator.decide.measurement import Samples
from edge_operator.decide.observation import (
    Applied,
    CompressionJob,
    HostPortClaim,
    Node,
    Observation,
    OperatorSettings,
    Pod,
    PreflightJob,
    Revision,
)
from edge_operator.decide.placement.possible_pins import PinNames, all_labels
from edge_operator.decide.placement.selection import matches
from edge_operator.decide.status.suspension import SuspendedModel, UnreadableObject
from edge_operator.from_api import (
    CachedEdgeModel,
    ForeignService,
    JobObject,
    JobPod,
    Raw,
    compression_job,
    preflight_job,
)
from edgemodel import reasons
from edgemodel.error_words import in_words
from edgemodel.names import DEFAULT_VARIANT
from edgemodel.progress import StepBegun
from edgemodel.schema_version import SchemaOutdated

log = logging.getLogger(__name__)

UNREADABLE_ERRORS = (KeyError, TypeError, ValueError, AttributeError, IndexError)
"""The exceptions of ``from_api`` for an object that does not match its schema."""

T = TypeVar("T")


@dataclass(frozen=True)
class _Unreadable:
    told: UnreadableObject
    owner: Key | None
    raw: Raw


class ClusterCache:
    def __init__(
        self,
        settings: OperatorSettings,
        changed: Callable[[Key], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Calls ``changed`` with every EdgeModel whose next pass may decide otherwise."""
        self.settings = settings
        self.samples: dict[Key, Samples] = {}
        self.clocks = Clocks(clock)
        self._changed = changed
        self._store = ObjectStore()
        self._unreadable: dict[Identity, _Unreadable] = {}
        self._unreadable_of: defaultdict[Key, set[Identity]] = defaultdict(set)
        self._steps: dict[Key, StepBegun] = {}
        """The last step that a compression Job began, by (namespace, pod)."""
        self._host_ports: defaultdict[int, set[Key]] = defaultdict(set)
        self._nodes: tuple[Node, ...] | None = None

    # --- in ---

    def see(self, raw: Raw) -> None:
        """Stores the present state of an object; ignores one older than the known state.

        An object that cannot be read is logged and listed in ``unreadable``; its last readable state is kept.
        """
        kind, identity = BY_KIND[raw["kind"]], _identity(raw)
        version = int(raw["metadata"]["resourceVersion"])
        if self._store.is_older(identity, version):
            return
        owner = kind.owner(raw)
        known = self._store.get(identity)
        try:
            value = kind.read(raw)
        except SchemaOutdated as error:
            self._cannot_read(raw, owner, reasons.SCHEMA_OUTDATED, str(error))
            value = known.value if known is not None else None
        except UNREADABLE_ERRORS as error:
            self._cannot_read(raw, owner, reasons.OBJECT_UNREADABLE, in_words(error))
            value = known.value if known is not None else None
        else:
            self._can_read(identity)
        self._put(identity, Stored(version, owner, value))

    def forget(self, raw: Raw) -> None:
        """Removes an object, unless a newer one of the same name is known: the deletion of the old one may arrive
        late."""
        identity = _identity(raw)
        version = raw["metadata"].get("resourceVersion")
        if version is None or not self._store.is_older(identity, int(version)):
            self._forget(identity)

    def forget_node(self, name: str) -> None:
        self._forget(("Node", "", name))

    def prune(self, kind: str, seen: Iterable[Raw], listed_at: int) -> None:
        """Removes objects of ``kind`` that a complete listing lacks, because a gap in a watch hid their deletion.

        Objects newer than ``listed_at``, the resourceVersion of the listing, stay.
        """
        alive = {_identity(raw)[1:] for raw in seen}
        gone = [
            key for key, stored in self._store.kind(kind).items() if key not in alive and stored.version <= listed_at
        ]
        for namespace, name in gone:
            self._forget((kind, namespace, name))

    def set_samples(self, key: Key, samples: Samples) -> None:
        """Stores the answer of Prometheus, or that there was none."""
        if self._model(key) is not None:
            self.samples[key] = samples
            self._changed(key)

    def forget_samples(self, key: Key) -> None:
        self.samples.pop(key, None)

    def set_progress(self, namespace: str, pod: str, step: StepBegun) -> bool:
        """Stores the step that the pod of a compression Job begins. Returns False if there is no such pod."""
        stored = self._store.get(("Pod", namespace, pod))
        if stored is None or stored.owner is None or not isinstance(stored.value, JobPod):
            return False
        if self._steps.get((namespace, pod)) != step:
            self._steps[namespace, pod] = step
            self._changed(stored.owner)
        return True

    def api_is_back(self) -> None:
        """Notes the end of an outage of the API server, which neither nodes nor the operator could reach."""
        self.clocks.api_is_back()

    # --- out ---

    @property
    def models(self) -> dict[Key, CachedEdgeModel]:
        """Returns every EdgeModel that was readable at least once."""
        stored = self._store.kind("EdgeModel")
        return {key: item.value for key, item in stored.items() if item.value is not None}

    @property
    def nodes(self) -> tuple[Node, ...]:
        if self._nodes is None:
            stored = self._store.kind("Node").values()
            self._nodes = tuple(item.value for item in stored if item.value is not None)
        return self._nodes

    @property
    def unreadable(self) -> list[UnreadableObject]:
        return [item.told for item in self._unreadable.values()]

    @property
    def unreadable_owners(self) -> frozenset[Key]:
        """Returns the EdgeModels of the unreadable objects; the name is empty for an object that names none."""
        return frozenset(self._unreadable_of)

    def revisions(self, key: Key) -> Collection[Revision]:
        return self._store.owned(key, Revision)

    def pods(self, key: Key) -> Collection[Pod]:
        return self._store.owned(key, Pod)

    def all_revisions(self) -> Iterable[tuple[Key, Revision]]:
        """Yields every readable revision with its EdgeModel, which may be gone."""
        return ((owner, revision) for owner in self._store.owners() for revision in self._store.owned(owner, Revision))

    def compressing(self) -> frozenset[Key]:
        """Returns the EdgeModels with a running compression Job."""
        return frozenset(
            owner
            for owner in self._store.owners()
            if any(job.finished is None and not job.is_preflight for job in self._store.owned(owner, JobObject))
        )

    def observe(self, key: Key) -> Observation | SuspendedModel | None:
        """Returns the observation of an EdgeModel; None if it is gone or being deleted."""
        model, unreadable = self._model(key), self._unreadable_of.get(key)
        if unreadable:
            return self._suspended(key, unreadable)
        if model is None or model.deleting:
            return None
        jobs, preflights = self._jobs(key)
        return Observation(
            namespace=model.namespace,
            name=model.name,
            uid=model.uid,
            generation=model.generation,
            created=model.created,
            spec=model.spec,
            status=model.status,
            stored_status=model.stored_status,
            settings=self.settings,
            revisions=tuple(self._store.owned(key, Revision)),
            jobs=jobs,
            preflights=preflights,
            pods=tuple(self._store.owned(key, Pod)),
            nodes=self.nodes,
            applied=tuple(self._store.owned(key, Applied)),
            host_port_claims=self._claims(model),
            service_name_conflict=bool(self._store.owned(key, ForeignService)),
            pods_lost=dict(self.clocks.pods_lost(key)),
            pins_seen=self.clocks.pins_seen,
            back_since=self.clocks.back_since,
            opened_since=self.clocks.opened_since,
            api_back_since=self.clocks.api_back_since,
            samples=self.samples.get(key),
        )

    def stray_labels(self) -> dict[str, frozenset[str]]:
        """Returns the pins and deferrals that no EdgeModel can have set, by node.

        If an object cannot be read, everything that it may have set is kept; a node that cannot be read keeps all that
        it has.
        """
        valid = all_labels(self._pin_names()) | self._pins_of_unreadable_owners()
        strays = {
            node.name: (node.pins | node.deferrals) - valid
            for node in self.nodes
            if ("Node", "", node.name) not in self._unreadable
        }
        return {name: labels for name, labels in strays.items() if labels}

    # --- inside ---

    def _model(self, key: Key) -> CachedEdgeModel | None:
        stored = self._store.get(("EdgeModel", *key))
        model: CachedEdgeModel | None = stored.value if stored is not None else None
        return model

    def _put(self, identity: Identity, stored: Stored[object]) -> None:
        known = self._store.get(identity)
        self._store.put(identity, stored)
        before, owner = (known.value, known.owner) if known is not None else (None, stored.owner)
        if (before, owner) != (stored.value, stored.owner):
            self._react(identity, before, stored.value, {owner, stored.owner})
        elif identity[0] == "EdgeModel" and stored.owner is not None:  # each listing anew makes a pass of each
            self._changed(stored.owner)

    def _cannot_read(self, raw: Raw, owner: Key | None, reason: str, problem: str) -> None:
        identity = kind, namespace, name = _identity(raw)
        place = f"{name} -n {namespace}" if namespace else name
        outdated = BY_KIND[kind].cure_outdated if reason == reasons.SCHEMA_OUTDATED else ""
        cure = (
            outdated
            or BY_KIND[kind].cure
            or f"delete it, and the operator makes it anew: kubectl delete {kind.lower()} {place}"
        )
        told = UnreadableObject(kind, namespace, name, reason, problem, cure)
        known = self._unreadable.get(identity)
        if known is None or known.told != told:
            log.error("%s", told)
        self._drop_unreadable(identity)
        self._unreadable[identity] = _Unreadable(told, owner, raw)
        if owner is not None:
            self._unreadable_of[owner].add(identity)
            self._changed(owner)

    def _can_read(self, identity: Identity) -> None:
        known = self._drop_unreadable(identity)
        if known is not None and known.owner is not None:
            self._changed(known.owner)

    def _drop_unreadable(self, identity: Identity) -> _Unreadable | None:
        known = self._unreadable.pop(identity, None)
        if known is not None and known.owner is not None:
            self._unreadable_of[known.owner].discard(identity)
            if not self._unreadable_of[known.owner]:
                del self._unreadable_of[known.owner]
        return known

    def _suspended(self, key: Key, unreadable: Iterable[Identity]) -> SuspendedModel | None:
        """Returns the suspension of an EdgeModel; None if the EdgeModel does not exist."""
        told = tuple(self._unreadable[identity].told for identity in sorted(unreadable))
        own, model = self._unreadable.get(("EdgeModel", *key)), self._model(key)
        if own is not None:
            meta = own.raw["metadata"]
            if "deletionTimestamp" in meta:
                return None
            conditions, stored = whole_conditions(own.raw), stored_status(own.raw)
            return SuspendedModel(*key, meta["uid"], meta.get("generation", 0), conditions, stored, told)
        if model is None or model.deleting:
            return None
        return SuspendedModel(*key, model.uid, model.generation, model.status.conditions, model.stored_status, told)

    def _pin_names(self) -> Iterator[PinNames]:
        """Yields the names for every EdgeModel's pins; an unreadable one may have set pins of the names that it seems
        to have."""
        for key in {*self._store.kind("EdgeModel"), *self._unreadable_of}:
            model, revisions = self._model(key), self._store.owned(key, Revision)
            names = {revision.name for revision in revisions}
            variants = {variant.name for revision in revisions for variant in revision.spec.variants}
            if model is not None:
                names |= model.status.revisions
                variants |= {variant.name for variant in model.spec.variants}
            for kind, namespace, name in self._unreadable_of.get(key, ()):
                raw = self._unreadable[kind, namespace, name].raw
                names |= revisions_in_status(raw.get("status"))
                names |= {name} if kind == "EdgeModelRevision" else set()
                variants |= {DEFAULT_VARIANT} | variants_in_spec(raw)
            yield PinNames(*key, frozenset(names), frozenset(variants))

    def _pins_of_unreadable_owners(self) -> frozenset[str]:
        """Returns the pins that DaemonSets select whose EdgeModel has an unreadable object."""
        owned = (applied for key in self._unreadable_of for applied in self._store.owned(key, Applied))
        return frozenset(pin for applied in owned for pin in applied.pins)

    def _forget(self, identity: Identity) -> None:
        self._can_read(identity)
        known = self._store.remove(identity)
        if known is None:
            return
        if identity[0] == "EdgeModel":
            self.samples.pop(identity[1:], None)
        elif identity[0] == "EdgeModelRevision" and known.owner is not None:
            self.clocks.forget_revision(known.owner, identity[2])
        self._react(identity, known.value, None, {known.owner})
        if known.owner is not None and self._store.owns_nothing(known.owner):
            self.clocks.forget_owner(known.owner)

    def _react(self, identity: Identity, before: object, after: object, owners: set[Key | None]) -> None:
        """Updates clocks and indices after a change of one object, and reports the EdgeModels that may decide
        otherwise."""
        kind, namespace, name = identity
        concerned = {owner for owner in owners if owner is not None}
        if kind == "Node":
            self._nodes = None
            self.clocks.node_changed(_as(Node, before), _as(Node, after))
            concerned |= self._selecting(_as(Node, before), _as(Node, after))
        elif kind == "EdgeModel":
            concerned |= self._claim(identity[1:], _as(CachedEdgeModel, before), _as(CachedEdgeModel, after))
        elif kind == "Pod":
            for owner in concerned:
                self.clocks.pod_changed(owner, _as(Pod, before), _as(Pod, after))
            if after is None:
                self._steps.pop((namespace, name), None)
        for key in concerned:
            self._changed(key)

    def _selecting(self, before: Node | None, after: Node | None) -> set[Key]:
        """Returns the EdgeModels that select a node, or did before it changed."""
        labels = [node.labels for node in (before, after) if node is not None]
        return {
            key
            for key, stored in self._store.kind("EdgeModel").items()
            if stored.value is not None and any(matches(stored.value.spec.node_selector, each) for each in labels)
        }

    def _claim(self, key: Key, before: CachedEdgeModel | None, after: CachedEdgeModel | None) -> set[Key]:
        """Updates the index of host ports. Returns the EdgeModels that want the same port, before or after."""
        rivals: set[Key] = set()
        port_before = before.spec.serving.host_port if before is not None else None
        port_after = after.spec.serving.host_port if after is not None else None
        if port_before is not None:
            rivals |= self._host_ports[port_before]
            self._host_ports[port_before].discard(key)
        if port_after is not None:
            rivals |= self._host_ports[port_after]
            self._host_ports[port_after].add(key)
        return rivals

    def _claims(self, model: CachedEdgeModel) -> tuple[HostPortClaim, ...]:
        port = model.spec.serving.host_port
        if port is None:
            return ()
        others = (self._model(key) for key in sorted(self._host_ports[port]))
        return tuple(
            HostPortClaim(other.namespace, other.name, other.uid, other.created, other.spec.node_selector)
            for other in others
            if other is not None and other.uid != model.uid
        )

    def _jobs(self, key: Key) -> tuple[tuple[CompressionJob, ...], tuple[PreflightJob, ...]]:
        newest: dict[str, JobPod] = {}
        for pod in self._store.owned(key, JobPod):
            known = newest.get(pod.job_uid)
            if known is None or pod.created > known.created:
                newest[pod.job_uid] = pod
        compressions, preflights = [], []
        for job in self._store.owned(key, JobObject):
            its = newest.get(job.uid)
            if job.is_preflight:
                preflights.append(preflight_job(job, its))
            else:
                step = self._steps.get((key[0], its.name)) if its is not None else None
                compressions.append(compression_job(job, its, step))
        return tuple(compressions), tuple(preflights)


def _identity(raw: Raw) -> Identity:
    meta = raw["metadata"]
    return raw["kind"], meta.get("namespace", ""), meta["name"]


def _as(expected: type[T], value: object) -> T | None:
    return value if isinstance(value, expected) else None
