from itertools import count
from pathlib import Path

import numpy as np
import onnx
import pytest

from edge_compressor.datasets import Dataset, load_dataset
from edge_compressor.evaluation import Evaluation, compare_values, time_both
from edge_compressor.evaluation.class_scores import scores
from edge_compressor.evaluation.generated_inputs import generate
from edge_compressor.evaluation.golden_set import sample_feeds
from edge_compressor.evaluation.task import collect
from edge_compressor.evaluation.tasks.classification import Classification
from edge_compressor.gate import PairedAnswers
from edge_compressor.models.onnx_model import OnnxModel, check_model
from edge_compressor.progress import Progress
from edge_runtime.datatypes import Array
from edgemodel import reasons
from edgemodel.errors import Stalled
from tests.unit.edge_compressor import models
from tests.unit.edge_compressor.conftest import Files


def evaluation_set(files: Files, folder: Path) -> tuple[OnnxModel, Dataset]:
    model = check_model(files.model)
    return model, load_dataset(files.evaluation, model, folder, what="evaluation set")


def predict(model: OnnxModel, dataset: Dataset, progress: Progress, *, what: str) -> Array:
    """Returns the class of each sample."""
    return collect(Classification(), model, dataset, progress, what=what)["class"]


def compare_classes(dataset: Dataset, source: Array, artifact: Array) -> Evaluation:
    return Classification().compare(dataset, {"class": source}, {"class": artifact})


def test_scores_of_a_small_table_are_those_by_hand() -> None:
    label, predicted = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 0, 2])
    result = scores(label, predicted, 4)
    assert result.score == result.figures["accuracy"] == pytest.approx(4 / 6)
    macro = pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert [result.figures[key] for key in ("macroPrecision", "macroRecall", "macroF1")] == [macro] * 3
    assert result.confusion is not None
    assert result.confusion.tolist() == [[2, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


def test_a_class_that_nobody_guesses_counts_as_zero_and_one_that_never_occurs_not_at_all() -> None:
    result = scores(np.array([0, 1]), np.array([0, 0]), 3)
    assert (result.figures["macroPrecision"], result.figures["macroRecall"]) == pytest.approx((0.25, 0.5))


def test_classes_may_be_large_numbers_such_as_tokens_without_a_matrix_of_all_of_them() -> None:
    label, predicted, classes = np.array([0, 0, 10**12]), np.array([0, 10**12, 10**12]), 10**12 + 1
    result = scores(label, predicted, classes)
    assert (result.score, result.confusion) == (pytest.approx(2 / 3), None)
    assert result.figures["macroRecall"] == pytest.approx(3 / 4)
    assert result.to_json()["classes"] == classes


def test_an_answer_that_is_not_finite_is_wrong_and_in_no_column() -> None:
    result = scores(np.array([0, 1]), np.array([0, -1]), 2)
    assert result.score == 0.5
    assert result.confusion is not None
    assert result.confusion.sum() == 1


def test_paired_answers_count_who_alone_was_right(residual: Files, tmp_path: Path) -> None:
    _, dataset = evaluation_set(residual, tmp_path)
    label = np.asarray(dataset.label)
    source, artifact = label.copy(), label.copy()
    source[:5] += 1
    artifact[3:10] += 1
    result = compare_classes(dataset, source, artifact)
    answers = result.answers
    assert isinstance(answers, PairedAnswers)
    assert (answers.samples, answers.source_right, answers.artifact_right) == (400, 395, 393)
    assert (answers.only_source_right, answers.only_artifact_right) == (5, 3)
    assert answers.drop == pytest.approx(2 / 400)
    assert result.agreement == pytest.approx(392 / 400)


@pytest.mark.parametrize("batch", ["n", 1, 7])
def test_predictions_do_not_depend_on_how_samples_are_batched(tmp_path: Path, quiet: Progress, batch: object) -> None:
    open_model = models.perceptron(tmp_path / "open.onnx")
    models.write_evaluation(tmp_path / "e.npz", open_model, 50)
    model = check_model(models.perceptron(tmp_path / "model.onnx", batch=batch))
    dataset = load_dataset(tmp_path / "e.npz", model, tmp_path / "arrays", what="evaluation set")
    expected = models.answers(open_model, models.inputs_for(open_model, 50)).argmax(axis=1)
    np.testing.assert_array_equal(predict(model, dataset, quiet, what="source"), expected)


def test_the_accuracy_of_a_set_with_spoilt_labels_is_known(residual: Files, tmp_path: Path, quiet: Progress) -> None:
    model, dataset = evaluation_set(residual, tmp_path)
    predicted = predict(model, dataset, quiet, what="source")
    result = compare_classes(dataset, predicted, predicted)
    assert result.source is not None
    assert result.source.score == pytest.approx(380 / 400)
    assert result.agreement == 1


def test_without_labels_values_are_compared(residual: Files, tmp_path: Path, quiet: Progress) -> None:
    model = check_model(residual.model)
    dataset = load_dataset(residual.calibration, model, tmp_path / "arrays", what="evaluation set")
    other = check_model(models.permuted(residual.model, tmp_path / "permuted.onnx"))
    assert compare_values(model, model, dataset, quiet).agreement == 1
    different = compare_values(model, other, dataset, quiet)
    assert different.agreement < 0.1
    assert different.answers is None


def test_labels_that_the_model_has_no_class_for_are_refused(residual: Files, tmp_path: Path, quiet: Progress) -> None:
    model = check_model(residual.model)
    np.savez(tmp_path / "e.npz", x=models.inputs_for(residual.model, 3), label=np.array([1, 2, 10]))
    dataset = load_dataset(tmp_path / "e.npz", model, tmp_path / "arrays", what="evaluation set")
    with pytest.raises(Stalled, match="label 10 is out of range") as caught:
        predict(model, dataset, quiet, what="source")
    assert caught.value.reason == reasons.DATASET_INVALID


def test_the_model_that_cannot_run_on_its_data_is_named(tmp_path: Path, quiet: Progress) -> None:
    """The model reshapes to a size that only one sample has."""
    builder = models.Builder()
    builder.node("Reshape", ["x", builder.constant("shape", np.array([1, 10]))], "y")
    model = check_model(builder.save(tmp_path / "one.onnx", [10]))
    np.savez(tmp_path / "e.npz", x=np.zeros((3, 10), dtype=np.float32), label=np.zeros(3, dtype=np.int64))
    dataset = load_dataset(tmp_path / "e.npz", model, tmp_path / "arrays", what="evaluation set")
    for what, reason in (("source", reasons.SOURCE_INVALID), ("artifact", reasons.STEP_FAILED)):
        with pytest.raises(Stalled, match=f"the {what} cannot run on the data") as caught:
            predict(model, dataset, quiet, what=what)
        assert caught.value.reason == reason


def test_source_and_artifact_are_timed_by_turns_with_one_clock(
    residual: Files, tmp_path: Path, quiet: Progress
) -> None:
    model = check_model(residual.model)
    feeds = sample_feeds(model, generate(model), 4)
    assert feeds is not None
    ticks = count()
    latency = time_both(model, model, feeds, quiet, max_runs=30, max_seconds=1e9, clock=lambda: next(ticks) / 1000)
    assert latency.runs == 30
    assert latency.source.p50 == latency.artifact.p50 == pytest.approx(1.0)


def test_timing_ends_with_its_time_but_not_before_ten_runs(residual: Files, quiet: Progress) -> None:
    model = check_model(residual.model)
    feeds = sample_feeds(model, generate(model), 1)
    assert feeds is not None
    assert time_both(model, model, feeds, quiet, max_seconds=0).runs == 10


def test_whole_number_outputs_are_classes_themselves(perceptron: Files, tmp_path: Path, quiet: Progress) -> None:
    def add_argmax(model: onnx.ModelProto) -> None:
        model.graph.node.append(onnx.helper.make_node("ArgMax", ["y"], ["class"], name="pick", axis=1, keepdims=0))
        model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("class", onnx.TensorProto.INT64, ["n"]))

    model = check_model(models.edited(perceptron.model, tmp_path / "c.onnx", add_argmax))
    dataset = load_dataset(perceptron.evaluation, model, tmp_path / "arrays", what="evaluation set")
    predicted = predict(model, dataset, quiet, what="source")
    assert float((predicted == np.asarray(dataset.label)).mean()) == pytest.approx(380 / 400)


def test_whole_samples_are_evaluated_one_by_one_and_compared_in_every_output(tmp_path: Path, quiet: Progress) -> None:
    source = check_model(models.recurrent(tmp_path / "recurrent.onnx"))
    np.savez(tmp_path / "e.npz", **models.stream(source.path, 40))
    dataset = load_dataset(tmp_path / "e.npz", source, tmp_path / "arrays", what="evaluation set")
    predicted = predict(source, dataset, quiet, what="source")
    np.testing.assert_array_equal(predicted, dataset.label)
    assert {0, 1} == set(predicted.tolist())

    def spoil_the_second_layer(model: onnx.ModelProto) -> None:
        (state,) = (node for node in model.graph.node if node.output[0] == "next")
        state.output[0] = "before"
        shift = np.zeros((2, 1, 32), dtype=np.float32)
        shift[1] = 5
        model.graph.initializer.append(onnx.numpy_helper.from_array(shift, "shift"))
        model.graph.node.append(onnx.helper.make_node("Add", ["before", "shift"], ["next"], name="spoilt"))

    spoilt = check_model(models.edited(source.path, tmp_path / "spoilt.onnx", spoil_the_second_layer))
    assert compare_values(source, source, dataset, quiet).agreement == 1.0
    assert compare_values(source, spoilt, dataset, quiet).agreement == 0.0
    feeds = sample_feeds(source, dataset, 3)
    assert feeds is not None
    assert time_both(source, source, feeds, quiet, max_seconds=0).runs == 10
