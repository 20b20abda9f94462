"""Reads from an object that is not readable as a whole what is needed to keep its pins and its status safe."""

from typing import Any

from edge_operator.from_api import Raw


def revisions_in_status(status: Any) -> frozenset[str]:
    """Returns the names of revisions in the status of an EdgeModel, whatever else is in it."""
    if not isinstance(status, dict):
        return frozenset()
    named = (status.get("stableRevision"), status.get("candidateRevision"))
    return frozenset(name for name in named if isinstance(name, str) and name) | _names(status.get("rejectedRevisions"))


def variants_in_spec(raw: Raw) -> frozenset[str]:
    """Returns the names of variants in the spec of an EdgeModel or of a revision."""
    spec = raw.get("spec")
    return _names(spec.get("variants")) if isinstance(spec, dict) else frozenset()


def status_of(raw: Raw) -> dict[str, Any]:
    """Returns the status with its intact conditions, and without checks."""
    status = raw.get("status")
    if not isinstance(status, dict):
        return {}
    found = status.get("conditions")
    conditions = [item for item in found if _is_condition(item)] if isinstance(found, list) else []
    return {key: value for key, value in status.items() if key != "checks"} | {"conditions": conditions}


def _is_condition(item: Any) -> bool:
    keys = ("type", "status", "reason", "message", "lastTransitionTime")
    return isinstance(item, dict) and all(isinstance(item.get(key), str) for key in keys)


def _names(items: Any) -> frozenset[str]:
    found = items if isinstance(items, list) else []
    return frozenset(item["name"] for item in found if isinstance(item, dict) and isinstance(item.get("name"), str))
