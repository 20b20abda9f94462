"""A base and one more layer make a new image, for each platform."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_oci import blobs, images, manifests
from edge_oci.client import Repository
from edge_oci.descriptors import DOCKER_LIST, DOCKER_MANIFEST, IMAGE_INDEX, Descriptor, parse_json
from edge_oci.errors import InvalidContent
from edge_oci.images import LayeredSettings, LayerImage, Platform
from edge_oci.layers import Layer, write_layer
from edgemodel.digest import canonical_json
from tests.unit.edge_oci.faulty import FaultyProxy

Open = Callable[..., Repository]

AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64")
_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"


@pytest.fixture
def lower(tmp_path: Path) -> Layer:
    return write_layer({"/etc/os-release": b"tests"}, tmp_path / "lower", compression="gzip")


@pytest.fixture
def upper(tmp_path: Path) -> Layer:
    return write_layer({"/model/model.onnx": b"weights"}, tmp_path / "upper")


def push_base(repository: Repository, lower: Layer) -> None:
    run = {"Env": ["PATH=/bin", "A=1"], "Labels": {"of": "base"}, "User": "65532:65532", "Entrypoint": ["/serve"]}
    made = {
        platform: images.push_image(repository, {**platform.to_json(), "config": run}, [lower])
        for platform in (AMD64, ARM64)
    }
    images.push_index(repository, made, tag="base")


def push_docker_base(repository: Repository, lower: Layer) -> Descriptor:
    """Pushes an image as docker does, with an attestation beside it."""
    config = {
        "architecture": "amd64",
        "os": "linux",
        "docker_version": "20",
        "container": "c0ffee",
        "config": {"Env": None},
        "rootfs": {"type": "layers", "diff_ids": [lower.diff_id]},
    }
    blobs.push_blob(repository, lower.path)
    pushed = blobs.push_blob(repository, canonical_json(config), media_type=_DOCKER_CONFIG)
    layer = Descriptor(_DOCKER_LAYER, lower.digest, lower.size)
    manifest = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": pushed.to_json(),
        "layers": [layer.to_json()],
    }
    one = manifests.put_manifest(repository, manifest)
    entries = [
        one.to_json() | {"platform": AMD64.to_json()},
        one.to_json() | {"platform": {"os": "unknown", "architecture": "unknown"}},
    ]
    return manifests.put_manifest(
        repository, {"schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": entries}, tag="docker"
    )


def config_of(repository: Repository, image: Descriptor) -> dict[str, Any]:
    manifest = manifests.get_manifest(repository, image.digest)
    config = Descriptor.from_json(manifest.content["config"])
    return parse_json(blobs.read_blob(repository, config, max_bytes=1 << 20), "config")


def test_every_platform_of_the_base_gets_the_layer(registry: str, repository: Open, lower: Layer, upper: Layer) -> None:
    base, target = repository(registry, "base"), repository(registry, "target")
    push_base(base, lower)
    settings = LayeredSettings(
        labels={"of": "model"}, annotations={"edge": "yes"}, env={"A": "2", "B": "3"}, created_by="tests"
    )
    pushed = images.push_layered(base, "base", target, upper, settings=settings, tag="v1")

    index = manifests.get_manifest(target, "v1")
    assert index.descriptor.media_type == IMAGE_INDEX
    assert pushed.reference == f"{target}@{index.descriptor.digest}"
    assert [entry["platform"]["architecture"] for entry in index.content["manifests"]] == ["amd64", "arm64"]
    assert index.content["annotations"] == {"edge": "yes"}
    for platform, image in pushed.platforms.items():
        manifest = manifests.get_manifest(target, image.digest).content
        assert [layer["digest"] for layer in manifest["layers"]] == [lower.digest, upper.digest]
        assert manifest["annotations"]["edge"] == "yes"
        assert manifest["annotations"]["org.opencontainers.image.base.digest"].startswith("sha256:")
        config = config_of(target, image)
        assert Platform.from_json(config) == platform
        assert config["config"]["Env"] == ["PATH=/bin", "A=2", "B=3"]
        assert config["config"]["Labels"] == {"of": "model"}
        assert config["config"]["Entrypoint"] == ["/serve"]
        assert config["config"]["User"] == "65532:65532"
        assert config["rootfs"]["diff_ids"] == [lower.diff_id, upper.diff_id]
        assert config["history"][-1]["created_by"] == "tests"
        assert config["created"] == images.EPOCH


def test_the_same_inputs_give_the_same_digest(registry: str, repository: Open, lower: Layer, upper: Layer) -> None:
    base = repository(registry, "base")
    push_base(base, lower)
    first = images.push_layered(base, "base", repository(registry, "one"), upper)
    second = images.push_layered(base, "base", repository(registry, "two"), upper)
    assert first.index == second.index


def test_the_second_image_moves_only_what_is_new(
    proxy: FaultyProxy, repository: Open, lower: Layer, upper: Layer, tmp_path: Path
) -> None:
    base, target = repository(proxy.host, "base"), repository(proxy.host, "target")
    push_base(base, lower)
    images.push_layered(base, "base", target, upper)
    proxy.requests.clear()
    other = write_layer({"/model/model.onnx": b"other weights"}, tmp_path / "other")
    images.push_layered(base, "base", target, other)
    assert not proxy.seen("GET", lower.digest)
    assert not proxy.seen("POST", "mount=")
    assert len(proxy.seen("PUT", "/blobs/uploads/")) == 3  # the layer and two configurations


def test_a_base_of_docker_becomes_an_image_of_oci(registry: str, repository: Open, lower: Layer, upper: Layer) -> None:
    base, target = repository(registry, "base"), repository(registry, "target")
    push_docker_base(base, lower)
    pushed = images.push_layered(base, "docker", target, upper)
    assert set(pushed.platforms) == {AMD64}
    manifest = manifests.get_manifest(target, pushed.platforms[AMD64].digest).content
    assert {entry["mediaType"].split(".")[1] for entry in [manifest["config"], *manifest["layers"]]} == {"oci"}
    assert [layer["digest"] for layer in manifest["layers"]] == [lower.digest, upper.digest]
    config = config_of(target, pushed.platforms[AMD64])
    assert "container" not in config
    assert config["config"]["Env"] == []


def test_a_single_image_is_a_base_too(registry: str, repository: Open, lower: Layer, upper: Layer) -> None:
    base = repository(registry, "base")
    one = images.push_image(base, {**ARM64.to_json(), "config": {}}, [lower])
    pushed = images.push_layered(base, one.digest, repository(registry, "target"), upper)
    assert set(pushed.platforms) == {ARM64}
    assert images.platforms_of(base, one.digest) == {ARM64: one}


def test_each_platform_may_get_a_layer_of_its_own(
    registry: str, repository: Open, lower: Layer, upper: Layer, tmp_path: Path
) -> None:
    base = repository(registry, "base")
    push_base(base, lower)
    other = write_layer({"/model/model.onnx": b"for arm64"}, tmp_path / "other")
    target = repository(registry, "target")
    pushed = images.push_layered(base, "base", target, {AMD64: upper, ARM64: other})
    tops = [
        manifests.get_manifest(target, image.digest).content["layers"][-1]["digest"]
        for image in pushed.platforms.values()
    ]
    assert tops == [upper.digest, other.digest]


def test_a_platform_may_be_chosen_and_must_be_there(
    registry: str, repository: Open, lower: Layer, upper: Layer
) -> None:
    base, target = repository(registry, "base"), repository(registry, "target")
    push_base(base, lower)
    assert set(images.push_layered(base, "base", target, upper, platforms=[ARM64]).platforms) == {ARM64}
    with pytest.raises(InvalidContent, match=r"has linux/amd64, linux/arm64, and not linux/s390x"):
        images.push_layered(base, "base", target, upper, platforms=[Platform("linux", "s390x")])


def push_named_layer(repository: Repository, layer: Layer, *platforms: Platform) -> LayerImage:
    """Pushes a layer that is published alone, with a variable for its program."""
    made = {
        platform: images.push_image(
            repository, {**platform.to_json(), "config": {"Env": ["A=layer", "C=1"], "User": "0"}}, [layer]
        )
        for platform in platforms
    }
    images.push_index(repository, made, tag="layer")
    return LayerImage(repository, "layer")


def test_named_layers_lie_between_the_base_and_the_last_layer(
    registry: str, repository: Open, lower: Layer, upper: Layer, tmp_path: Path
) -> None:
    base, target = repository(registry, "base"), repository(registry, "target")
    push_base(base, lower)
    middle = [write_layer({f"/usr/{name}": name.encode()}, tmp_path / name) for name in ("runtime", "decoder")]
    between = [
        push_named_layer(repository(registry, f"layer-{number}"), layer, AMD64, ARM64)
        for number, layer in enumerate(middle)
    ]
    pushed = images.push_layered(base, "base", target, upper, between=between)
    assert set(pushed.platforms) == {AMD64, ARM64}
    for image in pushed.platforms.values():
        manifest = manifests.get_manifest(target, image.digest).content
        wanted = [lower, *middle, upper]
        assert [layer["digest"] for layer in manifest["layers"]] == [layer.digest for layer in wanted]
        config = config_of(target, image)
        assert config["rootfs"]["diff_ids"] == [layer.diff_id for layer in wanted]
        assert len(config["history"]) == len(wanted)
        assert config["config"]["Env"] == ["PATH=/bin", "A=layer", "C=1"]
        assert config["config"]["User"] == "65532:65532", "the base says who runs"


def test_an_image_is_made_for_the_platforms_that_all_its_layers_have(
    registry: str, repository: Open, lower: Layer, upper: Layer, tmp_path: Path
) -> None:
    base, target = repository(registry, "base"), repository(registry, "target")
    push_base(base, lower)
    middle = write_layer({"/usr/runtime": b"arm only"}, tmp_path / "middle")
    only_arm = push_named_layer(repository(registry, "layer"), middle, ARM64)
    assert set(images.push_layered(base, "base", target, upper, between=[only_arm]).platforms) == {ARM64}
    other = push_named_layer(repository(registry, "other"), middle, Platform("linux", "s390x"))
    with pytest.raises(InvalidContent, match="no platform is common to the base and its layers"):
        images.push_layered(base, "base", target, upper, between=[only_arm, other])
    with pytest.raises(InvalidContent, match="has linux/arm64, and not linux/amd64"):
        images.push_layered(base, "base", target, upper, between=[only_arm], platforms=[AMD64])


def test_an_artifact_is_not_a_base(registry: str, repository: Open, upper: Layer) -> None:
    base = repository(registry, "base")
    manifests.put_manifest(base, {"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": []}, tag="empty")
    with pytest.raises(InvalidContent, match="has no platform"):
        images.push_layered(base, "empty", repository(registry, "target"), upper)


def test_an_image_goes_from_one_registry_to_another(
    registry: str, proxy: FaultyProxy, repository: Open, lower: Layer, upper: Layer
) -> None:
    base, target = repository(registry, "base"), repository(proxy.host, "target")
    push_base(base, lower)
    pushed = images.push_layered(base, "base", target, upper)
    assert manifests.resolve(target, pushed.index.digest) == pushed.index
    assert not proxy.seen("POST", "mount=")


@pytest.mark.parametrize("text", ["linux/amd64", "linux/arm/v7"])
def test_a_platform_is_written_as_it_is_read(text: str) -> None:
    platform = Platform.parse(text)
    assert str(platform) == text
    assert Platform.from_json(platform.to_json()) == platform


@pytest.mark.parametrize("text", ["linux", "linux/", "a/b/c/d", ""])
def test_a_text_that_is_not_a_platform_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a platform"):
        Platform.parse(text)
