"""Nodes that are set aside: they are online, but no pod of the EdgeModel can or should be created there.

A cordon announces maintenance: DaemonSet pods would be created there all the same, but a node that is about to go down
says nothing about a candidate. Only a toleration that names its taint lets a cordoned node take part.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from edge_operator.decide.observation import Node, Taint
from edgemodel.toleration import Toleration

CORDON: Final = "node.kubernetes.io/unschedulable"
"""The taint of a cordoned node; ``Node.cordoned`` is set sooner."""
TOLERATED: Final = frozenset(
    {
        CORDON,
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/unreachable",
        "node.kubernetes.io/disk-pressure",
        "node.kubernetes.io/memory-pressure",
        "node.kubernetes.io/pid-pressure",
    }
)
"""The taints that are ignored: the DaemonSet controller makes its pods tolerate them, and the condition Ready covers
nodes that are not ready."""


@dataclass(frozen=True)
class SetAside:
    """A node that is set aside, and the reason for a message."""

    node: str
    why: str

    def __str__(self) -> str:
        return f"{self.node} ({self.why})" if self.why else self.node


def why_set_aside(node: Node, tolerations: Iterable[Toleration]) -> str:
    """Returns ``cordoned``, ``tainted KEY=VALUE:EFFECT``, or an empty text if pods with ``tolerations`` can be
    created."""
    if not node.cordoned and not node.taints:
        return ""
    given = tuple(tolerations)
    if node.cordoned and not any(toleration.key == CORDON for toleration in given):
        return "cordoned"
    repels = (taint for taint in node.taints if _repels(taint))
    first = next((taint for taint in repels if not any(tolerates(each, taint) for each in given)), None)
    return f"tainted {first}" if first is not None else ""


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Tells whether ``toleration`` matches ``taint``, by the rules of Kubernetes."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return bool(toleration.key) and (toleration.value or "") == taint.value


def _repels(taint: Taint) -> bool:
    return taint.effect != "PreferNoSchedule" and taint.key not in TOLERATED
