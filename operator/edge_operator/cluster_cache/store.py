"""The newest known version of every watched object, read once and indexed by the EdgeModel that it belongs to."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, TypeVar, cast

Key = tuple[str, str]
"""The (namespace, name) of an EdgeModel, or of another object of a known kind."""

Identity = tuple[str, str, str]
"""The (kind, namespace, name) of an object; the namespace is empty for kinds without one."""

T = TypeVar("T")


def identity_of(raw: Mapping[str, Any]) -> Identity:
    """Returns the identity of an object of the API server."""
    meta = raw["metadata"]
    return raw["kind"], meta.get("namespace", ""), meta["name"]


@dataclass(frozen=True)
class Stored(Generic[T]):
    """An object as the cache keeps it."""

    version: int
    """The resourceVersion of the object."""
    owner: Key | None
    """The EdgeModel that the object belongs to; None for nodes, which belong to none."""
    value: T
    """The value; None if the object is not the operator's, or has never been readable."""


class ObjectStore:
    """A store of objects by identity, with an index by owner and type of value."""

    def __init__(self) -> None:
        self._kinds: defaultdict[str, dict[Key, Stored[Any]]] = defaultdict(dict)
        self._owned: dict[Key, dict[type, dict[Identity, Any]]] = {}

    def is_older(self, identity: Identity, version: int) -> bool:
        """Returns whether a newer version of the object than ``version`` is known."""
        known = self.get(identity)
        return known is not None and version < known.version

    def get(self, identity: Identity) -> Stored[Any] | None:
        """Returns the newest known state of the object; None if it is not known."""
        kind, *key = identity
        return self._kinds[kind].get((key[0], key[1]))

    def put(self, identity: Identity, stored: Stored[Any]) -> None:
        """Stores the object in place of its earlier state."""
        self._unindex(identity)
        kind, namespace, name = identity
        self._kinds[kind][namespace, name] = stored
        if stored.owner is not None and stored.value is not None:
            by_type = self._owned.setdefault(stored.owner, {})
            by_type.setdefault(type(stored.value), {})[identity] = stored.value

    def remove(self, identity: Identity) -> Stored[Any] | None:
        """Removes and returns the object; None if it is not known."""
        self._unindex(identity)
        kind, namespace, name = identity
        return self._kinds[kind].pop((namespace, name), None)

    def kind(self, kind: str) -> Mapping[Key, Stored[Any]]:
        """Returns all objects of ``kind`` by (namespace, name)."""
        return MappingProxyType(self._kinds[kind])

    def owned(self, owner: Key, value_type: type[T]) -> Collection[T]:
        """Returns the values of ``value_type`` that belong to ``owner``."""
        found: dict[Identity, T] = cast(dict[Identity, T], self._owned.get(owner, {}).get(value_type, {}))
        return found.values()

    def owners(self) -> Iterator[Key]:
        """Yields every EdgeModel that has objects in the store, including deleted ones."""
        return iter(tuple(self._owned))

    def owns_nothing(self, owner: Key) -> bool:
        """Returns whether no readable object in the store belongs to ``owner``."""
        return owner not in self._owned

    def _unindex(self, identity: Identity) -> None:
        known = self.get(identity)
        if known is None or known.owner is None or known.value is None:
            return
        by_type = self._owned[known.owner]
        values = by_type[type(known.value)]
        del values[identity]
        if not values:
            del by_type[type(known.value)]
        if not by_type:
            del self._owned[known.owner]
