"""Stateful models over sequences, each with the state that it computes itself."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from edge_compressor.datasets import Dataset, load_dataset
from edge_compressor.evaluation import Evaluator, stateful
from edge_compressor.evaluation.golden_set import record_golden, sample_feeds
from edge_compressor.models.onnx_model import OnnxModel, check_model
from edge_compressor.progress import Progress
from edge_runtime.signature import Signature
from edgemodel import reasons
from edgemodel.errors import Stalled
from inference_server.models.selftest import run_golden
from tests.unit.edge_compressor import models

STATES = {"state": "next"}
SEQUENCES, STEPS = 12, 20


@pytest.fixture
def recurrent(tmp_path: Path) -> OnnxModel:
    return check_model(models.recurrent(tmp_path / "recurrent.onnx"))


def sum_of_steps(path: Path, *, forgets: float = 0.0) -> OnnxModel:
    """Writes a model from x (n, 1), h (n, 1) to y (n, 2), h_next (n, 1): whether the sum of all x so far is below or
    above zero."""
    kept = helper.make_node("Mul", ["h", "share"], ["kept"])
    add = helper.make_node("Add", ["x", "kept"], ["h_next"])
    scores = helper.make_node("MatMul", ["h_next", "signs"], ["y"])
    tensors = [("x", [None, 1]), ("h", [None, 1]), ("y", [None, 2]), ("h_next", [None, 1])]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in tensors]
    for info in infos:
        info.type.tensor_type.shape.dim[0].dim_param = "n"
    weights = [
        onnx.numpy_helper.from_array(np.array([1 - forgets], np.float32), "share"),
        onnx.numpy_helper.from_array(np.array([[-1.0, 1.0]], np.float32), "signs"),
    ]
    graph = helper.make_graph([kept, add, scores], "sum", infos[:2], infos[2:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return check_model(path)


def walks(folder: Path, model: OnnxModel, *, per_step: bool = True, **more: Any) -> Dataset:
    """Writes x [sequences, steps, 1], and as label whether the sum up to each step, or of all, is above zero."""
    x = np.random.default_rng(0).standard_normal((SEQUENCES, STEPS, 1)).astype(np.float32)
    label = (np.cumsum(x[:, :, 0], axis=1) > 0).astype(np.int64)
    path = folder / "walks.npz"
    np.savez(path, **{"x": x, "label": label if per_step else label[:, -1], **more})
    return load_dataset(path, model, folder / "walks", what="evaluation set", states={"h": "h_next"})


def sounds(folder: Path, model: OnnxModel) -> Dataset:
    """Writes sequences for the recurrent model, whose inputs share no batch dimension."""
    single = models.stream(model.path, SEQUENCES * STEPS)
    arrays = {name: array.reshape(SEQUENCES, STEPS, *array.shape[1:]) for name, array in single.items()}
    path = folder / "sounds.npz"
    np.savez(path, **{name: array for name, array in arrays.items() if name in ("x", "rate", "label")})
    return load_dataset(path, model, folder / "sounds", what="evaluation set", states=STATES)


def along(model: OnnxModel, x: Any, taken: str, given: str, state: Any, **others: Any) -> tuple[list[Any], list[Any]]:
    """Returns the (states before, first outputs) of each step, by onnxruntime alone."""
    session = onnxruntime.InferenceSession(str(model.path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    states, answers = [], []
    for step in x:
        states.append(state)
        outputs = dict(zip(names, session.run(None, {"x": step, taken: state, **others}), strict=True))
        state = outputs[given]
        answers.append(outputs[names[0]])
    return states, answers


def test_each_step_is_judged_with_the_state_that_the_model_made(tmp_path: Path, quiet: Progress) -> None:
    source = sum_of_steps(tmp_path / "source.onnx")
    forgetful = sum_of_steps(tmp_path / "forgetful.onnx", forgets=1.0)
    dataset = walks(tmp_path, source)
    found = Evaluator(quiet).evaluate(source, forgetful, dataset)
    assert found.task == "Sequence"
    assert found.source is not None
    assert found.source.score == 1.0
    x, label = np.asarray(dataset.inputs["x"])[:, :, 0], np.asarray(dataset.label)
    assert found.artifact is not None
    assert found.artifact.score == pytest.approx(((x > 0) == label).mean())
    assert found.artifact.score < 0.9


def test_a_label_for_each_sequence_judges_its_last_step(tmp_path: Path, quiet: Progress) -> None:
    source = sum_of_steps(tmp_path / "source.onnx")
    found = Evaluator(quiet).evaluate(source, source, walks(tmp_path, source, per_step=False))
    assert found.task == "Classification"
    assert found.samples == SEQUENCES
    assert found.artifact is not None
    assert found.artifact.score == 1.0


def test_without_labels_what_is_made_of_the_state_is_compared(tmp_path: Path, quiet: Progress) -> None:
    source = sum_of_steps(tmp_path / "source.onnx")
    dataset = walks(tmp_path, source)
    plain = Dataset(**{**vars(dataset), "label": None})
    assert Evaluator(quiet).evaluate(source, source, plain).agreement == 1.0
    forgetful = sum_of_steps(tmp_path / "forgetful.onnx", forgets=1.0)
    assert Evaluator(quiet).evaluate(source, forgetful, plain).agreement == 0.0


def test_a_sequence_begins_with_the_state_that_it_has(tmp_path: Path, quiet: Progress) -> None:
    source = sum_of_steps(tmp_path / "source.onnx")
    high = np.full((SEQUENCES, 1), 1000, np.float32)
    found = Evaluator(quiet).evaluate(source, source, walks(tmp_path, source, h=high))
    assert found.artifact is not None
    assert found.artifact.score == pytest.approx(np.asarray(walks(tmp_path, source).label).mean())


def test_steps_alone_have_the_state_that_the_model_had_there(tmp_path: Path) -> None:
    source = sum_of_steps(tmp_path / "source.onnx")
    dataset = walks(tmp_path, source)
    single = stateful.steps_of(dataset, source, 10**6, "source")
    assert single.size == SEQUENCES * STEPS
    assert not single.states
    x = np.asarray(dataset.inputs["x"])
    before = np.cumsum(x, axis=1) - x
    np.testing.assert_allclose(single.inputs["h"], before.reshape(-1, 1), atol=1e-5)
    np.testing.assert_array_equal(single.inputs["x"], x.reshape(-1, 1))
    few = stateful.steps_of(dataset, source, 7, "source")
    np.testing.assert_array_equal(few.inputs["x"], x.reshape(-1, 1)[np.arange(7) * SEQUENCES * STEPS // 7])


def test_halves_share_no_sequence(tmp_path: Path, quiet: Progress) -> None:
    source = sum_of_steps(tmp_path / "source.onnx")
    one, other = walks(tmp_path, source).halves()
    assert (one.size, other.size) == (SEQUENCES // 2, SEQUENCES // 2)
    assert Evaluator(quiet).evaluate(source, source, other).samples == SEQUENCES // 2


def test_a_model_whose_inputs_share_no_batch_is_unrolled_too(
    tmp_path: Path, quiet: Progress, recurrent: OnnxModel
) -> None:
    dataset = sounds(tmp_path, recurrent)
    assert dataset.whole
    found = Evaluator(quiet).evaluate(recurrent, recurrent, dataset)
    assert found.task == "Sequence"
    assert found.source is not None
    first = {name: np.asarray(array[3]) for name, array in dataset.inputs.items()}
    rate = np.asarray(first["rate"][0])
    states, answers = along(recurrent, first["x"], "state", "next", np.zeros((2, 1, 32), np.float32), rate=rate)
    single = stateful.steps_of(dataset, recurrent, 10**6, "source")
    for step in range(STEPS):
        np.testing.assert_array_equal(single.inputs["state"][3 * STEPS + step], states[step])
    one = Dataset(**{**vars(dataset), **{"size": 1, "inputs": {k: v[3:4] for k, v in dataset.inputs.items()}}})
    label = np.array([[int(answer.ravel()[0] > 0.5) for answer in answers]])
    judged = Evaluator(quiet).evaluate(recurrent, recurrent, Dataset(**{**vars(one), "label": label}))
    assert judged.artifact is not None
    assert judged.artifact.score == 1.0


def test_the_server_answers_the_golden_set_of_a_model_with_a_state(tmp_path: Path, recurrent: OnnxModel) -> None:
    golden = record_golden(recurrent, sounds(tmp_path, recurrent), 16, tmp_path / "golden.npz")
    assert golden is not None
    assert golden.items == 16
    session = onnxruntime.InferenceSession(str(recurrent.path), providers=["CPUExecutionProvider"])
    signature = Signature(
        {tensor.name: tensor for tensor in recurrent.inputs}, {tensor.name: tensor for tensor in recurrent.outputs}
    )
    result = run_golden(
        lambda feeds, names: session.run(list(names), dict(feeds)), signature, golden, tmp_path / "golden.npz"
    )
    assert (result.agree, result.items) == (16, 16)
    with np.load(tmp_path / "golden.npz") as arrays:
        assert np.abs(arrays["input.state"]).max() > 0


def test_single_steps_are_timed(tmp_path: Path, recurrent: OnnxModel) -> None:
    feeds = sample_feeds(recurrent, sounds(tmp_path, recurrent), 5)
    assert feeds is not None
    assert len(feeds) == 5
    assert {name: array.shape for name, array in feeds[0].items()} == {"x": (1, 16), "state": (2, 1, 32), "rate": ()}


@pytest.mark.parametrize(
    ("states", "message"),
    [
        ({"stat": "next"}, "the model has no input 'stat'; it has rate, state, x"),
        ({"state": "nxt"}, "the model has no output 'nxt'; it has next, y"),
        ({"x": "next"}, r"input 'x' is FP32 \[-1, 16\] and output 'next' FP32 \[2, -1, 32\]: they cannot be one state"),
    ],
)
def test_a_state_that_the_model_has_not_is_refused(recurrent: OnnxModel, states: dict[str, str], message: str) -> None:
    with pytest.raises(Stalled, match=message) as caught:
        stateful.check(recurrent, states)
    assert caught.value.reason == reasons.INVALID_SPEC


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((4, 1), np.float32)}, "array x has shape"),
        ({"x": np.zeros((4, 0, 1), np.float32)}, "arrays differ or are empty: x 0"),
        ({"x": np.zeros((4, 5, 1), np.float32), "h": np.zeros((4, 5, 1), np.float32)}, "array h has shape"),
        ({"x": np.zeros((4, 5, 1), np.float32), "h": np.zeros((3, 1), np.float32)}, "arrays of different lengths"),
        ({"h": np.zeros((4, 1), np.float32)}, "no array for the model's input x"),
    ],
)
def test_sequences_that_make_no_sense_are_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    source = sum_of_steps(tmp_path / "source.onnx")
    np.savez(tmp_path / "wrong.npz", **arrays)
    with pytest.raises(Stalled, match=message) as caught:
        load_dataset(tmp_path / "wrong.npz", source, tmp_path / "wrong", what="evaluation set", states={"h": "h_next"})
    assert caught.value.reason == reasons.DATASET_INVALID


def test_a_model_of_nothing_but_a_state_is_refused(tmp_path: Path) -> None:
    source = sum_of_steps(tmp_path / "source.onnx")
    np.savez(tmp_path / "x.npz", x=np.zeros((4, 1), np.float32), h=np.zeros((4, 1), np.float32))
    with pytest.raises(Stalled, match="no input but its state"):
        load_dataset(tmp_path / "x.npz", source, tmp_path / "x", what="set", states={"h": "h_next", "x": "h_next"})
