"""Complete evaluations of real models, task by task, through the function that the pipeline calls."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edge_compressor.datasets import Dataset, load_dataset
from edge_compressor.evaluation import Evaluator, task_arrays
from edge_compressor.gate import OwnAnswers, PairedAnswers, PairedScores
from edge_compressor.models.onnx_model import OnnxModel, check_model
from edge_compressor.progress import Progress
from edgemodel import reasons
from edgemodel.compression_request import EvaluationSettings
from edgemodel.errors import Stalled
from tests.unit.edge_compressor import models
from tests.unit.edge_compressor.conftest import Files


def dataset_of(folder: Path, model: OnnxModel, **arrays: Any) -> Dataset:
    folder.mkdir(exist_ok=True)
    np.savez(folder / "set.npz", **arrays)
    return load_dataset(folder / "set.npz", model, folder / "arrays", what="evaluation set", task_arrays=task_arrays())


def shifted(path: Path, to: Path, by: float) -> OnnxModel:
    """Writes the same perceptron with ``by`` added to every answer."""

    def add(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.name == "b_head":
                values = onnx.numpy_helper.to_array(tensor) + np.float32(by)
                tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))

    return check_model(models.edited(path, to, add))


def test_regression_is_inferred_from_floats_and_judged_within_its_tolerance(
    perceptron: Files, tmp_path: Path, quiet: Progress
) -> None:
    source, artifact = check_model(perceptron.model), shifted(perceptron.model, tmp_path / "a.onnx", 0.5)
    x = models.inputs_for(perceptron.model, 100)
    dataset = dataset_of(tmp_path / "set", source, x=x, label=models.answers(perceptron.model, x))
    found = Evaluator(quiet, EvaluationSettings(settings={"tolerance": "0.4"})).evaluate(source, artifact, dataset)
    assert (found.task, found.answers) == ("Regression", PairedAnswers(100, 100, 0, 100, 0))
    assert found.artifact is not None
    assert found.artifact.figures["meanAbsoluteError"] == pytest.approx(0.5, abs=1e-5)
    assert found.notes[0] == "task Regression (inferred: label holds float32)"
    wide = Evaluator(quiet, EvaluationSettings(settings={"tolerance": "0.6"})).evaluate(source, artifact, dataset)
    assert wide.answers == PairedAnswers(100, 100, 100, 0, 0)


def test_several_labels_are_inferred_from_their_shape(perceptron: Files, tmp_path: Path, quiet: Progress) -> None:
    source = check_model(perceptron.model)
    artifact = check_model(models.permuted(perceptron.model, tmp_path / "p.onnx"))
    x = models.inputs_for(perceptron.model, 100)
    label = (models.answers(perceptron.model, x) > 0).astype(np.int64)
    found = Evaluator(quiet).evaluate(source, artifact, dataset_of(tmp_path / "set", source, x=x, label=label))
    assert found.task == "MultiLabel"
    assert isinstance(found.answers, PairedScores)
    assert found.answers.source == 1
    assert 0.3 < found.answers.artifact < 0.7


def test_without_labels_values_are_compared_unless_vectors_are_named(
    perceptron: Files, tmp_path: Path, quiet: Progress
) -> None:
    source = check_model(perceptron.model)
    dataset = dataset_of(tmp_path / "set", source, x=models.inputs_for(perceptron.model, 50))
    assert Evaluator(quiet).evaluate(source, source, dataset).agreement_kind == "Close"
    named = Evaluator(quiet, EvaluationSettings("Embedding")).evaluate(source, source, dataset)
    assert (named.task, named.agreement) == ("Embedding", 1)
    with pytest.raises(Stalled, match="task Classification needs an array label"):
        Evaluator(quiet, EvaluationSettings("Classification")).evaluate(source, source, dataset)


def test_a_new_head_is_measured_alone_without_the_source(perceptron: Files, tmp_path: Path, quiet: Progress) -> None:
    """The artifact has 3 classes, the source 10 others."""

    def three(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.name in ("w_head", "b_head"):
                values = onnx.numpy_helper.to_array(tensor)[..., :3]
                tensor.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(values), tensor.name))
        model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 3

    source = check_model(perceptron.model)
    artifact = check_model(models.edited(perceptron.model, tmp_path / "three.onnx", three))
    x = models.inputs_for(perceptron.model, 100)
    label = models.answers(artifact.path, x).argmax(axis=1)
    label[:10] = (label[:10] + 1) % 3
    found = Evaluator(quiet).evaluate(source, artifact, dataset_of(tmp_path / "set", source, x=x, label=label))
    assert found.own == OwnAnswers(100, 90)
    assert (found.source, found.answers) == (None, None)
    assert found.notes[1] == "the source is not compared: its first output has shape [-1, 10], the artifact's [-1, 3]"
    assert found.to_json()["artifactInterval"] == pytest.approx([0.840, 0.939], abs=0.002)


def test_boxes_of_a_detector_with_one_image_a_run_are_found_by_name(tmp_path: Path, quiet: Progress) -> None:
    """The model returns its inputs: boxes (1, 2, 4), with fixed scores and classes."""
    graph = models.Builder()
    graph.node("Identity", ["x"], "boxes")
    graph.constant("s", np.array([[0.9, 0.8]], dtype=np.float32))
    graph.constant("c", np.array([[0, 1]], dtype=np.int64))
    graph.node("Identity", ["s"], "scores")
    graph.node("Identity", ["c"], "labels")
    kinds = {"boxes": (1, [1, 2, 4]), "scores": (1, [1, 2]), "labels": (7, [1, 2])}
    outputs = [onnx.helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in kinds.items()]
    given = [onnx.helper.make_tensor_value_info("x", 1, [1, 2, 4])]
    proto = onnx.helper.make_graph(graph.nodes, "detector", given, outputs, graph.weights)
    onnx.save(
        onnx.helper.make_model(proto, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), tmp_path / "d"
    )
    model = check_model(tmp_path / "d")
    boxes = np.tile(np.array([[0, 0, 4, 4], [5, 5, 9, 9]], dtype=np.float32), (25, 1, 1))
    label = np.tile([0, 1], (25, 1))
    label[:5, 1] = -1  # the detector's boxes there are wrong
    found = Evaluator(quiet).evaluate(
        model, model, dataset_of(tmp_path / "set", model, x=boxes, boxes=boxes, label=label)
    )
    assert found.task == "Detection"
    assert isinstance(found.answers, PairedScores)
    assert found.answers.drop == 0
    # All scores are the same, so images come in order: the first 5 boxes of class 1 are wrong, precision 20 / 25.
    assert found.answers.artifact == pytest.approx((1 + 0.8) / 2)


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ({"task": "Guess"}, "want one of Auto, Classification"),
        ({"settings": {"tolerance": "0"}}, "want a decimal above 0"),
        ({"settings": {"tolerance": "wide"}}, "want a decimal above 0"),
        ({"settings": {"width": "1"}}, "evaluation has no setting width; its settings are: tolerance"),
    ],
)
def test_settings_that_mean_nothing_are_refused(setting: dict[str, Any], told: str, quiet: Progress) -> None:
    with pytest.raises(Stalled, match=told) as caught:
        Evaluator(quiet, EvaluationSettings(**setting))
    assert caught.value.reason == reasons.INVALID_SPEC
