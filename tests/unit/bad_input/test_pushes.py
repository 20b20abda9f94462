"""Pushes of artifacts and files: registries that answer wrongly at each step, and bases that are no images."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from edge_cli import main
from edge_compressor.publishing.artifact_image import publish
from edge_compressor.registries import access
from edge_compressor.registries.access import RegistryAccess
from edge_oci.client import Registries
from edge_oci.transport import Patience
from edgemodel.artifact import ArtifactManifest
from edgemodel.digest import digest_of
from edgemodel.errors import EdgeModelError
from edgemodel.job_input import PublishTarget
from edgemodel.names import MANIFEST_FILE
from tests.support.bad_http import (
    MANIFEST_TYPE,
    PUSH_STEPS,
    BadServer,
    Say,
    bad_answers,
    bad_push_answers,
    bad_server,
    push_routes,
    says,
    slow_answers,
)
from tests.support.bad_input import damaged, mutated, wrongly_encoded
from tests.support.bad_input_runs import Tries, share
from tests.unit.edge_compressor.models import Files

pytestmark = pytest.mark.slow

DOCUMENTED: Final = (0, 3, 4)
HASTE: Final = Patience(tries=2, sleep=lambda _seconds: None)
LAYER: Final = b"a layer of the base"
CONFIG: Final = {
    "os": "linux",
    "architecture": "amd64",
    "variant": "v8",
    "config": {"User": "65532", "Env": ["A=1"], "Labels": {"a": "b"}},
    "rootfs": {"type": "layers", "diff_ids": [digest_of(LAYER)]},
    "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "x"}],
}
INDEX_TYPE: Final = "application/vnd.oci.image.index.v1+json"


def described(data: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}


class Base:
    """An index of one image, as a registry holds it: any part of it can be given as other bytes."""

    def __init__(self, config: bytes | None = None, image: bytes | None = None, index: bytes | None = None) -> None:
        self.config = json.dumps(CONFIG).encode() if config is None else config
        self.image = json.dumps(self.manifest(self.config)).encode() if image is None else image
        self.index = json.dumps(self.list(self.image)).encode() if index is None else index

    @property
    def files(self) -> dict[str, bytes]:
        return {digest_of(data): data for data in (LAYER, self.config, self.image)}

    @staticmethod
    def manifest(config: bytes) -> dict[str, Any]:
        return {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": described(config, "application/vnd.oci.image.config.v1+json"),
            "layers": [described(LAYER, "application/vnd.oci.image.layer.v1.tar+gzip")],
        }

    @staticmethod
    def list(image: bytes) -> dict[str, Any]:
        entry = described(image, MANIFEST_TYPE) | {"platform": {"os": "linux", "architecture": "amd64"}}
        return {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [entry]}

    @classmethod
    def with_config(cls, data: bytes) -> "Base":
        return cls(config=data)

    @classmethod
    def with_image(cls, data: bytes) -> "Base":
        return cls(image=data)

    @classmethod
    def with_index(cls, data: bytes) -> "Base":
        return cls(index=data)


@pytest.fixture
def server() -> Iterator[BadServer]:
    with bad_server() as made:
        yield made


class Publisher:
    """Publishes one small artifact, as the Job does."""

    def __init__(self, folder: Path, host: str) -> None:
        self.artifact, self.scratch = folder / "artifact", folder / "scratch"
        self.artifact.mkdir()
        self.scratch.mkdir()
        for name in (MANIFEST_FILE, "model.onnx"):
            (self.artifact / name).write_bytes(b"x" * 100)
        self.target = PublishTarget(host, "a/b", f"{host}/server:base")
        self.access = RegistryAccess(plain_http_hosts=(host,), patience=HASTE)
        self.manifest = ArtifactManifest(
            model="m",
            fingerprint="f" * 12,
            variant="default",
            source_digest=f"sha256:{'b' * 64}",
            artifact_digest=f"sha256:{'a' * 64}",
            inputs=(),
            outputs=(),
            golden=None,
        )

    def __call__(self) -> int:
        try:
            publish(self.artifact, self.manifest, self.target, self.access, self.scratch)
        except EdgeModelError as error:
            print(error.message)
            return error.exit_code
        return 0


def stepwise() -> Iterator[tuple[str, str, Say]]:
    """Yields bad answers to the steps of a push: (name, step, answer). Each goes to several steps, by turns."""
    every = [*bad_push_answers(), *bad_answers(json.dumps(CONFIG).encode())]
    for number, (about, say) in enumerate(every):
        for turn in (0, 3, 7):
            step = PUSH_STEPS[(number + turn) % len(PUSH_STEPS)]
            yield f"{step}: {about}", step, say


def test_answers_to_the_push_of_an_artifact(server: BadServer, tmp_path: Path) -> None:
    tries, base = Tries("compression Job: answers to its push", DOCUMENTED), Base()
    publisher = Publisher(tmp_path, server.host)
    server.route = push_routes(base.index, base.files, "nothing", says(b""))
    assert publisher() == 0, "the registry of this test refuses a good push"
    for about, step, say in share(stepwise()):
        server.route = push_routes(base.index, base.files, step, say)
        tries.call(about, publisher)
    tries.judge(800)


def test_bases_of_odd_shapes(server: BadServer, tmp_path: Path) -> None:
    tries, good = Tries("compression Job: images to build on", DOCUMENTED), Base()
    publisher = Publisher(tmp_path, server.host)
    parts: tuple[tuple[str, Any, Callable[[bytes], Base]], ...] = (
        ("configuration", CONFIG, Base.with_config),
        ("image", Base.manifest(good.config), Base.with_image),
        ("index", Base.list(good.image), Base.with_index),
    )
    for part, value, made in parts:
        text = json.dumps(value)
        odd = [(about, json.dumps(each).encode()) for about, each in mutated(value, 200, part)]
        for about, data in share([*odd, *damaged(text.encode(), 30, part), *wrongly_encoded(text)]):
            base = made(data)
            server.route = push_routes(base.index, base.files, "nothing", says(b""))
            tries.call(f"{part} {about}", publisher)
    tries.judge(600)


def test_answers_to_edgemodel_push(
    server: BadServer, perceptron: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = Tries("edgemodel push: answers of the registry", DOCUMENTED)
    monkeypatch.setattr(access, "RegistryAccess", partial(RegistryAccess, patience=HASTE))
    (tmp_path / "config.json").write_text('{"auths": {}}')
    words = ["push", str(perceptron.model), f"oci://{server.host}/a/b:v1", "--plain-http"]
    words += ["--config", str(tmp_path / "config.json")]
    for about, step, say in share(one for one in stepwise() if one[1] in PUSH_STEPS[:6]):
        server.route = push_routes(b"", {}, step, say)
        tries.call(about, lambda: main.main(words))
    tries.judge(450)


def test_silence_of_a_registry(server: BadServer, tmp_path: Path) -> None:
    """The client waits less long here than in production, where the limit is a minute."""
    tries, base = Tries("compression Job: silence of the registry", DOCUMENTED), Base()
    publisher = Publisher(tmp_path, server.host)
    publisher.access = Impatient(plain_http_hosts=(server.host,), patience=HASTE)
    for about, say in share(slow_answers(b"{}" * 100)):
        for step in share(PUSH_STEPS):
            server.route = push_routes(base.index, base.files, step, say)
            tries.call(f"{step}: {about}", publisher)
    tries.judge(20)


class Impatient(RegistryAccess):
    def registries(self, use: str) -> Registries:
        return Registries(plain_http_hosts=self.plain_http_hosts, patience=Patience(tries=1), read_timeout_seconds=0.05)
