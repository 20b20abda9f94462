"""A source format that only these tests have: a folder. This file alone adds it."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from crds import facts, generated
from edge_cli import main as cli
from edge_compressor import formats, pipeline
from edge_compressor.formats import ArtifactFiles, SourceFormat
from edge_compressor.models import weight_files
from edge_compressor.pipeline import Compressed
from edge_compressor.progress import Progress
from edge_compressor.registries.access import RegistryAccess
from edge_compressor.sources.fetcher import Fetcher
from edgemodel import reasons
from edgemodel.compression_request import ONNX, CompressionRequest, Recipe, Source
from edgemodel.digest import digest_of_file, digest_of_files
from edgemodel.errors import Stalled
from tests.unit.edge_compressor.conftest import Files

INT8: dict[str, Any] = {"name": "int8", "type": "QuantizeDynamic"}


def check(path: Path, *, what: str, reason: str) -> None:
    for file in path.iterdir():
        if not re.fullmatch(r"layer-\d\.npy", file.name):
            raise Stalled(reason, f"{what}: {file.name} is no layer")
        try:
            np.load(file, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise Stalled(reason, f"{what}: {file.name}: {error}") from error


def to_artifact(path: Path, to: Path, *, what: str, reason: str) -> ArtifactFiles:
    weights = [np.load(file) for file in sorted(path.iterdir())]
    nodes = [helper.make_node("MatMul", [f"h{n}", f"w{n}"], [f"h{n + 1}"], f"layer{n}") for n in range(len(weights))]
    graph = helper.make_graph(
        nodes,
        "layers",
        [helper.make_tensor_value_info("h0", TensorProto.FLOAT, ["n", weights[0].shape[0]])],
        [helper.make_tensor_value_info(f"h{len(weights)}", TensorProto.FLOAT, ["n", weights[-1].shape[1]])],
        [numpy_helper.from_array(values, f"w{n}") for n, values in enumerate(weights)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), to / "layers.onnx")
    return ArtifactFiles(ONNX, to / "layers.onnx")


FORMAT = SourceFormat(
    name="LayerFolder",
    doc="a folder with an array of weights for each dense layer",
    suffix="",
    media_type="",
    check=check,
    to_artifact=to_artifact,
    accepts_file=False,
    accepts_folder=True,
)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registers the format, as a file in the package ``edge_compressor.formats`` would."""
    monkeypatch.setitem(formats.FORMATS, FORMAT.name, FORMAT)  # type: ignore[arg-type]  # it is a dict


@pytest.fixture
def layers(tmp_path: Path) -> Path:
    folder = tmp_path / "layers"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number, shape in enumerate(((8, 64), (64, 64), (64, 4))):
        np.save(folder / f"layer-{number}.npy", random.standard_normal(shape, dtype=np.float32))
    return folder


class Compress:
    def __init__(self, folder: Path, progress: Progress) -> None:
        self.folder, self.progress = folder, progress

    def __call__(self, source: Source, *steps: dict[str, Any]) -> Compressed:
        request = CompressionRequest(source, (Recipe("default", steps),))
        fetcher = Fetcher(RegistryAccess(), self.progress, local_paths=True, claims=self.folder / "claims")
        (compressed,) = pipeline.run(request, "m", fetcher, self.folder / "work", self.progress)
        return compressed


@pytest.fixture
def compress(tmp_path: Path, quiet: Progress) -> Compress:
    return Compress(tmp_path, quiet)


def refused(compress: Compress, source: Source, *steps: dict[str, Any], reason: str = reasons.SOURCE_INVALID) -> str:
    with pytest.raises(Stalled) as caught:
        compress(source, *steps)
    assert caught.value.reason == reason
    return caught.value.message


def test_a_folder_is_compressed_and_each_of_its_files_has_a_digest(layers: Path, compress: Compress) -> None:
    compressed = compress(Source(str(layers), format="LayerFolder"), INT8)
    files = {file.name: digest_of_file(file) for file in layers.iterdir()}
    assert compressed.manifest.source_digest == digest_of_files(files)
    assert compressed.manifest.evidence["source"]["files"] == files
    assert [one["type"] for one in compressed.manifest.evidence["steps"]] == ["QuantizeDynamic"]
    assert [tensor.name for tensor in compressed.manifest.inputs] == ["h0"]


def test_a_folder_on_a_volume_has_the_digest_that_it_has_locally(
    layers: Path, compress: Compress, tmp_path: Path
) -> None:
    (tmp_path / "claims" / "data").mkdir(parents=True)
    layers.rename(tmp_path / "claims" / "data" / "layers")
    files = {file.name: digest_of_file(file) for file in (tmp_path / "claims" / "data" / "layers").iterdir()}
    source = Source("pvc://data/layers", digest_of_files(files), "LayerFolder")
    assert compress(source).manifest.source_digest == source.digest


def test_another_byte_in_one_of_the_files_is_another_source(layers: Path, compress: Compress) -> None:
    digest = digest_of_files({file.name: digest_of_file(file) for file in layers.iterdir()})
    np.save(layers / "layer-2.npy", np.zeros((64, 4), np.float32))
    message = refused(compress, Source(str(layers), digest, "LayerFolder"), reason=reasons.DIGEST_MISMATCH)
    assert message.startswith(f"source: expected {digest}, got ")


def test_what_is_unsafe_is_refused_before_anything_is_loaded(layers: Path, compress: Compress) -> None:
    np.save(layers / "layer-1.npy", np.array([{}], dtype=object), allow_pickle=True)
    assert "source: layer-1.npy: " in refused(compress, Source(str(layers), format="LayerFolder"))


def test_a_link_out_of_the_folder_is_refused(layers: Path, compress: Compress) -> None:
    (layers / "layer-3.npy").symlink_to("/etc/hostname")
    message = refused(compress, Source(str(layers), format="LayerFolder"))
    assert message == "source: layer-3.npy is a link or a device: put the file itself there"


def test_a_file_in_place_of_the_folder_is_refused(layers: Path, compress: Compress) -> None:
    message = refused(compress, Source(str(layers / "layer-0.npy"), format="LayerFolder"))
    assert message.startswith("source: LayerFolder is a folder, and this is one file")


def test_the_command_compresses_it_too(layers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "steps.json").write_text(json.dumps([INT8]))
    words = ["--source", layers, "--format", "LayerFolder", "--steps", tmp_path / "steps.json"]
    assert cli.main(["compress", *map(str, words), "--output", str(tmp_path / "out")]) == 0, capsys.readouterr().err
    assert (tmp_path / "out" / "manifest.json").exists()


def test_schema_and_operator_know_it_by_the_registry() -> None:
    schema = generated.format_of("Format of the model", opaque=True)
    assert schema["enum"] == ["ONNX", "ExportedProgram", "HuggingFace", "Safetensors", "LayerFolder"]
    assert "LayerFolder, a folder with an array of weights for each dense layer" in schema["description"]
    assert '    "LayerFolder": FormatFacts("", "", "compressor", True),\n' in facts.facts()


def test_a_step_refuses_by_name_a_format_that_it_does_not_take(
    layers: Path, compress: Compress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(formats.FORMATS, "Opaque", replace(FORMAT, name="Opaque", becomes="Opaque"))  # type: ignore[arg-type]  # it is a dict
    message = refused(compress, Source(str(layers), format="Opaque"), INT8, reason=reasons.STEP_FAILED)
    assert message == "step int8: QuantizeDynamic takes ONNX, and the model is Opaque there"


def test_a_format_of_a_runtime_that_is_not_here_is_refused(
    layers: Path, compress: Compress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(formats.FORMATS, "Opaque", replace(FORMAT, name="Opaque", runtime="Elsewhere"))  # type: ignore[arg-type]  # it is a dict
    message = refused(compress, Source(str(layers), format="Opaque"))
    assert message.startswith("source: the runtime Elsewhere cannot load it: ")


class TestOnnxWithExternalData:
    @pytest.fixture
    def folder(self, residual: Files, tmp_path: Path) -> Path:
        folder = tmp_path / "model"
        folder.mkdir()
        model = onnx.load(residual.model)
        onnx.save_model(model, folder / "m.onnx", save_as_external_data=True, location="weights.bin", size_threshold=64)
        assert (folder / "weights.bin").stat().st_size > 1000
        return folder

    def test_it_is_compressed_with_its_weights(self, folder: Path, compress: Compress, residual: Files) -> None:
        compressed = compress(Source(str(folder)))
        made = onnx.load(compressed.folder / "model.onnx", load_external_data=False)
        given = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(residual.model).graph.initializer}
        for tensor in made.graph.initializer:
            whole = weight_files.read(tensor, compressed.folder)
            assert np.array_equal(numpy_helper.to_array(whole), given[tensor.name])

    @pytest.mark.parametrize(
        ("key", "value", "message"),
        [
            ("location", "../weights.bin", "is kept in '../weights.bin', which is not a file of the folder"),
            ("location", "/etc/hostname", "is kept in '/etc/hostname', which is not a file of the folder"),
            ("location", "other.bin", "is kept in 'other.bin', which is not a file of the folder"),
            ("length", "999999999", r"lies beyond the \d+ bytes of 'weights.bin'"),
            ("offset", "-1", r"lies beyond the \d+ bytes of 'weights.bin'"),
        ],
    )
    def test_weights_outside_of_the_folder_are_refused(
        self, folder: Path, compress: Compress, key: str, value: str, message: str
    ) -> None:
        model = onnx.load(folder / "m.onnx", load_external_data=False)
        tensor = next(one for one in model.graph.initializer if one.external_data)
        kept = {entry.key: entry.value for entry in tensor.external_data} | {key: value}
        del tensor.external_data[:]
        for name, text in kept.items():
            tensor.external_data.add(key=name, value=text)
        (folder / "m.onnx").write_bytes(model.SerializeToString())
        assert re.search(message, refused(compress, Source(str(folder))))

    def test_a_file_without_its_folder_is_refused_with_the_remedy(self, folder: Path, compress: Compress) -> None:
        message = refused(compress, Source(str(folder / "m.onnx")))
        assert "is kept in another file, 'weights.bin': give the folder that holds both, or save the model" in message

    def test_two_models_in_one_folder_are_one_too_many(self, folder: Path, compress: Compress) -> None:
        (folder / "n.onnx").write_bytes((folder / "m.onnx").read_bytes())
        message = refused(compress, Source(str(folder)))
        assert message == "source: a folder of an ONNX model holds one .onnx file, this one: m.onnx, n.onnx"
