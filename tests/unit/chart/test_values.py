"""The schema of the chart's values refuses unknown values at every level."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft7Validator

from tests.support import manifests
from tests.unit.chart.rendering import CHART

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS = manifests.read((CHART / "values.yaml").read_text())
FREE = {"layers", "nodeSelector", "podAnnotations", "labels", "headers", "requests", "limits"}
"""The maps whose keys are the user's own."""


def maps(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yields the paths of all maps in the default values except those in FREE."""
    if isinstance(value, dict):
        yield path
        for key, item in value.items():
            if key not in FREE:
                yield from maps(item, (*path, key))


def test_the_defaults_are_valid() -> None:
    Draft7Validator.check_schema(SCHEMA)
    assert list(Draft7Validator(SCHEMA).iter_errors(DEFAULTS)) == []


@pytest.mark.parametrize("path", list(maps(DEFAULTS)), ids=".".join)
def test_an_unknown_value_is_refused(path: tuple[str, ...]) -> None:
    values = copy.deepcopy(DEFAULTS)
    at = values
    for key in path:
        at = at[key]
    at["tpyo"] = 1
    messages = [error.message for error in Draft7Validator(SCHEMA).iter_errors(values)]
    assert messages == ["Additional properties are not allowed ('tpyo' was unexpected)"]


def test_every_value_of_the_schema_has_a_default_to_be_found_by() -> None:
    """The file values.yaml is the documentation of the values: one that is missing there is invisible to users."""
    missing = []

    def compare(schema: Any, value: Any, path: str) -> None:
        schema = SCHEMA["definitions"][schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema
        for key, below in schema.get("properties", {}).items():
            if not isinstance(value, dict) or key not in value:
                missing.append(f"{path}{key}")
            else:
                compare(below, value[key], f"{path}{key}.")

    compare(SCHEMA, DEFAULTS, "")
    # The fields of these are Kubernetes' own, and values.yaml names the defaults beside them.
    own = [name for name in missing if not name.startswith("defaultResources.") and ".affinity." not in f".{name}"]
    assert own == ["global"]
