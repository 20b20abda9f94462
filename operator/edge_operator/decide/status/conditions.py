"""The conditions of a pass, and their form in status. They follow kstatus.

``Ready`` is always present; ``Reconciling`` and ``Stalled`` only while True and never together. The status holds
nothing that changes by itself, such as elapsed time: it is written only when its meaning changes, because SD cards wear
out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from edgemodel.status import MAX_MESSAGE_LENGTH, StoredCondition


@dataclass(frozen=True)
class Condition:
    """A condition before it is stored."""

    type: str
    true: bool
    reason: str
    message: str


def ready(reason: str, message: str) -> list[Condition]:
    """Returns the conditions of an EdgeModel that is as its spec asks."""
    return [Condition("Ready", True, reason, message)]


def reconciling(reason: str, message: str) -> list[Condition]:
    """Returns the conditions of an EdgeModel that will change by itself."""
    return [Condition("Ready", False, reason, message), Condition("Reconciling", True, reason, message)]


def stalled(reason: str, message: str) -> list[Condition]:
    """Returns the conditions of an EdgeModel for which a person must act."""
    return [Condition("Ready", False, reason, message), Condition("Stalled", True, reason, message)]


def merge_conditions(
    previous: Iterable[StoredCondition], conditions: Iterable[Condition], generation: int, now: datetime
) -> tuple[StoredCondition, ...]:
    """Returns ``conditions`` in Kubernetes' form; the transition time is kept while ``status`` stays the same."""
    before = {item.type: item for item in previous}
    merged = []
    for condition in conditions:
        old, status = before.get(condition.type), "True" if condition.true else "False"
        stored = StoredCondition(
            type=condition.type,
            status=status,
            reason=condition.reason,
            message=condition.message[:MAX_MESSAGE_LENGTH],
            last_transition_time=old.last_transition_time if old is not None and old.status == status else now,
            observed_generation=generation,
        )
        merged.append(stored)
    return tuple(merged)
