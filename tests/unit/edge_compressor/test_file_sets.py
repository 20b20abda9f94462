"""Models that are several files: pushed, pulled, compressed and served, each file verified before it is read."""

import io
import json
import os
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import zstandard
from onnx import TensorProto, helper, numpy_helper

from edge_cli import main as cli
from edge_compressor import pipeline
from edge_compressor.job import main as job
from edge_compressor.models import onnx_model
from edge_compressor.models.weight_files import PAGE_BYTES
from edge_compressor.pipeline import Compressed
from edge_compressor.progress import Progress
from edge_compressor.publishing.artifact_image import write_layers
from edge_compressor.publishing.artifact_reader import read_notes
from edge_compressor.registries.access import RegistryAccess
from edge_compressor.sources.fetcher import Fetcher
from edge_oci import artifacts
from edge_oci.blobs import pull_blob
from edge_oci.client import Registries
from edge_oci.descriptors import LAYER_TAR, Descriptor
from edge_oci.images import platforms_of, push_image
from edge_oci.layers import write_layer
from edge_oci.manifests import get_manifest, put_manifest
from edge_oci.references import parse_reference
from edge_runtime.backend import LoadFailure
from edge_runtime.tuning import Tuning
from edgemodel import reasons, report
from edgemodel.artifact import ArtifactManifest
from edgemodel.compression_request import BY_CONTENT, CompressionRequest, Recipe, Source
from edgemodel.digest import digest_of_file
from edgemodel.errors import Stalled
from edgemodel.job_input import JOB_INPUT_VARIABLE, JobInput, PublishTarget
from inference_server.models import loading
from tests.support import weights
from tests.support.decoders import write_decoder
from tests.support.registry import RegistryProgram
from tests.unit.edge_compressor.servers import FileServer

WORDS = 40


def write_set(folder: Path) -> Path:
    """Writes a small model of words: a graph, its weights in two files, and a tokenizer."""
    folder.mkdir()
    random = np.random.default_rng(3)
    values_of = {
        "table": random.standard_normal((WORDS, 64)).astype(np.float32),
        "head": random.standard_normal((64, WORDS)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"], "embed"),
        helper.make_node("MatMul", ["rows", "head"], ["logits"], "head_product"),
    ]
    graph = helper.make_graph(
        nodes,
        "words",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["n", "words"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", "words", WORDS])],
    )
    for name, values in values_of.items():
        file = f"{name}.data"
        (folder / file).write_bytes(values.tobytes())
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=values.shape)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", file), ("offset", "0"), ("length", str(values.nbytes))):
            tensor.external_data.add(key=key, value=value)
        graph.initializer.append(tensor)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx"
    )
    (folder / "config.json").write_text(json.dumps({"vocab_size": WORDS, "model_type": "words"}))
    vocabulary = {f"word{number}": number for number in range(WORDS)}
    (folder / "tokenizer.json").write_text(json.dumps({"model": {"type": "WordLevel", "vocab": vocabulary}}))
    (folder / "LICENSE").write_text("Apache-2.0\n")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_set(tmp_path / "words")


FILES = ("LICENSE", "config.json", "head.data", "model.onnx", "table.data", "tokenizer.json")


class Desk:
    """A folder to compress in, with sources from anywhere."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        self.folder, self.progress = folder, progress

    def __call__(self, uri: str, source_format: str = BY_CONTENT, *steps: dict[str, Any], host: str = "") -> Compressed:
        request = CompressionRequest(Source(uri, format=source_format), (Recipe("default", steps),))
        access = RegistryAccess(plain_http_hosts=(host,) if host else ())
        fetcher = Fetcher(access, self.progress, local_paths=True, claims=self.folder / "claims")
        (compressed,) = pipeline.run(request, "m", fetcher, self.folder / "work", self.progress)
        return compressed

    def refused(self, uri: str | Path, source_format: str = BY_CONTENT, **where: str) -> str:
        with pytest.raises(Stalled) as caught:
            self(str(uri), source_format, **where)
        assert caught.value.reason == reasons.SOURCE_INVALID
        return caught.value.message


@pytest.fixture
def desk(tmp_path: Path, quiet: Progress) -> Desk:
    return Desk(tmp_path, quiet)


def served(folder: Path) -> loading.PreparedModel | LoadFailure:
    manifest = loading.read_manifest(folder)
    return manifest if isinstance(manifest, LoadFailure) else loading.prepare(folder, manifest, Tuning())


def answers(prepared: loading.PreparedModel | LoadFailure) -> Any:
    assert not isinstance(prepared, LoadFailure), prepared.message
    return prepared.model.run({"ids": np.array([[1, 2, 3]])}, ["logits"])[0]


def push(folder: Path, host: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["push", str(folder), f"oci://{host}/desk/words:v1", "--plain-http"]) == 0, capsys.readouterr().err
    return capsys.readouterr().out.strip()


class TestTheWayOfASet:
    def test_from_a_folder_through_the_registry_to_answers(
        self, folder: Path, desk: Desk, registry: RegistryProgram, capsys: pytest.CaptureFixture[str]
    ) -> None:
        uri = push(folder, registry.host, capsys)
        compressed = desk(uri, host=registry.host)
        manifest = ArtifactManifest.decode((compressed.folder / "manifest.json").read_bytes())
        digests = {name: file.digest for name, file in manifest.files.items()}
        assert digests == {name: digest_of_file(folder / name) for name in FILES} | {
            "golden.npz": digest_of_file(compressed.folder / "golden.npz")
        }
        assert manifest.source_digest == uri.partition("@")[2]
        assert np.array_equal(answers(served(compressed.folder)), answers(served(folder)))

    def test_the_folder_is_one_artifact_with_a_blob_for_each_file(
        self, folder: Path, registry: RegistryProgram, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / ".gitattributes").write_text("x")
        uri = push(folder, registry.host, capsys)
        reference = parse_reference(uri)
        repository = Registries(plain_http_hosts=(registry.host,)).repository(reference)
        files = artifacts.files_of(repository, reference.version)
        assert {name: blob.digest for name, blob in files.items()} == {
            name: digest_of_file(folder / name) for name in FILES
        }
        assert push(folder, registry.host, capsys) == uri
        assert get_manifest(repository, reference.version).content["artifactType"].endswith("edgemodel.model.v1")

    def test_steps_take_it_and_keep_its_tokenizer(self, folder: Path, desk: Desk) -> None:
        compressed = desk(str(folder), BY_CONTENT, {"name": "int8", "type": "QuantizeDynamic"})
        assert set(compressed.manifest.files) == {
            "LICENSE",
            "config.json",
            "model.onnx",
            "tokenizer.json",
            "golden.npz",
        }
        answers(served(compressed.folder))

    def test_a_graph_in_a_folder_of_its_own_becomes_one_folder(self, folder: Path, desk: Desk) -> None:
        (folder / "onnx").mkdir()
        for name in ("model.onnx", "table.data", "head.data"):
            (folder / name).rename(folder / "onnx" / name)
        compressed = desk(str(folder))
        assert set(compressed.manifest.files) == {*FILES, "golden.npz"}
        answers(served(compressed.folder))

    def test_files_that_serving_does_not_need_are_left_out_and_told(self, folder: Path, desk: Desk) -> None:
        (folder / "train.py").write_text("")
        compressed = desk(str(folder))
        assert "train.py" not in compressed.manifest.files
        assert "left out of the artifact: train.py" in compressed.manifest.evidence["notes"]


class TestOtherSources:
    @pytest.mark.parametrize("top", ["", "words/"])
    @pytest.mark.parametrize("packing", ["", "gz"])
    def test_a_tar_is_a_set(self, folder: Path, desk: Desk, tmp_path: Path, top: str, packing: str) -> None:
        with tarfile.open(tmp_path / "words.tar", f"w:{packing}") as tar:  # type: ignore[call-overload]  # not a literal
            tar.add(folder, top.rstrip("/") or ".")
        assert set(desk(str(tmp_path / "words.tar")).manifest.files) == {*FILES, "golden.npz"}

    def test_a_tar_over_http_is_a_set(self, folder: Path, tmp_path: Path, web: FileServer, quiet: Progress) -> None:
        with tarfile.open(tmp_path / "words.tar", "w") as tar:
            tar.add(folder, "words")
        url = web.serve("/words.tar", (tmp_path / "words.tar").read_bytes())
        source = Source(url, digest_of_file(tmp_path / "words.tar"), BY_CONTENT)
        fetched = Fetcher(RegistryAccess(), quiet).fetch(source, "source", tmp_path / "to", folder=True)
        assert fetched.files == {name: digest_of_file(folder / name) for name in FILES}
        assert fetched.digest == source.digest

    def test_a_folder_of_a_claim_is_a_set(self, folder: Path, desk: Desk, tmp_path: Path) -> None:
        (tmp_path / "claims" / "models").mkdir(parents=True)
        folder.rename(tmp_path / "claims" / "models" / "words")
        assert set(desk("pvc://models/words").manifest.files) == {*FILES, "golden.npz"}

    @pytest.mark.parametrize("packed", [False, True])
    def test_a_model_pack_is_a_set(
        self, folder: Path, desk: Desk, registry: RegistryProgram, tmp_path: Path, packed: bool
    ) -> None:
        reference = parse_reference(f"{registry.host}/desk/pack:v1")
        repository = Registries(plain_http_hosts=(registry.host,)).repository(reference)
        files, kind = {name: folder / name for name in FILES}, "raw"
        if packed:
            kind = "tar"
            for name in FILES:
                files[name] = tmp_path / f"{name}.tar"
                with tarfile.open(files[name], "w") as tar:
                    tar.add(folder / name, name)
        pushed = artifacts.push_artifact(repository, files, artifact_type="application/vnd.cncf.model.manifest.v1+json")
        content = get_manifest(repository, pushed.digest).content
        layers = [
            {
                **layer,
                "mediaType": f"application/vnd.cncf.model.weight.v1.{kind}",
                "annotations": {artifacts.MODEL_PACK_PATH: layer["annotations"]["org.opencontainers.image.title"]},
            }
            for layer in content["layers"]
        ]
        made = put_manifest(repository, content | {"layers": layers}, tag="pack")
        compressed = desk(f"oci://{reference.at(made.digest)}", host=registry.host)
        assert set(compressed.manifest.files) == {*FILES, "golden.npz"}

    @pytest.mark.parametrize(
        ("name", "kind", "message"),
        [
            ("../evil", tarfile.REGTYPE, "is not a relative name"),
            ("/etc/evil", tarfile.REGTYPE, "is not a relative name"),
            ("link", tarfile.SYMTYPE, "'link' is a link or a device in the tar"),
            ("model.onnx", tarfile.REGTYPE, "'model.onnx' is twice in the tar"),
        ],
    )
    def test_a_tar_that_leads_elsewhere_is_refused(
        self, folder: Path, desk: Desk, tmp_path: Path, name: str, kind: bytes, message: str
    ) -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, "/etc/hostname"
        with tarfile.open(tmp_path / "words.tar", "w") as tar:
            tar.add(folder / "model.onnx", "model.onnx")
            tar.addfile(entry)
        assert message in desk.refused(tmp_path / "words.tar")

    @pytest.mark.parametrize("packing", ["", "gz"])
    def test_a_tar_that_ends_early_is_refused(self, folder: Path, desk: Desk, tmp_path: Path, packing: str) -> None:
        path = tmp_path / "words.tar"
        with tarfile.open(path, f"w:{packing}") as tar:  # type: ignore[call-overload]  # not a literal
            tar.add(folder, "words")
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        assert "cannot be read to its end" in desk.refused(path)


def edit(folder: Path, name: str, **said: str) -> None:
    """Changes what the graph says about the place of a weight; an empty text removes it."""
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    (tensor,) = (one for one in model.graph.initializer if one.name == name)
    kept = {entry.key: entry.value for entry in tensor.external_data} | said
    del tensor.external_data[:]
    for key, value in kept.items():
        if value:
            tensor.external_data.add(key=key, value=value)
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def shorten(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1)


def tokenizer_of(size: int) -> Callable[[Path], object]:
    def write(folder: Path) -> None:
        vocabulary = {f"word{number}": number for number in range(size)}
        (folder / "tokenizer.json").write_text(json.dumps({"model": {"vocab": vocabulary}}))

    return write


NOT_WHOLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "weights missing": (lambda at: (at / "head.data").unlink(), "'head' is kept in 'head.data', which is not a file"),
    "weights too short": (lambda at: shorten(at / "head.data"), r"'head' lies beyond the 10239 bytes of 'head.data'"),
    "outside": (lambda at: edit(at, "head", location="../head.data"), "'../head.data', which is not a file of the"),
    "absolute": (lambda at: edit(at, "head", location="/etc/hostname"), "'/etc/hostname', which is not a file of the"),
    "overlap": (
        lambda at: (
            edit(at, "head", location="table.data", offset="4096"),
            (at / "table.data").write_bytes(bytes(16384)),
        ),
        "the weights 'table' and 'head' overlap in 'table.data'",
    ),
    "other length": (
        lambda at: edit(at, "head", length="4096"),
        r"FLOAT of shape \[64, 40\] takes 10240 bytes, and 'head.data' has 4096",
    ),
    "offset that is no number": (lambda at: edit(at, "head", offset="x"), "'head' lies beyond"),
    "tokenizer too large": (
        tokenizer_of(WORDS + 1),
        r"names tokens up to 40, and the model \(config.json\) has 40 rows",
    ),
    "tokenizer too small": (tokenizer_of(6), "names tokens up to 5, .* it is the tokenizer of another model"),
    "tokenizer empty": (lambda at: (at / "tokenizer.json").write_text("{}"), "tokenizer.json has no vocabulary"),
    "tokenizer broken": (lambda at: (at / "tokenizer.json").write_text("{"), "tokenizer.json is not JSON"),
    "two graphs": (lambda at: (at / "b.onnx").write_bytes(b"x"), "holds one .onnx file, this one: b.onnx, model.onnx"),
    "no graph": (lambda at: (at / "model.onnx").unlink(), "the folder holds no model"),
    "a gguf": (lambda at: (at / "m.gguf").write_bytes(b"GGUF\3\0\0\0"), "it is a GGUF: .*as a folder of Hugging Face"),
    "hugging face": (
        lambda at: ((at / "model.onnx").unlink(), weights.write(at / "model.safetensors", w=np.ones(3, np.float32))),
        r"config.json: architectures is left out: want one of LlamaForCausalLM, .*; export others to ONNX",
    ),
}


@pytest.mark.parametrize("case", NOT_WHOLE)
class TestSetsThatAreNotWhole:
    def test_they_are_refused_with_the_cause(self, folder: Path, desk: Desk, case: str) -> None:
        spoil, message = NOT_WHOLE[case]
        spoil(folder)
        assert re.search(message, desk.refused(folder))

    def test_they_are_not_even_pushed(
        self, folder: Path, registry: RegistryProgram, capsys: pytest.CaptureFixture[str], case: str
    ) -> None:
        spoil, message = NOT_WHOLE[case]
        spoil(folder)
        assert cli.main(["push", str(folder), f"oci://{registry.host}/desk/bad:v1", "--plain-http"]) != 0
        assert re.search(message, capsys.readouterr().err)


class TestPushes:
    def test_a_decoder_as_its_builder_writes_it_is_pushed(
        self, tmp_path: Path, registry: RegistryProgram, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """The sizes of the heads of its caches are open: the Job closes them, and pushing must not refuse them."""
        push(write_decoder(tmp_path / "set", open_heads=True), registry.host, capsys)
        alone = write_decoder(tmp_path / "one", open_heads=True, external=False) / "model.onnx"
        push(alone, registry.host, capsys)

    def test_links_are_refused_with_the_cure(
        self, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / "table.data").rename(tmp_path / "blob")
        (folder / "table.data").symlink_to(tmp_path / "blob")
        assert cli.main(["push", str(folder), "oci://localhost/a:v1"]) == 2
        assert "table.data is a link or a device: copy the files themselves (cp -rL)" in capsys.readouterr().err

    def test_pickles_are_refused_and_weights_of_the_same_suffix_are_not(
        self, folder: Path, registry: RegistryProgram, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / "head.data").rename(folder / "head.bin")
        edit(folder, "head", location="head.bin")
        push(folder, registry.host, capsys)
        (folder / "pytorch_model.bin").write_bytes(b"\x80\x02}q\x00.")
        assert cli.main(["push", str(folder), f"oci://{registry.host}/desk/words:v2", "--plain-http"]) == 2
        assert "pytorch_model.bin: a pickle can run any code" in capsys.readouterr().err


class TestNamedFormats:
    def test_a_format_that_differs_from_the_content_is_refused(self, folder: Path, desk: Desk) -> None:
        assert "source: ExportedProgram is one file" in desk.refused(folder, "ExportedProgram")

    def test_a_file_of_another_format_is_refused_by_both_names(self, desk: Desk, tmp_path: Path) -> None:
        (tmp_path / "m.onnx").write_bytes(b"PK\x03\x04" + bytes(100))
        message = desk.refused(tmp_path / "m.onnx", "ONNX")
        assert message == "source: the file is ExportedProgram, and its format is given as ONNX: leave format out"

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"GGUF\3\0\0\0", "it is a GGUF"),
            (b"\x80\x04}.", "it is a pickle"),
            (b"\x02" + bytes(7) + b"{}", r"it holds weights alone \(Safetensors\): name a converter"),
            (b"no model at all", "not an ONNX file"),
        ],
    )
    def test_contents_that_are_no_model_are_told_by_name(
        self, desk: Desk, tmp_path: Path, content: bytes, message: str
    ) -> None:
        (tmp_path / "file").write_bytes(content)
        assert re.search(message, desk.refused(tmp_path / "file"))


class TestLayers:
    def test_a_new_tokenizer_moves_nothing_but_itself(self, folder: Path, desk: Desk, tmp_path: Path) -> None:
        """Returns the layers of two artifacts that differ in a small file: the weights are one of them."""
        with (folder / "table.data").open("ab") as file:
            file.write(np.random.default_rng(0).bytes(5 << 20))  # as after a second save: no weight reads it
        layers = []
        for number in range(2):
            (folder / "chat_template.jinja").write_text(f"{{{{ messages }}}} {number}")
            made = Desk(tmp_path / f"desk-{number}", desk.progress)(str(folder))
            layers.append(write_layers(made.folder, made.manifest, tmp_path, "zstd"))
        (weights, small), (same, other) = layers
        assert "5242880 of 5253120 bytes of table.data are read by no weight: save the model anew" in str(made.manifest)
        assert weights.digest == same.digest
        assert weights.media_type == LAYER_TAR  # random bytes get no smaller
        assert small.digest != other.digest
        assert other.size < 100_000

    def test_small_models_stay_one_layer(self, folder: Path, desk: Desk, tmp_path: Path) -> None:
        made = desk(str(folder))
        (layer,) = write_layers(made.folder, made.manifest, tmp_path, "zstd")
        with tarfile.open(
            fileobj=io.BytesIO(zstandard.ZstdDecompressor().decompressobj().decompress(layer.path.read_bytes()))
        ) as tar:
            names = {entry.name for entry in tar if entry.isfile()}
        assert names == {
            f"model/{name}" for name in (*FILES, "golden.npz", "manifest.json", "report.html", "report.md")
        }


class TestOnTheNode:
    @pytest.fixture
    def artifact(self, folder: Path, desk: Desk) -> Path:
        return desk(str(folder)).folder

    @pytest.mark.parametrize("name", [*FILES, "golden.npz"])
    def test_a_file_that_changed_is_refused_before_anything_is_loaded(self, artifact: Path, name: str) -> None:
        data = bytearray((artifact / name).read_bytes())
        data[-1] ^= 1
        (artifact / name).unlink()  # it is a link to the file of the Job
        (artifact / name).write_bytes(data)
        failure = served(artifact)
        assert isinstance(failure, LoadFailure)
        assert failure.reason == reasons.DIGEST_MISMATCH
        assert failure.message.startswith(f"{artifact / name}: expected sha256:")

    def test_a_file_that_is_missing_or_a_link_is_refused(self, artifact: Path, folder: Path) -> None:
        (artifact / "head.data").unlink()
        assert served(artifact).message == f"{artifact / 'head.data'} is missing"  # type: ignore[union-attr]  # it fails
        (artifact / "head.data").symlink_to(folder / "head.data")
        assert "is a link, a folder or a device" in served(artifact).message  # type: ignore[union-attr]  # it fails

    def test_a_graph_that_names_a_file_beside_the_manifest_is_refused(self, artifact: Path) -> None:
        (artifact / "other.data").write_bytes((artifact / "head.data").read_bytes())
        edit(artifact, "head", location="other.data")
        manifest = json.loads((artifact / "manifest.json").read_text())
        manifest["files"]["model.onnx"]["digest"] = digest_of_file(artifact / "model.onnx")
        (artifact / "manifest.json").write_text(json.dumps(manifest))
        failure = served(artifact)
        assert isinstance(failure, LoadFailure)
        assert "its weights lie in 'other.data', which the manifest does not name" in failure.message

    @pytest.mark.parametrize("name", ["../head.data", "/etc/hostname", "a/../../head.data"])
    def test_a_graph_without_a_manifest_names_nothing_outside(self, folder: Path, name: str) -> None:
        edit(folder, "head", location=name)
        failure = served(folder)
        assert isinstance(failure, LoadFailure)
        assert failure.reason == reasons.MODEL_LOAD_FAILED
        assert "its weights lie in a file outside of its folder" in failure.message

    def test_an_artifact_names_nothing_outside_either(self, artifact: Path) -> None:
        edit(artifact, "head", location="../head.data")
        manifest = json.loads((artifact / "manifest.json").read_text())
        manifest["files"]["model.onnx"]["digest"] = digest_of_file(artifact / "model.onnx")
        (artifact / "manifest.json").write_text(json.dumps(manifest))
        failure = served(artifact)
        assert isinstance(failure, LoadFailure)
        assert failure.reason == reasons.DIGEST_MISMATCH
        assert "outside of its folder" in failure.message

    @pytest.mark.parametrize("mapped", [True, False])
    def test_mapped_weights_answer_as_loaded_ones(self, artifact: Path, mapped: bool) -> None:
        prepared = loading.prepare(artifact, loading.read_manifest(artifact), Tuning(mapped=mapped))  # type: ignore[arg-type]  # it can be read
        assert np.array_equal(answers(prepared), answers(served(artifact)))

    @pytest.mark.parametrize("mapped", [True, False, None])
    def test_a_model_of_one_file_is_published_with_weights_that_can_be_mapped(
        self, folder: Path, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mapped: bool | None
    ) -> None:
        monkeypatch.setattr(onnx_model, "MIN_OWN_FILE_BYTES", 1000)
        one = tmp_path / "words.onnx"
        onnx.save(onnx.load(folder / "model.onnx"), one)
        made = desk(str(one))
        assert set(made.manifest.files) == {"model.onnx", "model.onnx.data", "golden.npz"}
        assert made.size_bytes == sum((made.folder / name).stat().st_size for name in ("model.onnx", "model.onnx.data"))
        assert made.manifest.source_digest == digest_of_file(one)
        graph = onnx.load(made.folder / "model.onnx", load_external_data=False).graph
        offsets = [
            int(entry.value) for one in graph.initializer for entry in one.external_data if entry.key == "offset"
        ]
        assert len(offsets) == 2
        assert all(offset % PAGE_BYTES == 0 for offset in offsets)
        assert np.array_equal(
            answers(loading.prepare(made.folder, made.manifest, Tuning(mapped=mapped))), answers(served(one))
        )

    def test_a_small_model_stays_one_file(self, folder: Path, desk: Desk, tmp_path: Path) -> None:
        onnx.save(onnx.load(folder / "model.onnx"), tmp_path / "words.onnx")
        made = desk(str(tmp_path / "words.onnx"))
        assert set(made.manifest.files) == {"model.onnx", "golden.npz"}
        assert made.manifest.artifact_digest == made.manifest.source_digest

    def test_the_revision_of_a_folder_changes_with_its_weights(self, folder: Path) -> None:
        before = loading.read_manifest(folder)
        (folder / "head.data").write_bytes(bytes(WORDS * 64 * 4))
        after = loading.read_manifest(folder)
        assert isinstance(before, ArtifactManifest)
        assert isinstance(after, ArtifactManifest)
        assert before.fingerprint != after.fingerprint
        assert (before.model, before.model_file) == ("words", "model.onnx")

    def test_weights_of_tensors_in_attributes_are_found_too(self, tmp_path: Path, folder: Path) -> None:
        model = onnx.load(folder / "model.onnx", load_external_data=False)
        constant = numpy_helper.from_array(np.zeros(4, np.float32), "inner")
        constant.ClearField("raw_data")
        constant.data_location = TensorProto.EXTERNAL
        constant.external_data.add(key="location", value="hidden.data")
        node = helper.make_node("Constant", [], ["unused"], value=constant)
        body = helper.make_graph([node], "body", [], [helper.make_tensor_value_info("unused", TensorProto.FLOAT, [4])])
        model.graph.node.append(helper.make_node("If", ["c"], ["d"], then_branch=body, else_branch=body))
        (tmp_path / "deep.onnx").write_bytes(model.SerializeToString())
        failure = served(tmp_path / "deep.onnx")
        assert isinstance(failure, LoadFailure)
        assert "in which its weights lie, is not beside it" in failure.message


class TestInTheCluster:
    def test_the_job_publishes_layers_that_a_pod_serves(
        self, folder: Path, registry: RegistryProgram, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with (folder / "table.data").open("ab") as file:
            file.write(bytes(5 << 20))
        uri = push(folder, registry.host, capsys)
        repository = Registries(plain_http_hosts=(registry.host,)).repository(
            parse_reference(f"{registry.host}/edge/words")
        )
        base = write_layer({"/server.py": b"print('hello')\n"}, tmp_path / "base")
        image = push_image(repository, {"os": "linux", "architecture": "amd64"}, [base])
        target = PublishTarget(registry.host, "edge/words", f"{repository}@{image.digest}")
        order = JobInput("words", CompressionRequest(Source(uri, format=BY_CONTENT)), target, (registry.host,))
        places = ("work", "secrets", "claims")
        words = [word for name in places for word in (f"--{name}-directory", str(tmp_path / name))]
        words += ["--termination-log", str(tmp_path / "log"), "--registry-token-file", str(tmp_path / "token")]
        assert job.main(words, {JOB_INPUT_VARIABLE: order.encode()}) == 0, capsys.readouterr().out
        published = report.decode((tmp_path / "log").read_bytes())
        assert isinstance(published, report.Published)
        (artifact,) = published.artifacts
        (platform,) = platforms_of(repository, artifact.image.partition("@")[2]).values()
        layers = get_manifest(repository, platform.digest).content["layers"][1:]
        assert sum(layer["size"] for layer in layers) == artifact.transfer_bytes
        assert len(layers) == 2
        for layer in layers:
            pull_blob(repository, Descriptor.from_json(layer), tmp_path / "layer")
            packed = (tmp_path / "layer").open("rb")
            if layer["mediaType"].endswith("zstd"):
                packed = zstandard.ZstdDecompressor().stream_reader(packed)
            with tarfile.open(fileobj=packed, mode="r|") as tar:
                tar.extractall(tmp_path / "pod", filter="data")
        assert np.array_equal(answers(served(tmp_path / "pod" / "model")), answers(served(folder)))
        notes = read_notes(
            parse_reference(f"{registry.host}/{artifact.image}"), RegistryAccess(plain_http_hosts=(registry.host,))
        )
        assert set(notes) == {"manifest.json", "report.md", "report.html"}
