"""The packed release is complete, and has the previous schema."""

import ast
import json
from pathlib import Path

import jsonschema
import pytest

from examples.lab.site import Site
from tests.support import manifests, previous_release


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    previous_release.unpack(folder)
    return folder


def test_every_part_is_there_and_every_module_parses(release: Path) -> None:
    assert all((release / part).is_dir() for part in previous_release.PARTS)
    packages = {package.name: package for package in previous_release.packages(release)}
    assert {"edge_operator", "edge_compressor", "edgemodel", "inference_server"} <= packages.keys()
    modules = [module for package in packages.values() for module in package.rglob("*.py")]
    assert len(modules) > 200
    for module in modules:
        ast.parse(module.read_text(), str(module))


def test_its_chart_takes_the_values_that_the_test_gives(release: Path) -> None:
    site = Site("", "", "127.0.0.1:5000/edgemodel", "registry.lab:5000/edgemodel", plain_http=True, is_lab=True)
    digest = "sha256:" + "0" * 64
    images = {
        name: f"{site.pull_from}/{name}@{digest}" for name in (*previous_release.IMAGES, "registry", "prometheus")
    }
    schema = json.loads((release / "charts/edgemodel/values.schema.json").read_text())
    defaults = manifests.read((release / "charts/edgemodel/values.yaml").read_text())
    jsonschema.validate(merged(defaults, previous_release.values(site, images)), schema)


def merged(below: dict[str, object], above: dict[str, object]) -> dict[str, object]:
    """Returns the values that helm makes of the chart's and the user's."""
    found = {**below, **above}
    for key, value in above.items():
        other = below.get(key)
        if isinstance(value, dict) and isinstance(other, dict):
            found[key] = merged(other, value)
    return found


def test_its_schema_has_the_fields_that_this_one_renamed(release: Path) -> None:
    """The fields are those in the manifests of ``tests/e2e/test_upgrade.py``."""
    definition = manifests.read((release / "crds/edgemodels.edgemodel.io.yaml").read_text())
    spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    assert "nodeDeadlineSeconds" in spec["rollout"]["properties"]
    assert "threads" in spec["serving"]["properties"]["tuning"]["properties"]
    assert "port" in spec["serving"]["properties"]
