"""The golden set, judged by the server's own self-test where possible."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from edge_compressor.datasets import Dataset, load_dataset
from edge_compressor.evaluation.generated_inputs import generate
from edge_compressor.evaluation.golden_set import record_golden
from edge_compressor.models.onnx_model import check_model
from edge_runtime.agreement import CLOSE_TOLERANCE, close, spread_of_floats
from edgemodel.artifact import Golden
from tests.unit.edge_compressor import models
from tests.unit.edge_compressor.conftest import Files


def recorded(files: Files, folder: Path, *, labelled: bool = True, items: int = 64) -> tuple[Golden, dict[str, Any]]:
    model = check_model(files.model)
    path = files.evaluation if labelled else files.calibration
    dataset = load_dataset(path, model, folder / "arrays", what="evaluation set")
    golden = record_golden(model, dataset, items, folder / "golden.npz")
    assert golden is not None
    return golden, dict(np.load(folder / "golden.npz", allow_pickle=False))


def agreement(golden: Golden, arrays: dict[str, Any], model: Path) -> float:
    """Returns the percentage of items that agree, each run alone, as a node computes it."""
    session = ort.InferenceSession(model)
    spread = spread_of_floats([arrays["output.y"]])
    agree = 0
    for item in range(golden.items):
        (answer,) = session.run(None, {"x": arrays["input.x"][item : item + 1]})
        want = arrays["output.y"][item]
        if golden.agreement == "Argmax":
            agree += int(answer[0].argmax() == want.argmax())
        else:
            agree += int(close(want, answer[0], spread, golden.tolerance))
    return 100 * agree / golden.items


def disturbed(path: Path, to: Path, share: float) -> Path:
    """Writes the model with every weight changed by about ``share`` of itself, like the arithmetic of another machine,
    or worse."""
    random = np.random.default_rng(5)

    def disturb(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            values = numpy_helper.to_array(tensor)
            noise = 1 + share * random.standard_normal(values.shape)
            tensor.CopyFrom(numpy_helper.from_array((values * noise).astype(values.dtype), tensor.name))

    return models.edited(path, to, disturb)


@pytest.mark.parametrize("labelled", [True, False])
def test_the_artifact_itself_and_one_with_other_rounding_pass(residual: Files, tmp_path: Path, labelled: bool) -> None:
    golden, arrays = recorded(residual, tmp_path, labelled=labelled)
    for share in (0.0, 1e-6, 1e-4):
        other = disturbed(residual.model, tmp_path / "other.onnx", share)
        assert agreement(golden, arrays, other) >= float(golden.min_percent)


@pytest.mark.parametrize("labelled", [True, False])
def test_a_permuted_and_a_badly_disturbed_artifact_fail(residual: Files, tmp_path: Path, labelled: bool) -> None:
    golden, arrays = recorded(residual, tmp_path, labelled=labelled)
    permuted = models.permuted(residual.model, tmp_path / "permuted.onnx")
    assert agreement(golden, arrays, permuted) < 20
    bad = disturbed(residual.model, tmp_path / "bad.onnx", 0.3)
    assert agreement(golden, arrays, bad) < float(golden.min_percent)


def test_two_swapped_classes_of_ten_are_enough_to_fail(residual: Files, tmp_path: Path) -> None:
    golden, arrays = recorded(residual, tmp_path)

    def swap(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.name in ("w_head", "b_head"):
                values = numpy_helper.to_array(tensor).copy()
                values[..., [3, 4]] = values[..., [4, 3]]
                tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))

    swapped = models.edited(residual.model, tmp_path / "swapped.onnx", swap)
    assert agreement(golden, arrays, swapped) < float(golden.min_percent)


def test_items_have_a_clear_answer_and_cover_every_predicted_class_evenly(residual: Files, tmp_path: Path) -> None:
    golden, arrays = recorded(residual, tmp_path, items=40)
    output = np.sort(arrays["output.y"], axis=1)
    assert golden.items == len(output) == 40
    assert (output[:, -1] - output[:, -2] >= 0.05 * (output[:, -1] - output[:, 0])).all()
    assert set(np.bincount(arrays["output.y"].argmax(axis=1), minlength=10)) <= {3, 4, 5}


def test_without_a_data_set_generated_inputs_are_the_same_each_time(residual: Files, tmp_path: Path) -> None:
    model = check_model(residual.model)
    golden = record_golden(model, generate(model), 16, tmp_path / "a.npz")
    again = record_golden(model, generate(model), 16, tmp_path / "b.npz")
    assert golden == again == Golden(16, "Close", CLOSE_TOLERANCE, "95")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert np.load(tmp_path / "a.npz")["input.x"].shape == (16, 1, 12, 12)


def test_a_fixed_batch_takes_whole_batches_of_items(tmp_path: Path) -> None:
    model = check_model(models.perceptron(tmp_path / "six.onnx", batch=6))
    golden = record_golden(model, generate(model), 20, tmp_path / "golden.npz")
    assert golden is not None
    assert golden.items == 18


@pytest.mark.slow
def test_large_items_are_fewer_since_every_node_downloads_them(tmp_path: Path) -> None:
    model = check_model(models.perceptron(tmp_path / "wide.onnx", features=40_000, hidden=2))
    golden = record_golden(model, generate(model), 64, tmp_path / "golden.npz")
    assert golden is not None
    assert golden.items == 8


@pytest.mark.parametrize("items", [0, -1])
def test_no_items_make_no_golden_set(residual: Files, tmp_path: Path, items: int) -> None:
    assert record_golden(check_model(residual.model), None, items, tmp_path / "golden.npz") is None
    assert not (tmp_path / "golden.npz").exists()


def test_a_model_that_rejects_generated_inputs_gets_no_golden_set(tmp_path: Path) -> None:
    builder = models.Builder()
    builder.node("Reshape", ["x", builder.constant("shape", np.array([7, 10]))], "y")
    model = check_model(builder.save(tmp_path / "odd.onnx", [10]))
    assert record_golden(model, generate(model), 8, tmp_path / "golden.npz") is None


def test_labels_without_one_clear_answer_fall_back_to_values(tmp_path: Path, perceptron: Files) -> None:
    def flatten(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.name in ("w_head", "b_head"):
                tensor.CopyFrom(numpy_helper.from_array(np.zeros_like(numpy_helper.to_array(tensor)), tensor.name))

    model = check_model(models.edited(perceptron.model, tmp_path / "flat.onnx", flatten))
    dataset: Dataset = load_dataset(perceptron.evaluation, model, tmp_path / "arrays", what="evaluation set")
    golden = record_golden(model, dataset, 8, tmp_path / "golden.npz")
    assert golden is not None
    assert golden.agreement == "Close"
