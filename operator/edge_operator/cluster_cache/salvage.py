"""Reads from an object that is not readable as a whole what is needed to keep its pins and its status safe."""

from typing import Any

from edge_operator.from_api import Raw
from edgemodel.plain import from_api
from edgemodel.status import StoredCondition


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


def stored_status(raw: Raw) -> dict[str, Any]:
    """Returns the status as it is stored; empty if there is none."""
    status = raw.get("status")
    return status if isinstance(status, dict) else {}


def whole_conditions(raw: Raw) -> tuple[StoredCondition, ...]:
    """Returns those conditions that can be read."""
    found = stored_status(raw).get("conditions")
    read = (_condition(item) for item in (found if isinstance(found, list) else ()))
    return tuple(condition for condition in read if condition is not None)


def _condition(item: Any) -> StoredCondition | None:
    try:
        return from_api(StoredCondition, item)
    except ValueError:
        return None


def _names(items: Any) -> frozenset[str]:
    found = items if isinstance(items, list) else []
    return frozenset(item["name"] for item in found if isinstance(item, dict) and isinstance(item.get("name"), str))
