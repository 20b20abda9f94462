"""The schemas of the custom resources: bounded, described, and the same for the same fields."""

import copy
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from edgemodel.compression_request import DATASETS
from tests.support import manifests
from tests.support.verdicts import analysis_of, counts, judged
from tests.unit.chart.rendering import ROOT, named, of_kind, render

CRDS = {path.name.split(".")[0]: manifests.read(path.read_text()) for path in sorted((ROOT / "crds").glob("*.yaml"))}


def schema(plural: str) -> dict[str, Any]:
    (version,) = CRDS[plural]["spec"]["versions"]
    return dict(version["schema"]["openAPIV3Schema"])


def at(plural: str, path: str) -> dict[str, Any]:
    """Returns the schema at a path such as ``spec.compression.steps``; a list stands for its items."""
    node = schema(plural)
    for key in path.split("."):
        node = node.get("items", node)["properties"][key]
    return node


def nodes(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for key, below in node.get("properties", {}).items():
        yield from nodes(below, f"{path}.{key}")
    if "items" in node:
        yield from nodes(node["items"], f"{path}[]")
    if isinstance(node.get("additionalProperties"), dict):
        yield from nodes(node["additionalProperties"], f"{path}{{}}")


@pytest.mark.parametrize("plural", CRDS)
def test_no_item_of_a_list_has_a_default(plural: str) -> None:
    """A list of a custom resource is one value to a client-side merge: what the API server fills in within one of its
    items differs from the manifest for ever."""
    assert [path for path, node in nodes(schema(plural), "") if "[]" in path and "default" in node] == []


def without(node: Any, *keywords: str) -> Any:
    """Returns the same schema without some of its keywords (but with all its fields, whatever their names)."""
    if isinstance(node, list):
        return [without(item, *keywords) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {}
    for key, value in node.items():
        if key == "properties":
            kept[key] = {name: without(below, *keywords) for name, below in value.items()}
        elif key not in keywords:
            kept[key] = without(value, *keywords)
    return kept


FIELDS = [
    (path, node)
    for plural in CRDS
    for path, node in nodes(schema(plural), plural)
    if not re.search(r"s\.(metadata|apiVersion|kind)\b", path)
]


def test_every_bound_is_a_number_that_the_api_server_reads_exactly() -> None:
    """The API server reads bounds as floating-point numbers; one beyond 2^53 may turn into a limit that refuses all."""
    bounds = ((path, node[key]) for path, node in FIELDS for key in ("minimum", "maximum") if key in node)
    assert [(path, bound) for path, bound in bounds if abs(bound) >= 2**53] == []


def bounded(node: dict[str, Any]) -> bool:
    """Returns whether the schema limits the size of its values."""
    match node.get("type"):
        case "array":
            return "maxItems" in node and node["x-kubernetes-list-type"] in {"map", "set", "atomic"}
        case "integer":
            return "minimum" in node and node["format"] in {"int32", "int64"}
        case "string":
            return "maxLength" in node or "enum" in node or node.get("format") == "date-time"
        case "object":
            return "maxProperties" in node or "additionalProperties" not in node
        case other:
            return other == "boolean" or "x-kubernetes-int-or-string" in node


def default_is_said(node: dict[str, Any]) -> bool:
    default = node.get("default")
    if not isinstance(default, bool | int | str):
        return True
    said = re.search(r'Default: "?([\w.]*\w)', node["description"])
    return bool(said and said[1] == {"True": "true", "False": "false", "": "empty"}.get(str(default), str(default)))


def test_every_field_is_described() -> None:
    assert [
        path for path, node in FIELDS if not re.fullmatch(r".*[.\")]", node.get("description", ""), re.DOTALL)
    ] == []


def test_every_field_is_bounded() -> None:
    """The cost of rules is estimated for the largest possible value, and no object needs 1.5 MB."""
    assert [path for path, node in FIELDS if not bounded(node)] == []


def test_nothing_unknown_is_let_through() -> None:
    assert [path for path, node in FIELDS if "x-kubernetes-preserve-unknown-fields" in node] == []


def test_every_default_is_in_the_description() -> None:
    assert [path for path, node in FIELDS if not default_is_said(node)] == []


def test_enums_are_pascal_case() -> None:
    words = {(path, word) for path, node in FIELDS for word in node.get("enum", [])}
    assert {item for item in words if not re.fullmatch(r"([A-Z][a-z0-9]*)+|ONNX", item[1])} == set()


def test_a_variants_steps_are_those_of_the_model() -> None:
    model, variant = at("edgemodels", "spec.compression.steps"), at("edgemodels", "spec.variants.compression.steps")
    assert variant["items"] == model["items"]
    assert variant["maxItems"] == model["maxItems"]


def test_a_revision_takes_every_step_that_a_model_can_have() -> None:
    model, revision = at("edgemodels", "spec.compression.steps"), at("edgemodelrevisions", "spec.variants.steps")
    assert revision["items"] == without(copy.deepcopy(model["items"]), "default")


def test_a_revision_has_no_defaults() -> None:
    """A revision records the past; a default would change the record when the default changes."""
    spec = at("edgemodelrevisions", "spec")
    assert [path for path, node in nodes(spec, "spec") if "default" in node] == []


def test_the_resources_have_one_schema() -> None:
    places = [
        "spec.compression.resources",
        "spec.source.converter.resources",
        "spec.serving.resources",
        "spec.variants.serving.resources",
    ]
    first, *others = [without(at("edgemodels", place), "description") for place in places]
    assert all(other == first for other in others)


@pytest.mark.parametrize("place", ["edgemodels/spec.datasets", "edgemodelrevisions/spec.datasets"])
def test_the_datasets_have_one_schema(place: str) -> None:
    plural, _, path = place.partition("/")
    assert tuple(at(plural, path)["properties"]) == DATASETS
    first, *others = [without(at(plural, f"{path}.{use}"), "description") for use in DATASETS]
    assert all(other == first for other in others)


def test_a_teacher_has_the_schema_of_a_source_that_is_a_model_already() -> None:
    source, teacher = (
        copy.deepcopy(without(at("edgemodels", path), "description"))
        for path in ("spec.source", "spec.compression.teacher")
    )
    of_converter = [rule for rule in source["x-kubernetes-validations"] if rule["fieldPath"] == ".converter"]
    assert len(of_converter) == 2
    for rule in of_converter:
        source["x-kubernetes-validations"].remove(rule)
    source["properties"].pop("converter")
    source["properties"].pop("statefulInputs")  # the teacher's is the source's, or it is of another task
    for none in ("Safetensors", "HuggingFace"):
        source["properties"]["format"]["enum"].remove(none)
    source["properties"]["format"]["enum"].remove("Auto")  # the hash of a teacher has its format
    source["properties"]["format"]["default"] = "ONNX"
    assert teacher == source


@pytest.mark.parametrize(
    ("image", "taken"),
    [
        ("registry.example/team/maker@sha256:" + "a" * 64, True),
        ("registry.example:5000/maker:v1@sha256:" + "a" * 64, True),
        ("registry:5000/maker@sha256:" + "a" * 64, True),
        ("localhost/maker@sha256:" + "a" * 64, True),
        ("docker.io/library/python:3.11-slim@sha256:" + "a" * 64, True),
        ("team/maker@sha256:" + "a" * 64, False),
        ("maker@sha256:" + "a" * 64, False),
        ("registry.example/../maker@sha256:" + "a" * 64, False),
        ("registry.example/team//maker@sha256:" + "a" * 64, False),
        ("registry.example/Maker@sha256:" + "a" * 64, False),
        ("registry.example/maker@sha256:" + "A" * 64, False),
        ("registry.example/maker@sha512:" + "a" * 128, False),
        ("registry.example/maker@sha256:" + "a" * 64 + "\n", False),
    ],
)
def test_a_converter_is_named_with_its_host_in_full(image: str, taken: bool) -> None:
    """The pattern is read as in Go: its ``$`` is the end of the text."""
    pattern = at("edgemodels", "spec.source.converter.image")["pattern"].removesuffix("$")
    assert bool(re.fullmatch(pattern, image)) == taken


def test_the_status_shows_that_the_object_is_not_reconciled_yet() -> None:
    assert at("edgemodels", "status")["default"] == {"observedGeneration": -1}


def test_the_revision_is_in_no_category() -> None:
    """A category ``edgemodel`` of two kinds would make ``kubectl get edgemodel NAME`` ask for both."""
    assert CRDS["edgemodels"]["spec"]["names"]["categories"] == ["edgemodel"]
    assert "categories" not in CRDS["edgemodelrevisions"]["spec"]["names"]


@pytest.mark.parametrize("words", ["limit is 2 % where 1 % is expected, and 6 % where 5 % is"])
def test_the_examples_of_what_is_too_much_are_what_the_limits_say(words: str) -> None:
    checks = "spec.analysis.checks"
    places = (f"{checks}.errorRate.maxIncreasePercent", f"{checks}.latency.maxIncreasePercent")
    texts = [at("edgemodels", place)["description"] for place in places]
    for text in (*texts, " ".join((ROOT / "docs" / "rollout" / "analysis.md").read_text().split())):
        assert words in text
    for limit, expected in re.findall(r"(\d+) % where (\d+) %", words):
        before = tuple(counts(node, 100_000, 1000 * int(expected)) for node in ("camera-1", "camera-2"))
        trial, control = before[:1], before[1:]
        assert judged(analysis_of({"name": "errors", "type": "ErrorRate"}), trial, before, control).limit == limit


# --- the chart's copy ---


@pytest.mark.lab_programs
def test_the_chart_carries_the_same_definitions_and_keeps_them() -> None:
    objects = render()
    assert len(of_kind(objects, "CustomResourceDefinition")) == len(CRDS)
    for crd in CRDS.values():
        copied = named(objects, "CustomResourceDefinition", crd["metadata"]["name"])
        assert copied["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
        assert copied == crd


def test_what_is_generated_and_what_is_copied_is_up_to_date() -> None:
    done = subprocess.run([sys.executable, ROOT / "crds" / "sync.py", "--check"], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
