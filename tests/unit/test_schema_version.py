"""The recognition of objects of an older schema version, whatever the API server has dropped."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from edgemodel.schema_version import (
    ANNOTATION_LAST_APPLIED,
    ANNOTATION_SCHEMA,
    RENAMED_FIELDS,
    SCHEMA_VERSION,
    SchemaOutdated,
    check_edge_model,
    check_revision,
)
from tests.support import manifests

ROOT = Path(__file__).parents[2]
SEEN = {"observedGeneration": 3, "nodes": {"selected": 3}}
UNSEEN = {"observedGeneration": -1}
"""The schema's default, before any operator has written a status."""


def nested(path: str, value: Any, prefix: str = "") -> dict[str, Any]:
    for name in reversed(path.split(".")):
        value = {prefix + name: value}
    return dict(value)


def managed(*paths: str, **entry: Any) -> dict[str, Any]:
    """Returns an entry of ``metadata.managedFields`` that owns these fields, as the API server writes it."""
    fields: dict[str, Any] = {}
    for path in paths:
        place = fields
        for name in path.split("."):
            place = place.setdefault(f"f:{name}", {})
    return {"manager": "kubectl", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": fields, **entry}


def edge_model(status: dict[str, Any] = UNSEEN, **metadata: Any) -> dict[str, Any]:
    spec = {"source": {"uri": "oci://registry.example/m", "format": "ONNX"}}
    return {"kind": "EdgeModel", "metadata": {"name": "m", "generation": 3, **metadata}, "spec": spec, "status": status}


def with_field(made: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    *parents, last = path.split(".")
    place = made
    for name in parents:
        place = place.setdefault(name, {})
    place[last] = value
    return made


@pytest.mark.parametrize(("old", "new"), RENAMED_FIELDS.items())
def test_a_field_of_version_1_is_named_with_its_new_name_wherever_it_is_still_seen(old: str, new: str) -> None:
    last_applied = {ANNOTATION_LAST_APPLIED: json.dumps(nested(old, "1"))}
    for made in (
        with_field(edge_model(), old, "1"),
        edge_model(annotations=last_applied),
        edge_model(managedFields=[managed(old)]),
        edge_model(SEEN, managedFields=[managed("spec.source.uri", old)]),
        with_field(edge_model(SEEN, managedFields=[managed(old)]), new, "the default"),
    ):
        with pytest.raises(SchemaOutdated) as refusal:
            check_edge_model(made)
        assert f"{old} -> {new}" in str(refusal.value)


@pytest.mark.parametrize(
    "made",
    [
        edge_model(),
        edge_model({"observedGeneration": 3, "conditions": []}),
        edge_model(SEEN, managedFields=[managed("spec.source.uri")]),
        edge_model(SEEN, annotations={ANNOTATION_LAST_APPLIED: json.dumps(nested("spec.source.uri", "1"))}),
        edge_model({**SEEN, "schemaVersion": SCHEMA_VERSION}),
        edge_model({**SEEN, "schemaVersion": SCHEMA_VERSION}, managedFields=[managed("spec.validation")]),
        edge_model(managedFields=[managed("status.validation", subresource="status")]),
        edge_model(annotations={ANNOTATION_LAST_APPLIED: "no JSON"}),
    ],
    ids=["new", "suspended", "managed", "applied", "marked", "marked-later", "status", "damaged"],
)
def test_an_edge_model_of_this_version_is_read(made: dict[str, Any]) -> None:
    check_edge_model(made)


def test_a_model_of_an_older_operator_is_not_trusted_if_its_fields_are_unknown() -> None:
    with pytest.raises(SchemaOutdated, match="nothing tells which fields its author wrote"):
        check_edge_model(edge_model(SEEN))
    with pytest.raises(SchemaOutdated, match="nothing tells"):
        check_edge_model(edge_model(SEEN, managedFields=[managed("status.nodes", subresource="status")]))
    check_edge_model(edge_model(SEEN, annotations={ANNOTATION_SCHEMA: str(SCHEMA_VERSION)}))


def test_managed_fields_keep_a_name_that_is_gone_and_are_overruled_by_the_new_field_or_by_hand() -> None:
    stale = [managed("spec.rollout.nodeDeadlineSeconds")]
    renamed = [*stale, managed("spec.rollout.nodeReadyTimeoutSeconds", manager="kustomize-controller")]
    check_edge_model(edge_model(SEEN, managedFields=renamed))
    check_edge_model(edge_model(SEEN, managedFields=stale, annotations={ANNOTATION_SCHEMA: str(SCHEMA_VERSION)}))


def test_no_mark_makes_a_field_of_version_1_that_is_there_right() -> None:
    made = edge_model({"schemaVersion": SCHEMA_VERSION}, annotations={ANNOTATION_SCHEMA: str(SCHEMA_VERSION)})
    with pytest.raises(SchemaOutdated):
        check_edge_model(with_field(made, "spec.validation", {}))


@pytest.mark.parametrize("spec", [{}, {"schemaVersion": 1}, {"schemaVersion": 3}, None])
def test_a_revision_without_this_versions_mark_is_outdated(spec: Any) -> None:
    """The API server can drop a field, but never creates one."""
    with pytest.raises(SchemaOutdated):
        check_revision({"spec": spec})


def test_a_revision_with_the_mark_is_read() -> None:
    check_revision({"spec": {"schemaVersion": SCHEMA_VERSION}})


@cache
def definition() -> Any:
    return manifests.read((ROOT / "crds" / "edgemodels.edgemodel.io.yaml").read_text())


def schema_has(path: str) -> bool:
    schema = definition()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for name in path.split("."):
        schema = schema.get("properties", {}).get(name)
        if schema is None:
            return False
    return True


@pytest.mark.parametrize(("old", "new"), RENAMED_FIELDS.items())
def test_the_schema_has_the_new_name_alone_and_the_changelog_has_both(old: str, new: str) -> None:
    assert schema_has(new)
    assert not schema_has(old)
    rows = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("|")]
    short, last = old.removeprefix("spec."), new.rpartition(".")[2]
    assert any(f"`{short}" in row and last in row for row in rows)
