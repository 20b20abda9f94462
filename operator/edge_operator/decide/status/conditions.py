"""The whole status of an EdgeModel from one pass. Conditions follow kstatus.

``Ready`` is always there; ``Reconciling`` and ``Stalled`` only while True and never together. Nothing that
changes by itself (elapsed time) is in it: it is written when its meaning changes, for SD cards wear out.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edge_operator.decide.formats import MAX_MESSAGE_LENGTH, timestamp

MAX_REJECTED = 100
MAX_EXPLAINED = 10
"""Of the rejected revisions, the newest keep their message."""
MAX_NAMES = 20
MAX_CHECKS = 20


@dataclass(frozen=True)
class Condition:
    type: str
    true: bool
    reason: str
    message: str


@dataclass(frozen=True)
class NodeCounts:
    """Counts of the selected nodes; ``not_ready`` names at most MAX_NAMES that are offline, failed or unsupported."""

    selected: int
    stable: int
    candidate: int
    offline: int
    failed: int
    unsupported: int
    not_ready: tuple[str, ...] = ()
    offline_names: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "selected": self.selected,
            "stable": self.stable,
            "candidate": self.candidate,
            "offline": self.offline,
            "failed": self.failed,
            "unsupported": self.unsupported,
            "summary": f"{self.stable + self.candidate}/{self.selected}",
            "notReady": list(self.not_ready[:MAX_NAMES]),
        }


def ready(reason: str, message: str) -> list[Condition]:
    return [Condition("Ready", True, reason, message)]


def reconciling(reason: str, message: str) -> list[Condition]:
    return [Condition("Ready", False, reason, message), Condition("Reconciling", True, reason, message)]


def stalled(reason: str, message: str) -> list[Condition]:
    return [Condition("Ready", False, reason, message), Condition("Stalled", True, reason, message)]


def merge_conditions(
    previous: list[dict[str, Any]], conditions: list[Condition], generation: int, now: datetime
) -> list[dict[str, Any]]:
    """``conditions`` as Kubernetes has them; the transition time is kept while ``status`` stays what it was."""
    before = {item["type"]: item for item in previous}
    merged = []
    for condition in conditions:
        status = "True" if condition.true else "False"
        old = before.get(condition.type)
        since = old["lastTransitionTime"] if old and old["status"] == status else timestamp(now)
        merged.append(
            {
                "type": condition.type,
                "status": status,
                "reason": condition.reason,
                "message": condition.message[:MAX_MESSAGE_LENGTH],
                "observedGeneration": generation,
                "lastTransitionTime": since,
            }
        )
    return merged
