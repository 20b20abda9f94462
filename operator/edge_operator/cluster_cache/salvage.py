"""Reads as much of an object that cannot be read as a whole as keeps its pins and its status safe."""

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
    status = raw.get("status")
    return status if isinstance(status, dict) else {}


def _names(items: Any) -> frozenset[str]:
    found = items if isinstance(items, list) else []
    return frozenset(item["name"] for item in found if isinstance(item, dict) and isinstance(item.get("name"), str))
