"""The manifests of the examples are valid, and name the files beside them."""

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest

from edge_cli import main as cli
from edge_cli.manifest import complete_edge_model
from edge_cli.push import ARTIFACT_TYPES
from edge_compressor import steps
from edge_oci import artifacts
from edge_oci.descriptors import Descriptor
from edgemodel.compression_request import EXPORTED_PROGRAM, ONNX
from edgemodel.digest import canonical_json, digest_of, digest_of_file
from tests.support import manifests

from .conftest import EXAMPLES

MANIFESTS = sorted(EXAMPLES.glob("*/*.yaml"))
CRD = EXAMPLES.parent / "crds" / "edgemodels.edgemodel.io.yaml"
UNKNOWN = f"sha256:{'0' * 64}"
"""The digest of trained files, which differ from machine to machine, and of what is too large for the tree."""
FILES = sorted(file for suffix in ARTIFACT_TYPES for file in EXAMPLES.glob(f"*/*{suffix}"))

each_manifest = pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: f"{path.parent.name}/{path.stem}")


def uris(manifest: dict[str, Any]) -> list[str]:
    datasets = manifest["spec"].get("datasets", {})
    return [manifest["spec"]["source"]["uri"], *(dataset["uri"] for dataset in datasets.values())]


@each_manifest
def test_the_schema_accepts_the_manifest(path: Path) -> None:
    schema = manifests.read(CRD.read_text())["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    jsonschema.validate(manifests.read(path.read_text()), schema)


@each_manifest
def test_the_command_line_accepts_the_manifest_and_its_rules(path: Path) -> None:
    """The manifest has no field that the API server would drop, and breaks no rule."""
    model = complete_edge_model(manifests.read(path.read_text()), path.name)
    assert complete_edge_model(model, path.name) == model


@each_manifest
def test_the_compressor_understands_the_steps(path: Path) -> None:
    spec = manifests.read(path.read_text())["spec"]
    given, written = spec["compression"]["steps"], spec["source"].get("format", "ONNX")
    first = written if written == EXPORTED_PROGRAM else ONNX
    assert len(steps.plan(given, first)) == len(given)


@each_manifest
def test_the_digests_in_the_uris_are_those_of_the_files(
    path: Path, write_digests: ModuleType, fetch: ModuleType, weights: Path
) -> None:
    fetched = write_digests.pushed_digest("model.onnx", fetch.DIGEST, fetch.SIZE_BYTES)
    made = write_digests.pushed_digest(weights.name, digest_of_file(weights), weights.stat().st_size)
    for uri in uris(manifests.read(path.read_text())):
        name, digest = re.fullmatch(
            r"oci://registry\.example/examples/[a-z0-9-]+/([a-z]+)@(sha256:[0-9a-f]{64})", uri
        ).groups()
        files = [file for suffix in ARTIFACT_TYPES if (file := path.parent / f"{name}{suffix}").exists()]
        if not files:
            assert (path.parent.name, name, digest) in [
                ("magika", "model", fetched),
                ("fashion-mnist", "weights", made),
                ("fashion-mnist", "program", UNKNOWN),
                ("fashion-mnist", "training", UNKNOWN),
                ("smollm2", "model", UNKNOWN),
            ]
            continue
        (file,) = files
        assert digest == write_digests.pushed_digest(file.name, digest_of_file(file), file.stat().st_size)


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_a_push_gives_the_digest_computed_before(
    file: Path, write_digests: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(artifacts, "push_blob", stored_blob)
    monkeypatch.setattr(artifacts, "put_manifest", stored_manifest)
    assert cli.main(["push", str(file), "oci://registry.example/examples/file"]) == 0
    expected = write_digests.pushed_digest(file.name, digest_of_file(file), file.stat().st_size)
    assert capsys.readouterr().out.strip().endswith(f"/examples/file@{expected}")


def stored_blob(_: object, content: bytes | Path, *, media_type: str) -> Descriptor:
    data = content if isinstance(content, bytes) else content.read_bytes()
    return Descriptor(media_type, digest_of(data), len(data))


def stored_manifest(_: object, content: dict[str, Any], *, tag: str | None = None) -> Descriptor:
    data = canonical_json(content)
    return Descriptor(content["mediaType"], digest_of(data), len(data))
