"""Models and data sets in a registry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_oci import artifacts, images, manifests
from edge_oci.client import Repository
from edge_oci.descriptors import TITLE
from edge_oci.errors import BlobTooLarge, DigestMismatch, InvalidContent
from edgemodel.digest import digest_of
from tests.unit.edge_oci.faulty import Change, FaultyProxy

Open = Callable[..., Repository]

TYPE = "application/vnd.edgemodel.test"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"weights")
    return path


def test_a_file_comes_back_as_it_was(registry: str, repository: Open, model: Path, tmp_path: Path) -> None:
    own = repository(registry)
    pushed = artifacts.push_artifact(own, {"model.onnx": model}, artifact_type=TYPE, annotations={"a": "b"}, tag="v1")
    pulled = artifacts.pull_file(own, pushed.digest, tmp_path / "deep/er/copy.onnx")
    assert (tmp_path / "deep/er/copy.onnx").read_bytes() == b"weights"
    assert pulled.annotations == {TITLE: "model.onnx"}
    content = manifests.get_manifest(own, "v1").content
    assert content["artifactType"] == TYPE
    assert content["annotations"] == {"a": "b"}


def test_equal_files_are_an_equal_artifact(registry: str, repository: Open, model: Path) -> None:
    one = artifacts.push_artifact(repository(registry, "one"), {"a": model, "b": model}, artifact_type=TYPE)
    two = artifacts.push_artifact(repository(registry, "two"), {"b": model, "a": model}, artifact_type=TYPE)
    assert one == two


def test_several_files_come_back_by_name(registry: str, repository: Open, model: Path, tmp_path: Path) -> None:
    own = repository(registry)
    (tmp_path / "labels").write_text("cat\n")
    artifacts.push_artifact(own, {"model": model, "labels/names": tmp_path / "labels"}, artifact_type=TYPE, tag="v1")
    pulled = artifacts.pull_artifact(own, "v1", tmp_path / "out")
    assert {name: blob.digest for name, blob in pulled.items()} == {
        "labels/names": digest_of(b"cat\n"),
        "model": digest_of(b"weights"),
    }
    assert (tmp_path / "out/labels/names").read_text() == "cat\n"
    with pytest.raises(InvalidContent, match=r"has 2 files \(labels/names, model\), want exactly one"):
        artifacts.pull_file(own, "v1", tmp_path / "one")


def test_what_is_too_large_is_not_begun(proxy: FaultyProxy, repository: Open, model: Path, tmp_path: Path) -> None:
    own = repository(proxy.host)
    artifacts.push_artifact(own, {"model": model}, artifact_type=TYPE, tag="v1")
    with pytest.raises(BlobTooLarge, match="has 7 bytes, limit 6"):
        artifacts.pull_file(own, "v1", tmp_path / "copy", max_bytes=6)
    with pytest.raises(BlobTooLarge, match="has 7 bytes, limit 6"):
        artifacts.pull_artifact(own, "v1", tmp_path / "out", max_bytes=6)
    assert not proxy.seen("GET", "/blobs/")


@pytest.mark.parametrize(
    "title", ["../model", "/etc/passwd", "a/../b", "a//b", "./a", "a\\b", "a\nb", "..", "", "a" * 241]
)
def test_a_name_that_leads_elsewhere_is_refused(
    registry: str, repository: Open, model: Path, tmp_path: Path, title: str
) -> None:
    own = repository(registry)
    artifacts.push_artifact(own, {title: model}, artifact_type=TYPE, tag="v1")
    with pytest.raises(InvalidContent, match=r"relative name|empty name|backslash|240 bytes"):
        artifacts.pull_artifact(own, "v1", tmp_path / "out")


def test_a_file_that_is_the_folder_of_another_is_refused(
    registry: str, repository: Open, model: Path, tmp_path: Path
) -> None:
    own = repository(registry)
    artifacts.push_artifact(own, {"a": model, "a/b": model}, artifact_type=TYPE, tag="v1")
    with pytest.raises(InvalidContent, match="'a' is a file, and the folder of 'a/b'"):
        artifacts.pull_artifact(own, "v1", tmp_path / "out")


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        ({"annotations": {artifacts.MODEL_PACK_PATH: "onnx/model.onnx"}}, "onnx/model.onnx"),
        ({"mediaType": "application/vnd.docker.ai.gguf.v3"}, f"{digest_of(b'weights').replace(':', '-')}.gguf"),
    ],
)
def test_manifests_of_other_tools_name_their_files_too(
    registry: str, repository: Open, model: Path, layer: dict[str, Any], name: str
) -> None:
    own = repository(registry)
    pushed = artifacts.push_artifact(own, {"model": model}, artifact_type=TYPE)
    content = manifests.get_manifest(own, pushed.digest).content
    given = {**content["layers"][0], "annotations": {}, **layer}
    manifests.put_manifest(own, content | {"layers": [given]}, tag="v1")
    assert list(artifacts.files_of(own, "v1")) == [name]


def test_two_files_of_one_name_are_refused(registry: str, repository: Open, model: Path, tmp_path: Path) -> None:
    own = repository(registry)
    pushed = artifacts.push_artifact(own, {"model": model}, artifact_type=TYPE)
    content = manifests.get_manifest(own, pushed.digest).content
    manifests.put_manifest(own, content | {"layers": content["layers"] * 2}, tag="v1")
    with pytest.raises(InvalidContent, match="two files of the same name"):
        artifacts.pull_artifact(own, "v1", tmp_path / "out")


def test_an_index_is_not_an_artifact(registry: str, repository: Open, tmp_path: Path) -> None:
    own = repository(registry)
    images.push_index(own, {}, tag="index")
    with pytest.raises(InvalidContent, match="is an index of images, not an artifact"):
        artifacts.pull_file(own, "index", tmp_path / "copy")


def test_a_changed_file_is_refused(proxy: FaultyProxy, repository: Open, model: Path, tmp_path: Path) -> None:
    own = repository(proxy.host)
    artifacts.push_artifact(own, {"model": model}, artifact_type=TYPE, tag="v1")
    proxy.will("GET", "/blobs/", Change(body=lambda _: b"Weights"))
    with pytest.raises(DigestMismatch):
        artifacts.pull_file(own, "v1", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
