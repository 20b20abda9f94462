"""The times that the API server does not keep: when this process saw a pin appear, a pod go, a node come back.

An operator that has just started has seen nothing, which the decisions treat as a long time ago.
"""

from collections.abc import Callable, Mapping
from datetime import datetime

from edge_operator.cluster_cache.store import Key
from edge_operator.decide.observation import Node, Pod, Refusal

PodPlace = tuple[str, str, str]
"""The place of a server pod: (node, revision, variant)."""
Refusals = Mapping[tuple[str, str], Refusal]
"""The last refusals of one EdgeModel by (kind, name) of the object."""


class Clocks:
    """The times of changes, by the clock of this process; they are lost with it."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self.pins_seen: dict[tuple[str, str], datetime] = {}
        """The time at which the pin was first seen on the node, by (node, pin)."""
        self.back_since: dict[str, datetime] = {}
        """The time at which the node was last seen to come back, by node."""
        self.opened_since: dict[str, datetime] = {}
        """The time at which the taints or the cordon of the node were last seen to change, by node."""
        self.api_back_since: datetime | None = None
        """The time at which the API server last came back; None if it was never away."""
        self._pods_lost: dict[Key, dict[PodPlace, datetime]] = {}
        self._startable_since: dict[Key, dict[str, datetime]] = {}

    def pods_lost(self, owner: Key) -> Mapping[PodPlace, datetime]:
        """Returns the time at which a pod of ``owner`` was last seen to go, by its place."""
        return self._pods_lost.get(owner, {})

    def startable_since(self, owner: Key) -> Mapping[str, datetime]:
        """Returns the time at which what kept a pod of ``owner`` from starting was last seen to disappear, by pod."""
        return self._startable_since.get(owner, {})

    def refusals_changed(self, owner: Key, before: Refusals, after: Refusals) -> None:
        """Notes the pods of ``owner`` that nothing keeps from starting any more."""
        kept = {name for (_, name), refusal in before.items() if refusal.keeps_from_starting}
        for name in kept - {name for (_, name) in after}:
            self._startable_since.setdefault(owner, {})[name] = self._clock()

    def api_is_back(self) -> None:
        """Notes that the API server answers again after an outage."""
        self.api_back_since = self._clock()

    def node_changed(self, before: Node | None, after: Node | None) -> None:
        """Notes the change of a node. ``before`` is None for a new node, ``after`` for one that is gone."""
        node = after if after is not None else before
        if node is None:
            return
        name = node.name
        if after is None:
            self.back_since.pop(name, None)
            self.opened_since.pop(name, None)
        elif after.online and before is not None and not before.online:
            self.back_since[name] = self._clock()
        if before is not None and after is not None and _barriers(before) != _barriers(after):
            self.opened_since[name] = self._clock()
        pins_before = before.pins if before is not None else frozenset()
        pins_after = after.pins if after is not None else frozenset()
        for pin in pins_before - pins_after:
            self.pins_seen.pop((name, pin), None)
        for pin in pins_after - pins_before:
            self.pins_seen[name, pin] = self._clock()

    def pod_changed(self, owner: Key, before: Pod | None, after: Pod | None) -> None:
        """Notes the change of a pod. A pod is lost when it begins to terminate, and again when it is gone."""
        if after is None and before is not None:
            gone = before
        elif after is not None and after.terminating and not (before is not None and before.terminating):
            gone = after
        else:
            return
        self._startable_since.get(owner, {}).pop(gone.name, None)
        self._pods_lost.setdefault(owner, {})[gone.node, gone.revision, gone.variant] = self._clock()

    def forget_revision(self, owner: Key, revision: str) -> None:
        """Removes the lost pods of a deleted revision of ``owner``."""
        lost = self._pods_lost.get(owner, {})
        for place in [place for place in lost if place[1] == revision]:
            del lost[place]

    def forget_owner(self, owner: Key) -> None:
        """Removes the lost pods of an EdgeModel that has no objects any more."""
        self._pods_lost.pop(owner, None)
        self._startable_since.pop(owner, None)


def _barriers(node: Node) -> tuple[object, ...]:
    """Returns the properties that may keep pods away from an online node."""
    return node.taints, node.cordoned
