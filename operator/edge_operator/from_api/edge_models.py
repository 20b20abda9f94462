"""EdgeModels and their revisions."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edge_operator.decide.analysis import WaveBaseline, plan_checks
from edge_operator.decide.memory import Remembered
from edge_operator.decide.observation import Revision
from edge_operator.from_api.raw import Raw, parse_time
from edgemodel.revision import parse_revision
from edgemodel.schema_version import check_edge_model, check_revision
from edgemodel.spec import EdgeModelSpec, parse_spec


@dataclass(frozen=True)
class CachedEdgeModel:
    """An EdgeModel as the operator keeps it."""

    namespace: str
    name: str
    uid: str
    generation: int
    created: str
    spec: EdgeModelSpec
    status: dict[str, Any]
    deleting: bool = False


def read_edge_model(raw: Raw) -> CachedEdgeModel:
    """Raises SchemaOutdated for an older schema; KeyError, TypeError or ValueError for what only another version's
    schema accepts."""
    check_edge_model(raw)
    meta, spec = raw["metadata"], parse_spec(raw["spec"])
    plan_checks(spec.analysis)
    _check_status(raw.get("status") or {}, spec)
    return CachedEdgeModel(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        generation=meta["generation"],
        created=meta["creationTimestamp"],
        spec=spec,
        status=raw.get("status") or {},
        deleting="deletionTimestamp" in meta,
    )


def _check_status(status: Raw, spec: EdgeModelSpec) -> None:
    """Raises KeyError, TypeError or ValueError for a status that a pass could not continue from."""
    remembered = Remembered.parse(status)
    WaveBaseline.of(remembered.trial.analysis, spec.analysis)
    for condition in remembered.conditions:
        datetime.fromisoformat(condition["lastTransitionTime"])
        str(condition["type"] + condition["status"])


def read_revision(raw: Raw) -> Revision:
    """Returns the revision. Raises SchemaOutdated, and what ``parse_revision`` raises."""
    check_revision(raw)
    meta = raw["metadata"]
    return Revision(
        name=meta["name"],
        uid=meta["uid"],
        created=parse_time(meta["creationTimestamp"]),
        spec=parse_revision(raw["spec"]),
        verdict=(raw.get("status") or {}).get("verdict", ""),
        preflight=(raw.get("status") or {}).get("preflight"),
    )
