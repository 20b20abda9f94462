"""The version of the schema of EdgeModels and their revisions, and how objects of an older one are recognized.

All versions are ``edgemodel.io/v1alpha1``. When the API server reads an object, it drops fields that the installed
schema does not have, so that an object of an older schema looks complete, with defaults in place of what was dropped.
Therefore a version is recognized by marks that cannot be dropped: the operator writes SCHEMA_VERSION into every
revision and every status, and an object that an operator wrote without the mark is older. If no operator has written a
status yet, the fields that the user wrote are looked for in three places: the object, the annotation of ``kubectl
apply``, and ``metadata.managedFields``, which keeps the names of dropped fields.
"""

from collections.abc import Mapping
from typing import Any, Final

from edgemodel.json_text import parse_json
from edgemodel.names import GROUP

SCHEMA_VERSION: Final = 2

ANNOTATION_SCHEMA: Final = f"{GROUP}/schema-version"
"""An annotation that a user sets on an EdgeModel: its spec is of this version, whatever ``metadata.managedFields``
says."""
ANNOTATION_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"

RENAMED_FIELDS: Final[Mapping[str, str]] = {
    "spec.source.program": "spec.source.converter",
    "spec.source.state": "spec.source.statefulInputs",
    "spec.datasets.target": "spec.datasets.unlabeled",
    "spec.validation": "spec.preflight",
    "spec.validation.classLabels": "spec.preflight.hardwareClassLabels",
    "spec.serving.replayRequests": "spec.serving.shadowReplay.maxRequests",
    "spec.serving.tuning.threads": "spec.serving.tuning.concurrency",
    "spec.serving.tuning.threadsPerRequest": "spec.serving.tuning.intraOpThreads",
    "spec.compression.budget.whenInconclusive": "spec.compression.budget.onInconclusive.action",
    "spec.analysis.missingData": "spec.analysis.onInconclusive",
    "spec.analysis.missingData.deadlineSeconds": "spec.analysis.onInconclusive.afterSeconds",
    "spec.analysis.missingData.onDeadline": "spec.analysis.onInconclusive.action",
    "spec.rollout.nodeDeadlineSeconds": "spec.rollout.nodeReadyTimeoutSeconds",
}
"""The fields of an EdgeModel in version 1 -> their names in version 2."""


class SchemaOutdated(Exception):
    """The object is of another version of the schema, so nothing may be decided from it."""


def check_edge_model(raw: Mapping[str, Any]) -> None:
    """Raises SchemaOutdated for an EdgeModel whose spec is, or may be, of an older version."""
    meta = raw.get("metadata") or {}
    annotations = meta.get("annotations") or {}
    applied = _last_applied(annotations)
    found = [old for old in RENAMED_FIELDS if _has(raw, old) or _has(applied, old)]
    status = raw.get("status") or {}
    marked = status.get("schemaVersion") == SCHEMA_VERSION or annotations.get(ANNOTATION_SCHEMA) == str(SCHEMA_VERSION)
    if not marked:
        managed = [entry.get("fieldsV1") or {} for entry in meta.get("managedFields") or () if _writes_spec(entry)]
        if not managed and _seen_by_an_operator(status) and not applied:
            raise SchemaOutdated(
                "an operator of an older schema has seen it, and nothing tells which fields its author wrote; apply "
                f"its manifest with the names of schema version {SCHEMA_VERSION} and annotate it {ANNOTATION_SCHEMA}="
                f"{SCHEMA_VERSION}"
            )
        # A new name without a field manager is a default, which the API server fills in for a dropped field, too.
        found += [
            old for old, new in RENAMED_FIELDS.items() if _is_managed(managed, old) and not _is_managed(managed, new)
        ]
    if found:
        names = ", ".join(f"{old} -> {RENAMED_FIELDS[old]}" for old in dict.fromkeys(found))
        raise SchemaOutdated(f"it has fields of schema version 1, of which the names have changed: {names}")


def check_revision(raw: Mapping[str, Any]) -> None:
    """Raises SchemaOutdated for a revision that an operator of another version wrote."""
    spec = raw.get("spec") or {}
    version = spec.get("schemaVersion", 1) if isinstance(spec, Mapping) else 1
    if version != SCHEMA_VERSION:
        raise SchemaOutdated(f"it has schema version {version}, this operator reads {SCHEMA_VERSION}")


def _seen_by_an_operator(status: Mapping[str, Any]) -> bool:
    """Returns whether a pass has run: every pass of every version counts nodes, unless it suspends the EdgeModel."""
    return "nodes" in status


def _last_applied(annotations: Mapping[str, Any]) -> dict[str, Any]:
    try:
        value = parse_json(annotations.get(ANNOTATION_LAST_APPLIED) or "{}")
    except (ValueError, TypeError):
        return {}
    return value if isinstance(value, dict) else {}


def _writes_spec(entry: Any) -> bool:
    return isinstance(entry, Mapping) and entry.get("subresource") != "status"


def _has(value: Any, path: str) -> bool:
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return False
        value = value[name]
    return True


def _is_managed(managed: list[Any], path: str) -> bool:
    fields = ".".join(f"f:{name}" for name in path.split("."))
    return any(_has(entry, fields) for entry in managed)
