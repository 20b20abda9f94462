"""No manifest of the examples, the docs and the contract tests differs for ever from what the API server stores.

``complete_edge_model`` completes manifests as the API server does, which the contract tests hold it to.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_cli.manifest import complete_edge_model
from tests.support import manifests
from tests.support.three_way import differences

ROOT = Path(__file__).resolve().parents[3]
MINIMAL = ROOT / "tests" / "contract" / "manifests" / "good" / "minimal.yaml"
FILES = [*ROOT.glob("examples/*/*.yaml"), *MINIMAL.parent.glob("*.yaml")]
TEXTS = [
    path for pattern in ("README.md", "docs/**/*.md", "examples/*/*.md", "charts/*/*.md") for path in ROOT.glob(pattern)
]
DIGEST = "sha256:" + "0" * 64


def edge_models() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields each EdgeModel with its place; a part of one completes the smallest."""
    for path in sorted(FILES):
        for item in manifests.read_all(path.read_text()):
            if item and item["kind"] == "EdgeModel":
                yield f"{path.parent.name}/{path.name}", item
    for path in TEXTS:
        for number, text in enumerate(re.findall(r"```yaml\n(.*?)```", path.read_text(), re.DOTALL)):
            item = manifests.read(text.replace("sha256:…", DIGEST))
            minimal = manifests.read(MINIMAL.read_text())
            if "kind" not in item and item.keys() <= PARTS:
                item = {**minimal, "spec": {**minimal["spec"], **item}}
            if item.get("kind") == "EdgeModel":
                yield f"{path.relative_to(ROOT)}, block {number}", item


PARTS = {"source", "datasets", "compression", "placement", "serving", "rollout", "analysis", "preflight", "variants"}
EDGE_MODELS = dict(edge_models())


@pytest.mark.parametrize("where", EDGE_MODELS)
def test_what_is_stored_of_a_manifest_is_what_was_applied(where: str) -> None:
    item = EDGE_MODELS[where]
    assert differences(item, complete_edge_model(item, where)) == []


def test_the_docs_have_manifests() -> None:
    for folder in ("README.md", "docs/compression/", "docs/rollout/", "docs/serving/", "docs/tutorials/"):
        assert [where for where in EDGE_MODELS if where.startswith(folder)], folder


@pytest.mark.parametrize(
    ("manifest", "stored", "found"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, []),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, []),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]}, ["$.a: [{'b': 1}] is stored as [{'b': 1, 'c': 2}]"]),
        ({"a": 1}, {"a": "1"}, ["$.a: 1 is stored as '1'"]),
        ({"a": None, "b": {}}, {}, []),
        ({"a": {"b": 1}}, {}, ["$.a: {'b': 1} is stored as None"]),
    ],
)
def test_maps_are_merged_and_lists_are_one_value(
    manifest: dict[str, Any], stored: dict[str, Any], found: list[str]
) -> None:
    assert differences({"kind": "EdgeModel", **manifest}, {"kind": "EdgeModel", **stored}) == found


def test_lists_of_pods_are_merged_by_name() -> None:
    def deployment(**port: Any) -> dict[str, Any]:
        container = {"name": "one", "ports": [{"containerPort": 80, **port}]}
        return {"kind": "Deployment", "spec": {"template": {"spec": {"containers": [container]}}}}

    assert differences(deployment(), deployment(protocol="TCP")) == []
    assert differences(deployment(protocol="UDP"), deployment(protocol="TCP")) == [
        "$.spec.template.spec.containers[one].ports[80].protocol: 'UDP' is stored as 'TCP'"
    ]
