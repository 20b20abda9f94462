"""Evaluation sets as people bring them: each is judged correctly, refused with a remedy, or reported as undecided."""

from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edge_compressor.datasets import load_dataset
from edge_compressor.evaluation import Evaluation, Evaluator, task_arrays
from edge_compressor.gate import Measurements, judge
from edge_compressor.models.onnx_model import check_model
from edge_compressor.progress import Progress
from edge_runtime.datatypes import Array
from edgemodel import reasons
from edgemodel.budget import parse_budget
from edgemodel.compression_request import EvaluationSettings
from edgemodel.errors import Stalled
from edgemodel.verdict import Verdict

RANDOM = np.random.default_rng(0)
WEIGHTS = RANDOM.standard_normal((6, 4)).astype(np.float32)
X = RANDOM.standard_normal((100, 6)).astype(np.float32)
SCORES = X @ WEIGHTS
CLASSES = SCORES.argmax(axis=1)
ONE_HOT = np.eye(4)[CLASSES]
NAMES = np.array(["cat", "cow", "dog", "hen"])
CHANCE: Final = "answers that have nothing to do with the labels would"

Nodes = list[onnx.NodeProto]


def node(kind: str, given: str, made: str, **more: Any) -> onnx.NodeProto:
    return helper.make_node(kind, given.split(), made.split(), **more)


TO_SCORES = node("MatMul", "x w", "y")
MODELS: Final[dict[str, tuple[Nodes, dict[str, list[Any]]]]] = {
    "scores": ([TO_SCORES], {"y": ["n", 4]}),
    "softmax": ([TO_SCORES, node("Softmax", "y", "p", axis=1)], {"p": ["n", 4]}),
    "log-softmax": ([TO_SCORES, node("LogSoftmax", "y", "p", axis=1)], {"p": ["n", 4]}),
    "vectors first": ([TO_SCORES, node("MatMul", "x v", "z")], {"z": ["n", 8], "y": ["n", 4]}),
    "class first": (
        [TO_SCORES, node("ArgMax", "y", "c", axis=1, keepdims=0), node("Softmax", "y", "p", axis=1)],
        {"c": ["n"], "p": ["n", 4]},
    ),
}


def model_file(folder: Path, kind: str) -> Path:
    nodes, outputs = MODELS[kind]
    weights = {"w": WEIGHTS, "v": np.tile(WEIGHTS, (1, 2)) * np.float32(-1)}
    used = {name for one in nodes for name in one.input}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, ["n", 6])],
        [helper.make_tensor_value_info(name, 7 if name == "c" else 1, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in weights.items() if name in used],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "m.onnx")
    return folder / "m.onnx"


def evaluated(folder: Path, quiet: Progress, kind: str, task: str = "Auto", **arrays: Any) -> Evaluation:
    model = check_model(model_file(folder, kind))
    np.savez(folder / "set.npz", **arrays)
    names = task_arrays()
    dataset = load_dataset(folder / "set.npz", model, folder / "arrays", what="evaluation set", task_arrays=names)
    return Evaluator(quiet, EvaluationSettings(task)).evaluate(model, model, dataset)


@pytest.mark.parametrize(
    ("kind", "label", "task"),
    [
        ("scores", CLASSES[:, None], "Classification"),
        ("scores", CLASSES[:, None, None], "Classification"),
        ("scores", CLASSES.astype(np.float32), "Classification"),
        ("scores", CLASSES.astype(">f8"), "Classification"),
        ("scores", CLASSES.astype(np.uint64), "Classification"),
        ("scores", NAMES[CLASSES], "Classification"),
        ("scores", NAMES[CLASSES].astype("S"), "Classification"),
        ("softmax", ONE_HOT, "Classification"),
        ("softmax", ONE_HOT.astype(bool), "Classification"),
        ("log-softmax", ONE_HOT, "Classification"),
        ("class first", CLASSES, "Classification"),
        ("scores", (SCORES > 0).astype(int), "MultiLabel"),
        ("scores", SCORES > 0, "MultiLabel"),
        ("scores", SCORES, "Regression"),
        ("softmax", np.exp(SCORES) / np.exp(SCORES).sum(axis=1, keepdims=True), "Regression"),
    ],
)
def test_labels_of_a_perfect_model_give_it_a_score_of_one(
    kind: str, label: Array, task: str, tmp_path: Path, quiet: Progress
) -> None:
    found = evaluated(tmp_path, quiet, kind, x=X, label=label, class_names=NAMES)
    assert found.source is not None
    assert (found.task, found.source.score, found.doubt) == (task, 1.0, "")


@pytest.mark.parametrize(
    ("kind", "task", "arrays", "told"),
    [
        ("scores", "Auto", {"label": NAMES[CLASSES]}, "give class_names, the names of the classes in the order of"),
        ("scores", "Auto", {"label": np.where(CLASSES == 1, "cat", "elk"), "class_names": NAMES}, "'elk' is not among"),
        ("scores", "Auto", {"label": CLASSES + 1}, "4 classes that count from 0: subtract 1"),
        ("scores", "Auto", {"label": np.where(CLASSES == 1, -1, CLASSES)}, "leave out the samples that have none"),
        ("scores", "Auto", {"label": np.where(CLASSES == 1, np.nan, CLASSES)}, "label holds NaN in sample"),
        ("scores", "Auto", {"label": CLASSES.astype(complex)}, "complex128, want numbers"),
        ("scores", "Auto", {"label": CLASSES[None]}, "arrays of different lengths: label 1, x 100"),
        ("scores", "Auto", {"label": ONE_HOT}, "evaluation.task: Classification (--task Classification)"),
        ("scores", "Auto", {"label": np.tile(CLASSES, (3, 1)).T}, "or leave label out to compare with the source"),
        ("scores", "Classification", {"label": SCORES > 0}, "want [samples] of whole numbers"),
        ("scores", "MultiLabel", {"label": CLASSES}, "wants 0 or 1, as [samples, labels]"),
        ("scores", "Regression", {"label": CLASSES}, "label has 1 values a sample"),
        ("scores", "Sequence", {"label": CLASSES}, "wants whole numbers, [samples, steps]"),
        ("scores", "Detection", {"label": CLASSES}, "boxes are none"),
        ("scores", "Auto", {"boxes": np.zeros((100, 2, 4))}, "task Detection needs an array label"),
        ("scores", "Classification", {}, "needs an array label"),
    ],
)
def test_labels_that_mean_nothing_or_several_things_are_refused_with_the_cure(
    kind: str, task: str, arrays: dict[str, Any], told: str, tmp_path: Path, quiet: Progress
) -> None:
    with pytest.raises(Stalled) as caught:
        evaluated(tmp_path, quiet, kind, task, x=X, **arrays)
    assert caught.value.reason == reasons.DATASET_INVALID
    assert told in caught.value.message


@pytest.mark.parametrize(
    ("kind", "arrays", "told"),
    [
        ("scores", {"x": X[CLASSES < 3], "label": CLASSES[CLASSES < 3] + 1}, CHANCE),
        ("class first", {"x": X, "label": CLASSES + 1}, "(the first output is c; the model has p too)"),
        ("vectors first", {"x": X, "label": CLASSES}, "(the first output is z; the model has y too)"),
        ("scores", {"x": X, "label": RANDOM.permutation(CLASSES)}, CHANCE),
        ("scores", {"x": X[:, ::-1], "label": CLASSES}, CHANCE),
        ("scores", {"x": X, "label": RANDOM.permutation(SCORES > 0)}, CHANCE),
        ("scores", {"x": X, "label": np.where(SCORES > 0, 1, -1) * 50}, "one constant answer for all would be"),
        ("scores", {"x": X, "label": SCORES[:, ::-1] * 100}, "one constant answer for all would be"),
    ],
)
def test_a_source_no_better_than_chance_decides_no_drop(
    kind: str, arrays: dict[str, Any], told: str, tmp_path: Path, quiet: Progress
) -> None:
    found = evaluated(tmp_path, quiet, kind, **arrays)
    assert told in found.doubt
    measured = Measurements(found.answers, False, 1000, None, metric=found.metric, doubt=found.doubt)
    result = judge(measured, parse_budget({"maxAccuracyDropPercent": "50"}))
    assert result.reason == reasons.EVALUATION_INCONCLUSIVE
    assert [check.verdict for check in result.checks] == [Verdict.INCONCLUSIVE]
    assert found.doubt in result.message


@pytest.mark.parametrize(
    "label",
    [
        np.zeros(100, int),
        CLASSES % 2,
        np.where(np.arange(100) < 97, CLASSES, 0),
        np.where(np.arange(100) % 2, CLASSES, 3),
    ],
    ids=["one class", "two of four", "some wrong", "half wrong"],
)
def test_a_source_that_is_often_wrong_is_no_reason_for_doubt(label: Array, tmp_path: Path, quiet: Progress) -> None:
    assert evaluated(tmp_path, quiet, "scores", x=X, label=label).doubt == ""


def test_samples_that_are_mixed_by_the_model_decide_no_drop(tmp_path: Path, quiet: Progress) -> None:
    """The model has its features on the first axis, and as many of them as a run has samples."""
    graph = helper.make_graph(
        [node("Transpose", "x", "t", perm=[1, 0]), node("MatMul", "t w", "y")],
        "g",
        [helper.make_tensor_value_info("x", 1, [6, "n"])],
        [helper.make_tensor_value_info("y", 1, ["n", 4])],
        [numpy_helper.from_array(WEIGHTS, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    model = check_model(tmp_path / "m.onnx")
    answers = np.concatenate([X[start : start + 6].T @ WEIGHTS for start in range(0, 96, 6)])
    np.savez(tmp_path / "set.npz", x=X[:96], label=answers.argmax(axis=1))
    dataset = load_dataset(tmp_path / "set.npz", model, tmp_path / "arrays", what="evaluation set")
    found = Evaluator(quiet).evaluate(model, model, dataset)
    assert found.source is not None
    assert found.source.score == 1
    assert "the answer to a sample depends on the others in its run of 6" in found.doubt


def test_few_samples_raise_no_doubt(tmp_path: Path, quiet: Progress) -> None:
    found = evaluated(tmp_path, quiet, "scores", x=X[:1], label=CLASSES[:1])
    assert found.source is not None
    assert (found.source.score, found.doubt) == (1.0, "")
    (tmp_path / "arrays" / "0.npy").unlink()
    assert evaluated(tmp_path, quiet, "scores", x=X[:10], label=(CLASSES[:10] + 1) % 4).doubt == ""
