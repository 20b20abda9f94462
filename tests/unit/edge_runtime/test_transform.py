"""A transform between codec and model, which ``brighten.py`` alone adds."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_compressor import pipeline
from edge_compressor.datasets.inner import dataset_behind, feeds_behind
from edge_compressor.datasets.npz import load_dataset
from edge_compressor.evaluation.evaluator import Evaluator
from edge_compressor.models.onnx_model import OnnxModel, behind_transforms, check_model
from edge_compressor.progress import Progress
from edge_compressor.registries.access import RegistryAccess
from edge_compressor.sources.fetcher import Fetcher
from edge_runtime import transforms
from edge_runtime.backend import LoadFailure
from edge_runtime.tuning import Tuning
from edgemodel import reasons
from edgemodel.artifact import ArtifactManifest, TransformSpec
from edgemodel.compression_request import CompressionRequest, EvaluationSettings, Recipe, Source
from edgemodel.errors import Stalled
from inference_server.models.loading import PreparedModel, prepare
from tests.unit.edge_runtime import brighten
from tests.unit.edge_runtime.artifacts import write_artifact
from tests.unit.inference_server.processes import RunningServer, serving_process

PIXELS, CLASSES = 8, 3
WEIGHTS = np.random.default_rng(0).standard_normal((PIXELS, CLASSES)).astype(np.float32)
IMAGES = np.random.default_rng(1).integers(0, 256, (200, PIXELS)).astype(np.uint8)
BRIGHTEN = TransformSpec("Brighten", {"input": "x", "output": "scores", "darkest": 16})


def percent(images: np.ndarray) -> np.ndarray:
    return np.rint(images.astype(np.float32) / np.float32(255) @ WEIGHTS * 100).astype(np.int32)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transforms, "_registered", {})
    transforms.register("Brighten", brighten.make)


@pytest.fixture
def model(tmp_path: Path) -> OnnxModel:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["scores"])],
        "scores",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", PIXELS])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", CLASSES])],
        [numpy_helper.from_array(WEIGHTS, "w")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), tmp_path / "model.onnx"
    )
    return behind_transforms(check_model(tmp_path / "model.onnx"), (BRIGHTEN,))


@pytest.fixture
def artifact(model: OnnxModel, tmp_path: Path) -> Path:
    return write_artifact(model, tmp_path, x=IMAGES)


def test_the_compressor_sees_the_model_through_it(model: OnnxModel, tmp_path: Path) -> None:
    assert [(tensor.name, tensor.datatype) for tensor in (*model.inputs, *model.outputs)] == [
        ("x", "UINT8"),
        ("percent", "INT32"),
    ]
    np.savez(tmp_path / "floats.npz", x=IMAGES.astype(np.float32) / 255)
    with pytest.raises(Stalled, match="array x holds float32, the model's input wants uint8"):
        load_dataset(tmp_path / "floats.npz", model, tmp_path / "floats", what="evaluation set")
    np.savez(tmp_path / "set.npz", x=IMAGES)
    dataset = load_dataset(tmp_path / "set.npz", model, tmp_path / "arrays", what="evaluation set")
    assert Evaluator(Progress()).evaluate(model, model, dataset).agreement == 1


def test_steps_get_what_the_model_itself_takes(model: OnnxModel, tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", x=IMAGES)
    dataset = load_dataset(tmp_path / "set.npz", model, tmp_path / "arrays", what="calibration set")
    inner = dataset_behind(dataset, model.transforms, tmp_path / "inner")
    np.testing.assert_array_equal(inner.inputs["x"], IMAGES.astype(np.float32) / np.float32(255))
    (feed,) = feeds_behind([{"x": IMAGES[:1]}], model.transforms)
    np.testing.assert_array_equal(feed["x"], inner.inputs["x"][:1])
    np.savez(tmp_path / "dark.npz", x=np.zeros((4, PIXELS), np.uint8))
    dark = load_dataset(tmp_path / "dark.npz", model, tmp_path / "dark", what="calibration set")
    with pytest.raises(Stalled, match="calibration set: samples from 0 on: no pixel is as bright as 16"):
        dataset_behind(dark, model.transforms, tmp_path / "dark-inner")


def test_a_node_repeats_the_golden_set_through_it(artifact: Path) -> None:
    with np.load(artifact / "golden.npz") as golden:
        assert golden["input.x"].dtype == np.uint8
        np.testing.assert_array_equal(golden["output.percent"], percent(golden["input.x"]))
    manifest = ArtifactManifest.decode((artifact / "manifest.json").read_bytes())
    assert manifest.transforms == (BRIGHTEN,)
    prepared = prepare(artifact, manifest, Tuning())
    assert isinstance(prepared, PreparedModel)
    assert prepared.golden is not None
    assert prepared.golden.agree == prepared.golden.items == 32


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (TransformSpec("Sharpen"), "the artifact needs the transform 'Sharpen', this image has brighten"),
        (TransformSpec("Brighten", {"input": "x"}), "settings that it cannot take: output is missing"),
        (
            TransformSpec("Brighten", {"input": "y", "output": "scores"}),
            "a transform does not fit the model: y is missing",
        ),
    ],
)
def test_an_invalid_transform_fails_the_load_with_a_message(artifact: Path, spec: TransformSpec, message: str) -> None:
    manifest = ArtifactManifest.decode((artifact / "manifest.json").read_bytes())
    outcome = prepare(artifact, replace(manifest, transforms=(spec,)), Tuning())
    assert isinstance(outcome, LoadFailure)
    assert outcome.reason == reasons.MODEL_LOAD_FAILED
    assert message in outcome.message


def test_the_compressor_refuses_one_that_does_not_fit(model: OnnxModel) -> None:
    plain = check_model(model.path)
    with pytest.raises(Stalled, match="the model's transforms do not fit it") as caught:
        behind_transforms(plain, (TransformSpec("Brighten", {"input": "y", "output": "scores"}),))
    assert caught.value.reason == reasons.INVALID_SPEC


@pytest.fixture
def server(artifact: Path) -> Iterator[RunningServer]:
    with serving_process(artifact, module="tests.unit.edge_runtime.brighten") as running:
        yield running


def test_callers_of_the_server_see_the_model_through_it(server: RunningServer) -> None:
    metadata = server.get("/v2/models/tiny").json()
    assert [tensor["datatype"] for tensor in (*metadata["inputs"], *metadata["outputs"])] == ["UINT8", "INT32"]
    given = {"name": "x", "shape": [2, PIXELS], "datatype": "UINT8", "data": IMAGES[:2].ravel().tolist()}
    answer = server.infer({"inputs": [given]})
    assert answer.status == 200, answer.body
    (output,) = answer.json()["outputs"]
    assert (output["name"], output["data"]) == ("percent", percent(IMAGES[:2]).ravel().tolist())
    refused = server.infer({"inputs": [{**given, "data": [0] * 2 * PIXELS}]})
    assert (refused.status, refused.error) == (400, "no pixel is as bright as 16")


def test_a_compressed_model_is_judged_and_published_behind_it(model: OnnxModel, tmp_path: Path) -> None:
    np.savez(tmp_path / "evaluation.npz", x=IMAGES, label=percent(IMAGES).astype(np.float64))
    np.savez(tmp_path / "calibration.npz", x=IMAGES[:64])
    request = CompressionRequest(
        source=Source(str(model.path), transforms=(BRIGHTEN,)),
        recipes=(Recipe("default", ({"name": "int8", "type": "QuantizeStatic"},)),),
        datasets={use: Source(str(tmp_path / f"{use}.npz")) for use in ("evaluation", "calibration")},
        evaluation=EvaluationSettings("Regression", {"tolerance": "20"}),
        tuning={"intraOpThreads": 2, "memoryArena": "Off"},
    )
    fetcher = Fetcher(RegistryAccess(), Progress(), local_paths=True)
    (done,) = pipeline.run(request, "tiny", fetcher, tmp_path / "work", Progress())
    assert done.manifest.transforms == (BRIGHTEN,)
    assert [tensor.datatype for tensor in (*done.manifest.inputs, *done.manifest.outputs)] == ["UINT8", "INT32"]
    assert done.evaluation is not None
    assert done.evaluation.source is not None
    assert done.evaluation.source.score == 1
    assert done.latency is not None
    prepared = prepare(done.folder, done.manifest, Tuning())
    assert isinstance(prepared, PreparedModel)
    assert prepared.golden is not None
    assert prepared.golden.passed
    assert request.fingerprint != replace(request, source=Source(str(model.path))).fingerprint
