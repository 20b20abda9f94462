"""EdgeModels and their revisions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_operator.decide.analysis import WaveBaseline, plan_checks
from edge_operator.decide.observation import Revision
from edge_operator.from_api.raw import Raw, parse_time
from edgemodel.revision import parse_revision
from edgemodel.schema_version import check_edge_model, check_revision
from edgemodel.spec import EdgeModelSpec, parse_spec
from edgemodel.status import EdgeModelStatus, parse_preflight, parse_status


@dataclass(frozen=True)
class CachedEdgeModel:
    """An EdgeModel as the operator keeps it."""

    namespace: str
    name: str
    uid: str
    generation: int
    created: str
    spec: EdgeModelSpec
    status: EdgeModelStatus
    stored_status: Mapping[str, Any]
    """The status as it is stored."""
    deleting: bool = False


def read_edge_model(raw: Raw) -> CachedEdgeModel:
    """Returns the EdgeModel. Raises SchemaOutdated for an older schema; KeyError, TypeError or ValueError for what only
    another version's schema accepts, and for a status that a pass could not continue from."""
    check_edge_model(raw)
    meta, spec = raw["metadata"], parse_spec(raw["spec"])
    plan_checks(spec.analysis)
    stored = raw.get("status") or {}
    status = parse_status(stored)
    if status.rollout is not None:
        WaveBaseline.of(status.rollout.analysis, spec.analysis)
    return CachedEdgeModel(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        generation=meta["generation"],
        created=meta["creationTimestamp"],
        spec=spec,
        status=status,
        stored_status=stored,
        deleting="deletionTimestamp" in meta,
    )


def read_revision(raw: Raw) -> Revision:
    """Returns the revision. Raises SchemaOutdated, and what ``parse_revision`` raises."""
    check_revision(raw)
    meta, status = raw["metadata"], raw.get("status") or {}
    preflight = status.get("preflight")
    return Revision(
        name=meta["name"],
        uid=meta["uid"],
        created=parse_time(meta["creationTimestamp"]),
        spec=parse_revision(raw["spec"]),
        verdict=status.get("verdict", ""),
        preflight=parse_preflight(preflight, meta["name"]).result if preflight else None,
    )
