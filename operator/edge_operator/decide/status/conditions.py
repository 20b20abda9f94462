"""The complete status of an EdgeModel after one pass. Conditions follow kstatus.

``Ready`` is always present; ``Reconciling`` and ``Stalled`` only while True and never together. The status holds
nothing that changes by itself, such as elapsed time: it is written only when its meaning changes, because SD cards wear
out.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edge_operator.decide.formats import MAX_MESSAGE_LENGTH, timestamp

MAX_REJECTED = 100
MAX_EXPLAINED = 10
"""The number of rejected revisions, the newest, that keep their message."""
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
    """The numbers of selected nodes; ``not_ready`` names at most MAX_NAMES that are offline, failed or unsupported."""

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
    """Returns ``conditions`` in Kubernetes' form; the transition time is kept while ``status`` stays the same."""
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
