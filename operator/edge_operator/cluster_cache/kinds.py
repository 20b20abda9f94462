"""The kinds of objects that the operator watches, one row each; nothing else knows which they are.

The objects of an additional row are watched, listed, read, indexed and, if they cannot be read, reported like all
others.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edge_operator.cluster_cache.store import Key
from edge_operator.decide.observation import Pod
from edge_operator.from_api import (
    JobPod,
    Raw,
    is_made_by_daemonset,
    read_applied,
    read_daemonset,
    read_edge_model,
    read_job,
    read_job_pod,
    read_node,
    read_revision,
    read_server_pod,
    read_service,
)
from edgemodel.names import API_VERSION, COMPONENT_PULLER, COMPONENT_SERVER, LABEL_COMPONENT, LABEL_MODEL

Owner = Callable[[Raw], Key | None]


def owner_by_label(raw: Raw) -> Key:
    """Returns the EdgeModel that the label names, or else the one that owns the object; an empty name if neither
    does."""
    meta = raw["metadata"]
    owners = meta.get("ownerReferences") or ()
    by_reference = next((owner["name"] for owner in owners if owner.get("kind") == "EdgeModel"), "")
    return meta["namespace"], (meta.get("labels") or {}).get(LABEL_MODEL) or by_reference


def owner_by_name(raw: Raw) -> Key:
    """Returns the EdgeModel of the object's own name."""
    return raw["metadata"]["namespace"], raw["metadata"]["name"]


def no_owner(raw: Raw) -> None:
    """Returns no EdgeModel: nodes belong to none."""


def read_pod(raw: Raw) -> Pod | JobPod | None:
    """Returns None for a pod that only carries the operator's labels."""
    if raw["metadata"]["labels"].get(LABEL_COMPONENT) not in (COMPONENT_SERVER, COMPONENT_PULLER):
        return read_job_pod(raw)
    return read_server_pod(raw) if is_made_by_daemonset(raw) else None


def service_owner(raw: Raw) -> Key:
    """Returns the EdgeModel of a Service: a Service without the label concerns the EdgeModel of its name."""
    return owner_by_label(raw) if LABEL_MODEL in (raw["metadata"].get("labels") or {}) else owner_by_name(raw)


@dataclass(frozen=True)
class WatchedKind:
    """A kind of objects, with the way in which they are read and owned."""

    api_version: str
    kind: str
    read: Callable[[Raw], Any]
    """A function that returns what is kept of an object; None for one that is not the operator's.

    It raises what ``from_api`` raises for an object that cannot be read.
    """
    owner: Owner = owner_by_label
    label: str = LABEL_MODEL
    """The label of the objects that are watched; empty: all of the kind."""
    cure: str = ""
    """The advice for an object that cannot be read; empty: delete it, and the operator creates it again."""
    cure_outdated: str = ""
    """The advice for an object that has another version of the schema."""


WATCHED = (
    WatchedKind("v1", "Node", read_node, no_owner, label="", cure="correct its labels and conditions"),
    WatchedKind(
        API_VERSION,
        "EdgeModel",
        read_edge_model,
        owner_by_name,
        label="",
        cure="apply its manifest in the form that the installed schema documents (kubectl explain edgemodel.spec)",
        cure_outdated="apply its manifest with the new names, which CHANGELOG.md lists",
    ),
    WatchedKind(
        API_VERSION,
        "EdgeModelRevision",
        read_revision,
        label="",
        cure="run the operator that wrote it, or delete it: the nodes that serve it then stop until a new one is made",
        cure_outdated="see that its EdgeModel has the new names, which CHANGELOG.md lists, and delete it (its "
        "nodes then stop serving until a new one is made), or install the operator that wrote it",
    ),
    WatchedKind("batch/v1", "Job", read_job),
    WatchedKind("apps/v1", "DaemonSet", read_daemonset),
    WatchedKind("v1", "Service", read_service, service_owner, label=""),
    WatchedKind("networking.k8s.io/v1", "NetworkPolicy", read_applied),
    WatchedKind("v1", "Pod", read_pod),
)

BY_KIND: Mapping[str, WatchedKind] = {row.kind: row for row in WATCHED}
