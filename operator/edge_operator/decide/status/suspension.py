"""The EdgeModels that the operator must not change, because one of their objects cannot be read.

Nothing of such an EdgeModel is created, changed or deleted: from incomplete facts a pass could decide that a serving
revision is gone. The conditions name the object, and what a person can do.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edge_operator.decide.status import conditions as words
from edgemodel.status import StoredCondition, SuspendedStatus

MAX_NAMED = 5
"""The number of objects that the condition names; the log names all."""


@dataclass(frozen=True)
class UnreadableObject:
    """The description of an object that cannot be read."""

    kind: str
    namespace: str
    name: str
    reason: str
    """The reason, one of ``edgemodel.reasons``."""
    message: str
    """The description of the problem."""
    cure: str
    """The advice to a person."""

    def __str__(self) -> str:
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {place} cannot be read: {self.message}; {self.cure}"


@dataclass(frozen=True)
class SuspendedModel:
    """An EdgeModel with unreadable objects, possibly itself."""

    namespace: str
    name: str
    uid: str
    generation: int
    conditions: tuple[StoredCondition, ...]
    """The readable ones of its stored conditions."""
    stored_status: Mapping[str, Any]
    """The status as it is stored."""
    unreadable: tuple[UnreadableObject, ...]
    """The unreadable objects, at least one."""


def suspended_status(model: SuspendedModel, now: datetime) -> SuspendedStatus:
    """Returns the status to write: new conditions, with everything else unchanged."""
    first = min(model.unreadable, key=lambda item: (item.kind != "EdgeModel", item.kind, item.name))
    alike = [item for item in model.unreadable if item.reason == first.reason]
    others = [f"{item.kind} {item.name}" for item in alike if item is not first][:MAX_NAMED]
    message = f"{first}; until then nothing of this EdgeModel is touched"
    if others:
        message += f"; so are {', '.join(others)}" + (", …" if len(alike) - 1 > len(others) else "")
    kept = [item for item in model.conditions if item.type not in ("Ready", "Reconciling", "Stalled")]
    merged = words.merge_conditions(model.conditions, words.stalled(first.reason, message), model.generation, now)
    return SuspendedStatus(model.generation, (*merged, *kept))
