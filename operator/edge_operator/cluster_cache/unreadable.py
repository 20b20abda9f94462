"""The objects that cannot be read, with the faults and the advice to a person."""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from edge_operator.cluster_cache.kinds import BY_KIND
from edge_operator.cluster_cache.store import Identity, Key, identity_of
from edge_operator.decide.status.suspension import UnreadableObject
from edge_operator.from_api import Raw
from edgemodel import reasons
from edgemodel.error_words import in_words
from edgemodel.schema_version import SchemaOutdated

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Unreadable:
    """An unreadable object: its description, its EdgeModel, and the object as it was received."""

    told: UnreadableObject
    owner: Key | None
    raw: Raw


class UnreadableObjects:
    """The unreadable objects by identity, with an index by EdgeModel."""

    def __init__(self) -> None:
        self._objects: dict[Identity, Unreadable] = {}
        self._owned: defaultdict[Key, set[Identity]] = defaultdict(set)

    def __contains__(self, identity: Identity) -> bool:
        return identity in self._objects

    def get(self, identity: Identity) -> Unreadable | None:
        """Returns the object; None if it is not known as unreadable."""
        return self._objects.get(identity)

    def add(self, raw: Raw, owner: Key | None, error: Exception) -> None:
        """Stores the object with the error of reading it, and logs it unless it is known with the same error."""
        identity, told = identity_of(raw), _describe(raw, error)
        known = self._objects.get(identity)
        if known is None or known.told != told:
            log.error("%s", told)
        self.remove(identity)
        self._objects[identity] = Unreadable(told, owner, raw)
        if owner is not None:
            self._owned[owner].add(identity)

    def remove(self, identity: Identity) -> Unreadable | None:
        """Removes and returns the object; None if it is not known as unreadable."""
        known = self._objects.pop(identity, None)
        if known is not None and known.owner is not None:
            self._owned[known.owner].discard(identity)
            if not self._owned[known.owner]:
                del self._owned[known.owner]
        return known

    def owned(self, owner: Key) -> tuple[Unreadable, ...]:
        """Returns the unreadable objects of ``owner``, by their identity."""
        return tuple(self._objects[identity] for identity in sorted(self._owned.get(owner, ())))

    @property
    def owners(self) -> Collection[Key]:
        """The EdgeModels of the unreadable objects; the name is empty for an object that names none."""
        return self._owned.keys()

    def __iter__(self) -> Iterator[UnreadableObject]:
        return (item.told for item in tuple(self._objects.values()))


def _describe(raw: Raw, error: Exception) -> UnreadableObject:
    kind, namespace, name = identity_of(raw)
    row, is_outdated = BY_KIND[kind], isinstance(error, SchemaOutdated)
    place = f"{name} -n {namespace}" if namespace else name
    cure = (row.cure_outdated if is_outdated else "") or row.cure
    return UnreadableObject(
        kind=kind,
        namespace=namespace,
        name=name,
        reason=reasons.SCHEMA_OUTDATED if is_outdated else reasons.OBJECT_UNREADABLE,
        message=str(error) if is_outdated else in_words(error),
        cure=cure or f"delete it, and the operator creates it again: kubectl delete {kind.lower()} {place}",
    )
