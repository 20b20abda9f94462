"""The command: what it pushes, writes and refuses. Layers are tiny here; real ones take a minute."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from charts.images import build, building, check
from charts.images.catalogue import IMAGES, NAMED_LAYERS, SERVER, Image, NamedLayer
from edge_oci import blobs, manifests
from edge_oci.client import Registries
from edge_oci.descriptors import Descriptor
from edge_oci.images import LayerImage, Platform, platforms_of, push_layered
from edge_oci.layers import Layer, write_layer
from edge_oci.references import parse_reference


@pytest.fixture(autouse=True)
def tiny_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def layers(image: Image | NamedLayer, architecture: str, fresh: bool) -> list[Layer]:
        path = tmp_path / f"{image.name}-{architecture}"
        return [write_layer({"etc/architecture": architecture.encode()}, path, compression="gzip")]

    monkeypatch.setattr(building, "_layers", layers)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_images_are_pushed_and_named_as_clusters_name_them(
    registry: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digests = tmp_path / "digests.json"
    push = ["--push", f"{registry}/test", "--plain-http", "--name-as", "registry.lab:5000/test"]
    assert build.main([*push, "--digests", str(digests), "--tag", "t1"]) == 0
    names = json.loads(digests.read_text())
    assert set(names) == {*IMAGES, *(f"layers/{name}" for name in NAMED_LAYERS)}
    for name, text in names.items():
        assert text.startswith(f"registry.lab:5000/test/{name}@sha256:")
        if name not in IMAGES:
            continue
        where = parse_reference(text.replace("registry.lab:5000", registry))
        repository = Registries(plain_http_hosts=[registry]).repository(where)
        assert manifests.resolve(repository, "t1").digest == where.digest
        assert [str(platform) for platform in platforms_of(repository, "t1")] == list(IMAGES[name].platforms)
    table = capsys.readouterr().out
    assert names["server"].rpartition("@")[2] in table
    assert "linux/arm64" in table


def test_a_second_push_gives_the_same_digests(registry: str, tmp_path: Path) -> None:
    for run in ("one", "two"):
        push = ["--push", f"{registry}/{run}", "--plain-http", "--name-as", "r.example/x"]
        build.main([*push, "--only", "server", "--digests", str(tmp_path / run)])
    assert (tmp_path / "one").read_text() == (tmp_path / "two").read_text()


def test_an_archive_holds_what_a_registry_would(registry: str, tmp_path: Path) -> None:
    digests = tmp_path / "digests.json"
    push = ["--push", f"{registry}/archive", "--plain-http", "--digests", str(digests)]
    build.main([*push, "--only", "operator", "--output", str(tmp_path / "out")])
    with tarfile.open(tmp_path / "out/operator.tar") as archive:
        top = json.load(archive.extractfile("index.json") or pytest.fail("no index.json"))
        names = archive.getnames()
    (entry,) = top["manifests"]
    assert json.loads(digests.read_text())["operator"].endswith(entry["digest"])
    assert f"blobs/{entry['digest'].replace(':', '/')}" in names
    assert entry["annotations"]["io.containerd.image.name"].endswith(f"/operator:{building.version()}")
    assert len(names) == 2 + 1 + 2 * 3  # layout, top; index; and for each platform manifest, configuration, layer


def test_no_image_runs_as_root(registry: str, tmp_path: Path) -> None:
    repository = Registries(plain_http_hosts=[registry]).repository(parse_reference(f"{registry}/user/server"))
    pushed = building.push(building.build(IMAGES["server"], ["linux/arm64"]), repository, tag="t")
    manifest = manifests.get_manifest(repository, pushed.platforms[Platform("linux", "arm64")].digest)
    config = json.loads(
        blobs.read_blob(repository, Descriptor.from_json(manifest.content["config"]), max_bytes=1 << 20)
    )
    assert config["architecture"] == "arm64"
    assert config["config"]["User"] == "65532:65532"
    assert config["config"]["Entrypoint"] == ["/usr/bin/python3", "-m", "inference_server"]
    assert "PYTHONPATH=/app" in config["config"]["Env"]
    assert config["created"] == "1970-01-01T00:00:00Z"


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> NamedLayer:
    layer = NamedLayer("decoder", "Decodes in tests", upon=SERVER, code=("edge_cli",), environment={"DECODER": "1"})
    monkeypatch.setitem(NAMED_LAYERS, layer.name, layer)
    return layer


def test_a_named_layer_is_pushed_alone_and_holds_nothing_of_its_base(
    decoder: NamedLayer, registry: str, tmp_path: Path
) -> None:
    push = ["--push", f"{registry}/named", "--plain-http", "--digests", str(tmp_path / "digests")]
    assert build.main([*push, "--only", "server", "--only", "layers/decoder"]) == 0
    digests = json.loads((tmp_path / "digests").read_text())
    reference = parse_reference(digests["layers/decoder"])
    assert str(reference).startswith(f"{registry}/named/layers/decoder@sha256:")
    repository = Registries(plain_http_hosts=[registry]).repository(reference)
    images = platforms_of(repository, reference.version)
    assert [str(platform) for platform in images] == list(decoder.platforms)
    manifest = manifests.get_manifest(repository, images[Platform("linux", "arm64")].digest)
    assert len(manifest.content["layers"]) == 1
    config = json.loads(
        blobs.read_blob(repository, Descriptor.from_json(manifest.content["config"]), max_bytes=1 << 20)
    )
    assert config["config"]["Env"] == ["DECODER=1"]
    assert "Entrypoint" not in config["config"]


def test_a_server_image_is_its_base_a_named_layer_and_the_model(
    decoder: NamedLayer, registry: str, tmp_path: Path
) -> None:
    """Each named layer is built and pushed once, whatever models are put on it."""
    push = ["--push", f"{registry}/sum", "--plain-http", "--digests", str(tmp_path / "digests")]
    build.main([*push, "--only", "server", "--only", "layers/decoder"])
    references = {name: parse_reference(text) for name, text in json.loads((tmp_path / "digests").read_text()).items()}
    registries = Registries(plain_http_hosts=[registry])
    base, named = (registries.repository(references[name]) for name in ("server", "layers/decoder"))
    target = registries.repository(parse_reference(f"{registry}/sum/model"))
    model = write_layer({"model/model.onnx": b"weights"}, tmp_path / "model")
    between = [LayerImage(named, references["layers/decoder"].version)]
    pushed = push_layered(base, references["server"].version, target, model, between=between)
    for platform, image in pushed.platforms.items():
        below = [
            manifests.get_manifest(where, platforms_of(where, version)[platform].digest).content["layers"]
            for where, version in ((base, references["server"].version), (named, between[0].version))
        ]
        layers = manifests.get_manifest(target, image.digest).content["layers"]
        assert layers[:-1] == [*below[0], *below[1]]
        assert layers[-1]["digest"] == model.digest


def test_no_named_layer_has_the_name_of_an_image() -> None:
    assert not set(IMAGES) & {f"layers/{name}" for name in NAMED_LAYERS}
    assert all(name == layer.name for name, layer in NAMED_LAYERS.items())


def test_an_image_that_is_not_made_for_a_platform_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["--platform", "linux/arm64"]) == 0
    table = capsys.readouterr().out
    assert "server" in table
    assert "registry" not in table


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--digests", "x.json"], "--digests needs --push"),
        (["--platform", "linux/s390x"], "no image is made for linux/s390x; there are linux/amd64, linux/arm64"),
        (["--only", "server", "--push", "edgemodel"], "name the registry's host first"),
        (
            ["--only", "server", "--push", "r.example/x", "--docker-config", "/missing.json"],
            "/missing.json cannot be read",
        ),
    ],
)
def test_a_mistake_is_reported_in_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(arguments) == 1
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_a_named_layer_is_checked_in_its_base_by_a_probe_of_its_own(
    decoder: NamedLayer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command of ``--check``, which needs root, has the base's program, the layer's variables, and no probe of the
    base."""
    (tmp_path / "probes").mkdir()
    (tmp_path / "probes" / "imports.py").write_text("import json\n")
    (tmp_path / "probes" / "decoder.py").write_text("print('decodes')\n")
    monkeypatch.setattr(check, "PROBES", tmp_path / "probes")
    amd64 = Platform("linux", "amd64")
    program = check.Check.of(building.build(decoder, ["linux/amd64"]), amd64)
    assert program.command == ["/usr/bin/python3", "-c", "PACKAGES = ['edge_cli']\nimport json\n\nprint('decodes')\n"]
    assert program.environment["DECODER"] == "1"
    assert program.environment["PYTHONPATH"] == "/app"
    base = building.build(SERVER, ["linux/amd64"])
    assert [layer.path.name for layer in program.layers] == ["server-amd64", "decoder-amd64"]
    assert program.layers[0].digest == base.layers[amd64][0].digest
