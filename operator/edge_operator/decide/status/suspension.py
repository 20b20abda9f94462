"""EdgeModels that the operator must not touch, because an object of theirs cannot be read.

Nothing of such an EdgeModel is created, changed or deleted: a decision from half of the facts could take the revision
that serves for gone. Its conditions say which object it is, and what a person can do.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edge_operator.decide.status import conditions as words
from edge_operator.decide.status.conditions import Condition

MAX_NAMED = 5
"""Objects that the condition names; the log names all."""


@dataclass(frozen=True)
class UnreadableObject:
    kind: str
    namespace: str
    name: str
    reason: str
    """A reason of ``edgemodel.reasons``."""
    message: str
    """What is wrong with it."""
    cure: str
    """What a person can do."""

    def __str__(self) -> str:
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.kind} {place} cannot be read: {self.message}; {self.cure}"


@dataclass(frozen=True)
class SuspendedModel:
    """An EdgeModel some of whose objects cannot be read, perhaps itself."""

    namespace: str
    name: str
    uid: str
    generation: int
    status: dict[str, Any]
    """As it is stored."""
    unreadable: tuple[UnreadableObject, ...]
    """At least one."""


def suspended_status(model: SuspendedModel, now: datetime) -> dict[str, Any]:
    """Returns the status to write: conditions alone, the rest stays as it is."""
    first = min(model.unreadable, key=lambda item: (item.kind != "EdgeModel", item.kind, item.name))
    alike = [item for item in model.unreadable if item.reason == first.reason]
    others = [f"{item.kind} {item.name}" for item in alike if item is not first][:MAX_NAMED]
    message = f"{first}; until then nothing of this EdgeModel is touched"
    if others:
        message += f"; so are {', '.join(others)}" + (", …" if len(alike) - 1 > len(others) else "")
    kept = [item for item in _conditions(model.status) if item["type"] not in ("Ready", "Reconciling", "Stalled")]
    stalled: list[Condition] = words.stalled(first.reason, message)
    merged = words.merge_conditions(_conditions(model.status), stalled, model.generation, now)
    return {"observedGeneration": model.generation, "conditions": [*merged, *kept]}


def _conditions(status: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns what can be read of the conditions there are."""
    found = status.get("conditions")
    items = found if isinstance(found, list) else []
    return [
        item for item in items if isinstance(item, dict) and {"type", "status", "lastTransitionTime"} <= item.keys()
    ]
