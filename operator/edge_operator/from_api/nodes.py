"""Nodes: their pins, when they were last online, and what keeps pods away."""

from typing import Any

from edge_operator.decide.observation import Node, Taint
from edge_operator.decide.resources import amount
from edge_operator.from_api.raw import Raw, find_condition, parse_time
from edgemodel.names import DEFERRAL_PREFIX, PIN_PREFIX


def read_node(raw: Raw) -> Node:
    """Returns the node; its labels are without pins and deferrals."""
    labels = raw["metadata"].get("labels") or {}
    spec, status = raw.get("spec") or {}, raw.get("status") or {}
    ready = find_condition(raw, "Ready")
    online = ready is not None and ready["status"] == "True"
    transition = ready.get("lastTransitionTime") if ready is not None else None
    changed = parse_time(transition) if transition else None
    return Node(
        name=raw["metadata"]["name"],
        uid=raw["metadata"]["uid"],
        labels={key: value for key, value in labels.items() if not key.startswith((PIN_PREFIX, DEFERRAL_PREFIX))},
        pins=frozenset(key for key in labels if key.startswith(PIN_PREFIX)),
        deferrals=frozenset(key for key in labels if key.startswith(DEFERRAL_PREFIX)),
        online=online,
        architecture=(status.get("nodeInfo") or {}).get("architecture") or labels.get("kubernetes.io/arch", ""),
        offline_since=None if online else changed,
        online_since=changed if online else None,
        taints=tuple(
            Taint(taint["key"], taint.get("value") or "", taint["effect"]) for taint in spec.get("taints") or ()
        ),
        memory_bytes=_bytes((status.get("allocatable") or {}).get("memory")),
        disk_bytes=_bytes((status.get("allocatable") or {}).get("ephemeral-storage")),
        cordoned=bool(spec.get("unschedulable")),
    )


def _bytes(quantity: Any) -> int | None:
    """Returns the quantity in bytes; None for one that is missing or no quantity."""
    try:
        return int(amount(quantity)) if quantity is not None else None
    except ValueError:
        return None
