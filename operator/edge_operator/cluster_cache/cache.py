"""The state of the cluster as the operator knows it.

Watch events and the answers to the operator's own writes enter the same way, so that a pass never runs on a state older
than its own last write.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import TypeVar

from edge_operator.cluster_cache.clocks import Clocks
from edge_operator.cluster_cache.kinds import BY_KIND
from edge_operator.cluster_cache.known_state import KnownState
from edge_operator.cluster_cache.observe import observe
from edge_operator.cluster_cache.store import Identity, Key, Stored, identity_of
from edge_operator.cluster_cache.stray_labels import stray_labels
from edge_operator.decide.measurement import Samples
from edge_operator.decide.observation import Node, Observation, OperatorSettings, Pod, Refusal, Revision
from edge_operator.decide.placement.selection import matches
from edge_operator.decide.status.suspension import SuspendedModel, UnreadableObject
from edge_operator.from_api import CachedEdgeModel, JobObject, JobPod, Raw
from edgemodel.progress import StepBegun
from edgemodel.schema_version import SchemaOutdated

UNREADABLE_ERRORS = (SchemaOutdated, KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)
"""The exceptions of ``from_api`` for an object that does not match its schema."""

T = TypeVar("T")


class ClusterCache:
    """The cache of all watched objects, with what only this process has seen of them."""

    def __init__(
        self,
        settings: OperatorSettings,
        changed: Callable[[Key], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Calls ``changed`` with every EdgeModel whose next pass may decide otherwise."""
        self._known = KnownState(settings, Clocks(clock))
        self._store, self._clocks = self._known.store, self._known.clocks
        self._changed = changed

    # --- in ---

    def see(self, raw: Raw) -> None:
        """Stores the present state of an object; ignores one older than the known state.

        An object that cannot be read is logged and listed in ``unreadable``; its last readable state is kept.
        """
        kind, identity = BY_KIND[raw["kind"]], identity_of(raw)
        version = int(raw["metadata"]["resourceVersion"])
        if self._store.is_older(identity, version):
            return
        owner = kind.owner(raw)
        try:
            value = kind.read(raw)
        except UNREADABLE_ERRORS as error:
            known = self._store.get(identity)
            value = known.value if known is not None else None
            self._known.unreadable.add(raw, owner, error)
            if owner is not None:
                self._changed(owner)
        else:
            self._can_read(identity)
        self._put(identity, Stored(version, owner, value))

    def forget(self, raw: Raw) -> None:
        """Removes an object, unless a newer one of the same name is known: the deletion of the old one may arrive
        late."""
        identity = identity_of(raw)
        version = raw["metadata"].get("resourceVersion")
        if version is None or not self._store.is_older(identity, int(version)):
            self._forget(identity)

    def forget_node(self, name: str) -> None:
        """Removes a node that the API server does not know."""
        self._forget(("Node", "", name))

    def prune(self, kind: str, seen: Iterable[Raw], listed_at: int) -> None:
        """Removes objects of ``kind`` that a complete listing lacks, because a gap in a watch hid their deletion.

        Objects newer than ``listed_at``, the resourceVersion of the listing, stay.
        """
        alive = {identity_of(raw)[1:] for raw in seen}
        gone = [
            key for key, stored in self._store.kind(kind).items() if key not in alive and stored.version <= listed_at
        ]
        for namespace, name in gone:
            self._forget((kind, namespace, name))

    def set_samples(self, key: Key, samples: Samples) -> None:
        """Stores the answer of Prometheus, or that there was none."""
        if self._known.model(key) is not None:
            self._known.samples[key] = samples
            self._changed(key)

    def forget_samples(self, key: Key) -> None:
        """Removes the answer of Prometheus about an EdgeModel, if there is one."""
        self._known.samples.pop(key, None)

    def set_refusals(self, key: Key, refusals: Mapping[tuple[str, str], Refusal]) -> None:
        """Stores the refusals of objects without pods, by (kind, name), in place of the earlier ones."""
        before = self._known.refusals.get(key, {})
        if before == refusals or self._known.model(key) is None:
            return
        self._clocks.refusals_changed(key, before, refusals)
        self._known.refusals[key] = refusals
        self._changed(key)

    def set_progress(self, namespace: str, pod: str, step: StepBegun) -> bool:
        """Stores the step that the pod of a compression Job begins. Returns False if there is no such pod."""
        stored = self._store.get(("Pod", namespace, pod))
        if stored is None or stored.owner is None or not isinstance(stored.value, JobPod):
            return False
        if self._known.steps.get((namespace, pod)) != step:
            self._known.steps[namespace, pod] = step
            self._changed(stored.owner)
        return True

    def api_is_back(self) -> None:
        """Notes the end of an outage of the API server, which neither nodes nor the operator could reach."""
        self._clocks.api_is_back()

    # --- out ---

    @property
    def models(self) -> dict[Key, CachedEdgeModel]:
        """Returns every EdgeModel that was readable at least once."""
        return self._known.models

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Returns every node that was readable at least once."""
        return self._known.nodes

    @property
    def samples(self) -> dict[Key, Samples]:
        """Returns the last answer of Prometheus, by EdgeModel."""
        return self._known.samples

    @property
    def unreadable(self) -> list[UnreadableObject]:
        """Returns the objects that cannot be read."""
        return list(self._known.unreadable)

    @property
    def unreadable_owners(self) -> frozenset[Key]:
        """Returns the EdgeModels of the unreadable objects; the name is empty for an object that names none."""
        return frozenset(self._known.unreadable.owners)

    def revisions(self, key: Key) -> Collection[Revision]:
        """Returns the readable revisions of an EdgeModel, in no particular order."""
        return self._store.owned(key, Revision)

    def pods(self, key: Key) -> Collection[Pod]:
        """Returns the server and puller pods of an EdgeModel, including terminating ones."""
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
        return observe(self._known, key)

    def stray_labels(self) -> dict[str, frozenset[str]]:
        """Returns the pins and deferrals that no EdgeModel can have set, by node."""
        return stray_labels(self._known)

    # --- inside ---

    def _put(self, identity: Identity, stored: Stored[object]) -> None:
        known = self._store.get(identity)
        self._store.put(identity, stored)
        before, owner = (known.value, known.owner) if known is not None else (None, stored.owner)
        if (before, owner) != (stored.value, stored.owner):
            self._react(identity, before, stored.value, {owner, stored.owner})
        elif identity[0] == "EdgeModel" and stored.owner is not None:  # each relist starts a pass of each
            self._changed(stored.owner)

    def _can_read(self, identity: Identity) -> None:
        known = self._known.unreadable.remove(identity)
        if known is not None and known.owner is not None:
            self._changed(known.owner)

    def _forget(self, identity: Identity) -> None:
        self._can_read(identity)
        known = self._store.remove(identity)
        if known is None:
            return
        if identity[0] == "EdgeModel":
            self._known.samples.pop(identity[1:], None)
            self._known.refusals.pop(identity[1:], None)
        elif identity[0] == "EdgeModelRevision" and known.owner is not None:
            self._clocks.forget_revision(known.owner, identity[2])
        self._react(identity, known.value, None, {known.owner})
        if known.owner is not None and self._store.owns_nothing(known.owner):
            self._clocks.forget_owner(known.owner)

    def _react(self, identity: Identity, before: object, after: object, owners: set[Key | None]) -> None:
        """Updates clocks and indices after a change of one object, and reports the EdgeModels that may decide
        otherwise."""
        kind, namespace, name = identity
        concerned = {owner for owner in owners if owner is not None}
        if kind == "Node":
            self._known.nodes_changed()
            self._clocks.node_changed(_as(Node, before), _as(Node, after))
            concerned |= self._selecting(_as(Node, before), _as(Node, after))
        elif kind == "EdgeModel":
            models = _as(CachedEdgeModel, before), _as(CachedEdgeModel, after)
            concerned |= self._known.host_ports.change(identity[1:], *models)
        elif kind == "Pod":
            for owner in concerned:
                self._clocks.pod_changed(owner, _as(Pod, before), _as(Pod, after))
            if after is None:
                self._known.steps.pop((namespace, name), None)
        for key in concerned:
            self._changed(key)

    def _selecting(self, before: Node | None, after: Node | None) -> set[Key]:
        """Returns the EdgeModels that select a node, or did before it changed."""
        labels = [node.labels for node in (before, after) if node is not None]
        return {
            key
            for key, model in self._known.models.items()
            if any(matches(model.spec.node_selector, each) for each in labels)
        }


def _as(expected: type[T], value: object) -> T | None:
    return value if isinstance(value, expected) else None
