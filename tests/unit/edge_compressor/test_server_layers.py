"""The image of an artifact: the server's base, the named layers that its runtime needs, and the model."""

from dataclasses import replace
from pathlib import Path

import pytest

from edge_compressor.publishing.artifact_image import publish
from edge_compressor.registries.access import RegistryAccess
from edge_oci.client import Registries
from edge_oci.images import Platform, platforms_of, push_image, push_index
from edge_oci.layers import Layer, write_layer
from edge_oci.manifests import get_manifest
from edge_oci.references import parse_reference
from edge_runtime import backends
from edge_runtime.backend import Backend, Device, LoadedModel
from edge_runtime.tuning import Tuning
from edgemodel.artifact import ArtifactFile, ArtifactManifest, Tensor
from edgemodel.digest import digest_of
from edgemodel.errors import Stalled
from edgemodel.job_input import PublishTarget
from edgemodel.names import MODEL_FILE, TOKENIZER_FILE, TOKENIZERS_LAYER
from tests.support.registry import RegistryProgram

AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64")
MODEL = b"the weights"
MANIFEST = ArtifactManifest(
    model="defects",
    fingerprint="f00d",
    variant="default",
    source_digest=digest_of(b"source"),
    artifact_digest=digest_of(MODEL),
    inputs=(),
    outputs=(),
    golden=None,
    runtime="Layered",
)


class LayeredBackend(Backend):
    """A runtime that is in no base image: its image needs a runtime and a decoder."""

    name = "Layered"
    platform = "layered"
    version = "1"
    server_layers = ("runtime-x", "decoder")

    def load(self, path: Path, tuning: Tuning, device: Device) -> LoadedModel:
        raise NotImplementedError("nothing is loaded to publish it")


@pytest.fixture(autouse=True)
def layered_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(backends._registered, LayeredBackend.name, LayeredBackend())


class Shop:
    """A registry with a base and named layers, and an artifact to publish there."""

    def __init__(self, host: str, folder: Path) -> None:
        self.host, self.folder = host, folder
        self.access = RegistryAccess(plain_http_hosts=(host,))
        self.registries = Registries(plain_http_hosts=(host,))
        self.base = self.push("server", AMD64, ARM64)
        self.layers = {
            "runtime-x": self.push("layers/runtime-x", AMD64, ARM64),
            "decoder": self.push("layers/decoder", AMD64, ARM64),
            "unused": self.push("layers/unused", AMD64),
        }
        (folder / "artifact").mkdir()
        (folder / "artifact" / MODEL_FILE).write_bytes(MODEL)
        (folder / "scratch").mkdir()

    def layer(self, name: str) -> Layer:
        return write_layer({f"usr/{name}": name.encode()}, self.folder / name.replace("/", "-"), compression="gzip")

    def push(self, name: str, *platforms: Platform) -> str:
        """Pushes an image of one layer and returns its reference by digest."""
        repository = self.registries.repository(parse_reference(f"{self.host}/{self.folder.name}/{name}"))
        made = {
            each: push_image(repository, {**each.to_json(), "config": {}}, [self.layer(name)]) for each in platforms
        }
        return f"{repository}@{push_index(repository, made).digest}"

    @property
    def target(self) -> PublishTarget:
        return PublishTarget(self.host, f"{self.folder.name}/defects", self.base, server_layers=self.layers)

    def publish(self, manifest: ArtifactManifest, target: PublishTarget) -> dict[Platform, list[str]]:
        """Publishes the artifact and returns the digests of its layers, for each platform."""
        made = publish(self.folder / "artifact", manifest, target, self.access, self.folder / "scratch")
        reference = parse_reference(f"{self.host}/{made.image}")
        repository = self.registries.repository(reference)
        return {
            platform: [each["digest"] for each in get_manifest(repository, image.digest).content["layers"]]
            for platform, image in platforms_of(repository, reference.version).items()
        }


@pytest.fixture
def shop(registry: RegistryProgram, tmp_path: Path) -> Shop:
    return Shop(registry.host, tmp_path)


def test_the_layers_of_the_runtime_lie_between_the_base_and_the_model(shop: Shop) -> None:
    wanted = [shop.layer(name).digest for name in ("server", "layers/runtime-x", "layers/decoder")]
    found = shop.publish(MANIFEST, shop.target)
    assert set(found) == {AMD64, ARM64}
    assert all(layers[:-1] == wanted for layers in found.values())
    assert len({layers[-1] for layers in found.values()}) == 1, "one model for all platforms"


def test_a_runtime_of_the_base_needs_no_layer(shop: Shop) -> None:
    found = shop.publish(replace(MANIFEST, runtime="ONNXRuntime"), replace(shop.target, server_layers={}))
    assert [layers[:-1] for layers in found.values()] == [[shop.layer("server").digest]] * 2


def test_a_model_that_generates_text_needs_what_reads_texts(shop: Shop) -> None:
    past, present = ([f"{side}.0.{part}" for part in ("key", "value")] for side in ("past_key_values", "present"))
    generator = replace(
        MANIFEST,
        runtime="ONNXRuntime",
        inputs=(Tensor("input_ids", "INT64", (-1, -1)), *(Tensor(name, "FP32", (-1, 2, -1, 8)) for name in past)),
        outputs=(Tensor("logits", "FP32", (-1, -1, 9)), *(Tensor(name, "FP32", (-1, 2, -1, 8)) for name in present)),
        files={name: ArtifactFile(digest_of(MODEL), len(MODEL)) for name in (MODEL_FILE, TOKENIZER_FILE)},
    )
    with pytest.raises(Stalled, match="a model that generates text needs the layer tokenizers"):
        shop.publish(generator, shop.target)
    with_it = replace(shop.target, server_layers={TOKENIZERS_LAYER: shop.push("layers/tokenizers", AMD64)})
    wanted = [shop.layer(name).digest for name in ("server", "layers/tokenizers")]
    assert [layers[:2] for layers in shop.publish(generator, with_it).values()] == [wanted]
    encoder = replace(generator, inputs=(), outputs=())
    assert [layers[:2] for layers in shop.publish(encoder, with_it).values()] == [wanted]
    assert shop.publish(encoder, shop.target)


def test_an_image_is_made_for_the_platforms_of_all_its_layers(shop: Shop) -> None:
    layers = {**shop.layers, "decoder": shop.push("layers/decoder-amd64", AMD64)}
    assert set(shop.publish(MANIFEST, replace(shop.target, server_layers=layers))) == {AMD64}


def test_a_layer_that_the_chart_does_not_name_is_reported_with_its_cure(shop: Shop) -> None:
    layers = {"runtime-x": shop.layers["runtime-x"]}
    with pytest.raises(Stalled, match=r"needs the layer decoder .* told of runtime-x: .*server\.layers") as raised:
        shop.publish(MANIFEST, replace(shop.target, server_layers=layers))
    assert raised.value.reason == "ServerLayerMissing"
