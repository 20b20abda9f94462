"""DaemonSets, Services and NetworkPolicies, of which only little is kept."""

from dataclasses import dataclass

from edge_operator.decide.observation import Applied
from edge_operator.from_api.raw import Raw
from edgemodel.names import ANNOTATION_APPLIED, LABEL_MODEL, PIN_PREFIX


@dataclass(frozen=True)
class ForeignService:
    """A Service that is not the operator's: an EdgeModel of its name must not take it over."""

    namespace: str
    name: str


def read_applied(raw: Raw) -> Applied:
    """Returns the kind, name and applied hash of an object."""
    annotations = raw["metadata"].get("annotations") or {}
    return Applied(raw["kind"], raw["metadata"]["name"], annotations.get(ANNOTATION_APPLIED, ""))


def read_daemonset(raw: Raw) -> Applied:
    """Returns the DaemonSet with its pins, since nodes that carry one run its pods."""
    annotations = raw["metadata"].get("annotations") or {}
    selector = raw.get("spec", {}).get("template", {}).get("spec", {}).get("nodeSelector") or {}
    pins = frozenset(key for key in selector if key.startswith(PIN_PREFIX))
    return Applied(
        raw["kind"],
        raw["metadata"]["name"],
        annotations.get(ANNOTATION_APPLIED, ""),
        pins,
        raw["metadata"].get("uid", ""),
    )


def read_service(raw: Raw) -> Applied | ForeignService:
    """Returns the Service; a ForeignService if it lacks the operator's label."""
    meta = raw["metadata"]
    if LABEL_MODEL not in (meta.get("labels") or {}):
        return ForeignService(meta["namespace"], meta["name"])
    return read_applied(raw)
