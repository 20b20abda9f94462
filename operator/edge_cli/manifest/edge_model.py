"""The EdgeModels in manifests: chosen among the documents of a file, completed and validated by the schema of the
CRD."""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

from edge_cli.manifest import structural
from edge_cli.manifest.documents import Document
from edge_cli.verb import UsageError
from edgemodel.names import API_VERSION
from edgemodel.schema_version import RENAMED_FIELDS
from edgemodel.whole_number import whole_number

KIND: Final = "EdgeModel"
_LABEL_NAME: Final = "[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_PREFIX: Final = "([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?"
_KEY_RULE: Final = {
    "rule": f"self.all(key, key.matches('^{_PREFIX}{_LABEL_NAME}$'))",
    "message": "a key is not a label key: NAME or PREFIX/NAME, NAME of at most 63 letters, digits, '-', '_' and '.'",
}
METADATA: Final[structural.Schema] = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "maxLength": 253, "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"},
        "namespace": {"type": "string", "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},
        "labels": {
            "type": "object",
            "additionalProperties": {"type": "string", "maxLength": 63, "pattern": f"^({_LABEL_NAME})?$"},
            "x-kubernetes-validations": [_KEY_RULE],
        },
        "annotations": {
            "type": "object",
            "additionalProperties": {"type": "string"},
            "x-kubernetes-validations": [_KEY_RULE],
        },
        "generateName": {"type": "string"},
        "generation": {"type": "integer"},
        "resourceVersion": {"type": "string"},
        "selfLink": {"type": "string"},
        "uid": {"type": "string"},
        "creationTimestamp": {"type": "string", "nullable": True},
        "deletionTimestamp": {"type": "string", "nullable": True},
        "deletionGracePeriodSeconds": {"type": "integer"},
        "finalizers": {"type": "array"},
        "managedFields": {"type": "array"},
        "ownerReferences": {"type": "array"},
    },
}
"""The schema of ``metadata``, which belongs to the API server and to no CRD."""


@cache
def schema() -> structural.Schema:
    """Returns the schema of an EdgeModel, without descriptions and without its status."""
    text = resources.files("edge_cli.manifest").joinpath("schema.json").read_text(encoding="utf-8")
    return with_metadata(json.loads(text))


def with_metadata(crd_schema: structural.Schema) -> structural.Schema:
    """Returns the schema of a CRD with that of ``metadata``; the status, which users do not write, may be anything."""
    properties = {**crd_schema["properties"], "metadata": METADATA, "status": {"type": "object"}}
    return {**crd_schema, "properties": properties, "required": [*crd_schema.get("required", ()), "metadata"]}


def choose_edge_model(
    documents: Sequence[Document], file: Path, name: str | None
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Returns the EdgeModel in ``documents``, and the names of the other objects; if there are several, the one called
    ``name``.

    Raises UsageError.
    """
    models = [one for one in documents if isinstance(one.value, dict) and one.value.get("kind") == KIND]
    chosen = [one for one in models if _name(one) == name] if len(models) > 1 else models
    if not documents:
        raise UsageError(f"{file}: want a manifest of kind {KIND}; the file is empty")
    if not models:
        found = ", ".join(map(_called, documents))
        close = difflib.get_close_matches(KIND.lower(), [found.lower().split(" ")[0]], 1, 0.8)
        hint = f"; the kind is written {KIND}" if close else ""
        raise UsageError(f"{file}: want a manifest of kind {KIND}; found {found}{hint}")
    if len(chosen) != 1:
        names = ", ".join(_name(one) for one in models)
        wanted = f"none of them is {name}" if name and not chosen else "choose one by --name"
        raise UsageError(f"{file}: more than one {KIND}, {names}: {wanted}")
    others = tuple(_called(one) for one in documents if one is not chosen[0])
    return chosen[0].value, others


def complete_edge_model(manifest: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Returns ``manifest`` as the API server would store it, with defaults; ``what`` is its file, for messages.

    Raises UsageError with all errors of a manifest that the API server would refuse.
    """
    if manifest.get("apiVersion") != API_VERSION:
        raise UsageError(f"{what}: apiVersion is {manifest.get('apiVersion')}, want {API_VERSION}")
    given = {key: value for key, value in manifest.items() if key != "status"}
    return dict(_checked(given, schema(), "", what))


def check_steps(value: Any, what: str) -> dict[str, Any]:
    """Returns steps and budget, with all defaults, of a list of steps or of an object with ``steps`` and ``budget``.

    Raises UsageError.
    """
    if isinstance(value, dict) and value.get("kind") == KIND:
        raise UsageError(f"{what}: it is a whole {KIND}: give it by -f, or only what is under spec.compression here")
    given = value if isinstance(value, dict) else {"steps": value}
    if not isinstance(given.get("steps"), list):
        raise UsageError(f"{what}: want a list of steps, or an object with 'steps' and 'budget'")
    properties = _compression()["properties"]
    own = {"type": "object", "properties": {name: properties[name] for name in ("steps", "budget")}}
    return dict(_checked(given, own, "", what))


def check_budget(entries: Mapping[str, str]) -> dict[str, Any]:
    """Returns limits that were given as texts, such as ``maxSizeBytes=1000``, as a manifest has them.

    Raises UsageError.
    """
    budget = _compression()["properties"]["budget"]
    given: dict[str, Any] = {}
    for name, text in entries.items():
        kind = budget["properties"].get(name, {}).get("type")
        whole = whole_number(text) if kind == "integer" else None
        given[name] = {"action": text} if kind == "object" else text if whole is None else whole
    checked = _checked(given, budget, "", "--budget")
    return {name: checked[name] for name in given}


def _compression() -> structural.Schema:
    found: structural.Schema = schema()["properties"]["spec"]["properties"]["compression"]
    return found


def _checked(given: Any, wanted: structural.Schema, path: str, what: str) -> Any:
    """Returns ``given`` completed. Raises UsageError with all errors, unknown fields first."""
    found = [_with_new_name(error) for error in structural.unknown_fields(given, wanted, path)]
    completed = structural.complete(given, wanted)
    if not found:
        found = structural.errors(completed, wanted, path)
    if found:
        raise UsageError("\n".join(f"{what}: {error}" for error in dict.fromkeys(found)))
    return completed


def _with_new_name(error: structural.FieldError) -> structural.FieldError:
    renamed = RENAMED_FIELDS.get(error.field)
    return replace(error, message=f"is now called {renamed}") if renamed else error


def _name(document: Document) -> str:
    metadata = document.value.get("metadata")
    return str(metadata.get("name")) if isinstance(metadata, dict) else "without a name"


def _called(document: Document) -> str:
    if not isinstance(document.value, dict) or not isinstance(document.value.get("kind"), str):
        return f"{document.place}, which has no kind"
    return f"{document.value['kind']} {_name(document)}"
