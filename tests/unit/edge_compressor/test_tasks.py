"""Each task on answers whose score is known by hand."""

import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_compressor.datasets import Dataset
from edge_compressor.evaluation.calibration_error import confidence, expected_calibration_error
from edge_compressor.evaluation.inference import infer
from edge_compressor.evaluation.result import Evaluation
from edge_compressor.evaluation.tasks.classification import Classification
from edge_compressor.evaluation.tasks.detection import Detection, average_precision, overlap
from edge_compressor.evaluation.tasks.embedding import Embedding, cosines, nearest
from edge_compressor.evaluation.tasks.multi_label import MultiLabel, sample_f1, threshold
from edge_compressor.evaluation.tasks.regression import Regression
from edge_compressor.evaluation.tasks.sequence import Sequence
from edge_compressor.gate import OwnAnswers, OwnScore, PairedAnswers, PairedScores
from edge_runtime.datatypes import Array
from edgemodel import reasons
from edgemodel.errors import Stalled

ROOT = Path(__file__).resolve().parents[3]


def labelled(label: Any, **more: Any) -> Dataset:
    label = np.asarray(label)
    return Dataset("evaluation set", {}, label, len(label), -1, **more)


def compared(task: Any, dataset: Dataset, source: Array, artifact: Array) -> Evaluation:
    dataset = task.check(dataset)
    answers = [task.read({"y": output}, dataset.size, dataset) for output in (source, artifact)]
    result = task.compare(dataset, *answers)
    assert isinstance(result, Evaluation)
    return result


# --- classification ---


def test_the_class_that_loses_most_is_named_with_its_own_interval() -> None:
    label = np.repeat([0, 1, 2], 100)
    source, artifact = label.copy(), label.copy()
    source[:5], artifact[:5], artifact[100:120] = 1, 1, 0
    result = compared(Classification(), labelled(label, class_names=("cat", "dog", "cow")), source, artifact)
    assert [(one.number, one.source, one.artifact) for one in result.classes] == [
        (0, 0.95, 0.95),
        (1, 1, 0.8),
        (2, 1, 1),
    ]
    worst = result.to_json()["worstClass"]
    assert (worst["name"], worst["samples"], worst["dropPercent"]) == ("dog", 100, 20.0)
    assert 13 < worst["lowerPercent"] < 20 < worst["upperPercent"] < 28


def test_the_calibration_error_is_that_of_a_table_by_hand() -> None:
    """The table has confidence 0.8 with 3 of 5 right, and 0.5 with 5 of 5 right: (5 * 0.2 + 5 * 0.5) / 10."""
    told = confidence(np.array([[0.8, 0.2]] * 5 + [[0.5, 0.5]] * 5))
    right = np.array([1, 1, 1, 0, 0, 1, 1, 1, 1, 1], dtype=bool)
    assert expected_calibration_error(told, right) == pytest.approx(0.35)


def test_logits_go_through_a_softmax_and_probabilities_do_not() -> None:
    right = np.ones(4, dtype=bool)
    logits = np.log(np.array([[0.9, 0.1]] * 4))
    assert expected_calibration_error(confidence(logits), right) == pytest.approx(0.1)
    assert expected_calibration_error(confidence(np.exp(logits)), right) == pytest.approx(0.1)


def test_scores_that_are_not_finite_give_no_confidence() -> None:
    assert expected_calibration_error(confidence(np.full((2, 3), np.nan)), np.zeros(2, dtype=bool)) == 0


def test_an_artifact_whose_source_is_not_comparable_is_counted_alone() -> None:
    task, dataset = Classification(), labelled([0, 1, 1, 0])
    result = task.compare(dataset, None, task.read({"y": np.eye(2)[[0, 1, 0, 0]]}, 4, dataset))
    assert result.own == OwnAnswers(4, 3)
    assert (result.source, result.answers, result.agreement) == (None, None, None)


# --- several labels ---


def test_the_f1_of_a_sample_counts_what_holds_and_what_is_predicted() -> None:
    label = np.array([[1, 1, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0]], dtype=bool)
    predicted = np.array([[1, 0, 0], [0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=bool)
    assert sample_f1(label, predicted) == pytest.approx([2 / 3, 1, 0, 0])


def test_outputs_between_0_and_1_are_probabilities_and_others_logits() -> None:
    assert threshold(np.array([0.0, 0.4, 1.0]))[0] == 0.5
    limit, told = threshold(np.array([-3.0, 0.4, 8.0]))
    assert limit == 0
    assert told == "outputs lie in -3 to 8: taken for logits, a label is predicted above 0"


def test_several_labels_are_scored_by_the_threshold_of_the_source() -> None:
    label = np.tile([[1, 0], [0, 1]], (20, 1))
    source = np.where(label == 1, 0.9, 0.1).astype(np.float32)
    artifact = source.copy()
    artifact[:4] = [[0.1, 0.1]] * 4  # misses its only label
    result = compared(MultiLabel(), labelled(label), source, artifact)
    answers = result.answers
    assert isinstance(answers, PairedScores)
    assert (answers.source, answers.artifact) == pytest.approx((1.0, 0.9))
    assert answers.interval.lower < 0.1 < answers.interval.upper
    assert result.artifact is not None
    assert result.artifact.figures["exactMatch"] == pytest.approx(0.9)
    assert result.artifact.figures["microF1"] == pytest.approx(2 * 36 / (40 + 36))
    assert [one.drop for one in result.classes] == pytest.approx([0.1, 0.1])


# --- numbers ---


def test_a_number_is_right_within_a_tenth_of_the_deviation_of_the_labels() -> None:
    label = np.tile([0.0, 10.0], 50)  # deviation 5, so the tolerance is 0.5
    source, artifact = label + 0.5, label.copy()
    artifact[:10] += 0.6
    result = compared(Regression(), labelled(label), source[:, None], artifact[:, None])
    assert result.answers == PairedAnswers(100, 100, 90, 10, 0)
    assert result.artifact is not None
    assert result.artifact.figures["meanAbsoluteError"] == pytest.approx(0.06)
    assert result.artifact.figures["r2"] == pytest.approx(1 - 10 * 0.36 / 2500)
    assert "within 0.5 of its label" in result.notes[0]


def test_a_tolerance_that_is_set_is_in_the_unit_of_the_labels() -> None:
    label = np.tile([[0.0, 1.0], [10.0, 3.0]], (10, 1))
    off = label + np.array([0.0, 0.2])
    assert compared(Regression(Decimal("0.21")), labelled(label), label, off).answers == PairedAnswers(20, 20, 20, 0, 0)
    assert compared(Regression(Decimal("0.1")), labelled(label), label, off).answers == PairedAnswers(20, 20, 0, 20, 0)


def test_a_nan_answer_is_wrong_and_has_no_mean_error() -> None:
    label = np.tile([0.0, 10.0], 10)
    artifact = label.copy()
    artifact[0] = np.nan
    result = compared(Regression(), labelled(label), label, artifact)
    assert result.answers == PairedAnswers(20, 20, 19, 1, 0)
    assert result.artifact is not None
    assert result.to_json()["artifact"]["r2"] is None


def test_labels_that_are_all_the_same_need_a_tolerance() -> None:
    with pytest.raises(Stalled, match=r"set evaluation\.tolerance"):
        Regression().check(labelled(np.ones(5)))


# --- boxes ---


def test_the_overlap_of_boxes_is_shared_area_by_united_area() -> None:
    others = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6], [0, 0, 0, 0]], dtype=float)
    assert overlap(np.array([0.0, 0.0, 2.0, 2.0]), others) == pytest.approx([1, 1 / 7, 0, 0])


def test_average_precision_is_the_area_under_the_monotone_curve() -> None:
    """The boxes are hit, miss, hit of 4: precision 1 at recall 1/4, then 2/3 at 2/4; 1/4 + 2/3/4."""
    assert average_precision(np.array([1, 0, 1]), np.ones(3), 4) == pytest.approx(0.25 * (1 + 2 / 3))
    assert average_precision(np.array([0, 1]), np.ones(2), 1) == pytest.approx(0.5)
    assert np.isnan(average_precision(np.array([]), np.array([]), 0))


def test_an_image_that_is_drawn_twice_counts_like_two() -> None:
    right, weights = np.array([1, 0, 1]), np.array([2, 1, 1])
    expanded = average_precision(np.array([1, 1, 0, 1]), np.ones(4), 5)
    assert average_precision(right, weights, 5) == pytest.approx(expanded)


def boxes_set(images: int = 30) -> tuple[Dataset, Array]:
    """Returns a set with two boxes per image, of classes 0 and 1."""
    boxes = np.tile(np.array([[0, 0, 10, 10], [20, 20, 40, 40]], dtype=np.float32), (images, 1, 1))
    return labelled(np.tile([0, 1], (images, 1)), arrays={"boxes": boxes}), boxes


def test_a_detector_that_misses_a_class_in_a_third_of_the_images_loses_a_sixth() -> None:
    dataset, boxes = boxes_set()
    task = Detection()
    task.check(dataset)
    full = {"boxes": boxes, "scores": np.full((30, 2), 0.9, np.float32), "classes": np.tile([0, 1], (30, 1))}
    less = {**full, "scores": full["scores"].copy()}
    less["scores"][:10, 1] = 0  # no box at all
    result = task.compare(dataset, task.read(full, 30, dataset), task.read(less, 30, dataset))
    answers = result.answers
    assert isinstance(answers, PairedScores)
    assert (answers.source, answers.artifact) == pytest.approx((1.0, (1 + 2 / 3) / 2))
    assert 0.05 < answers.interval.lower < 1 / 6 < answers.interval.upper < 0.3
    assert result.agreement == pytest.approx(2 / 3)
    assert [one.drop for one in result.classes] == pytest.approx([0, 1 / 3])


def test_a_second_box_on_the_same_truth_is_wrong() -> None:
    dataset, boxes = boxes_set(1)
    task = Detection()
    twice = np.concatenate([boxes, boxes[:, :1]], axis=1)
    outputs = {"boxes": twice, "scores": np.array([[0.8, 0.9, 0.9]], np.float32), "classes": np.array([[0, 1, 0]])}
    result = task.compare(dataset, None, task.read(outputs, 1, dataset))
    assert result.artifact is not None
    assert result.artifact.score == 1.0  # the wrong one comes after the right one
    moved = {**outputs, "boxes": twice + np.array([0, 0, 0, 0], np.float32), "scores": np.array([[0.9, 0.9, 0.8]])}
    moved["boxes"][0, 2] += 100  # a false one below all others changes nothing, above all others it does
    first = {**moved, "scores": np.array([[0.8, 0.9, 0.95]], np.float32)}
    scores = [task.compare(dataset, None, task.read(one, 1, dataset)).artifact for one in (moved, first)]
    assert [one and one.score for one in scores] == pytest.approx([1.0, (1 / 2 + 1) / 2])


def test_one_score_for_each_class_is_read_as_the_best_of_them() -> None:
    dataset, boxes = boxes_set(2)
    scores = np.tile(np.array([[0.7, 0.1], [0.2, 0.6]], np.float32), (2, 1, 1))
    read = Detection().read({"a": boxes, "b": scores}, 2, dataset)
    assert read["class"].tolist() == [[0, 1], [0, 1]]
    assert read["score"][0] == pytest.approx([0.7, 0.6])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda boxes: np.concatenate([boxes[..., :2], boxes[..., 2:] - boxes[..., :2] - 1], axis=2), "two corners"),
        (lambda boxes: np.where(boxes == 40, np.nan, boxes), "is [20.0, 20.0, nan, nan], want corners"),
        (lambda boxes: boxes * 0, "a box that only fills up the array wants the label -1"),
    ],
)
def test_boxes_that_are_no_corners_are_refused(change: Any, told: str) -> None:
    dataset, boxes = boxes_set(2)
    with pytest.raises(Stalled) as caught:
        Detection().check(replace(dataset, arrays={"boxes": change(boxes)}))
    assert told in caught.value.message


def test_boxes_without_a_class_may_have_any_values() -> None:
    dataset, boxes = boxes_set(2)
    boxes[:, 1] = np.nan
    made = Detection().check(replace(dataset, label=np.tile([0, -1], (2, 1)), arrays={"boxes": boxes}))
    assert made.label is not None


@pytest.mark.parametrize(
    ("scale", "by", "doubtful"), [(1, 0, False), (0.1, 0, True), (1, 1, True)], ids=["as labelled", "unit", "from 1"]
)
def test_boxes_of_another_unit_or_class_are_no_measure_of_a_drop(scale: float, by: int, doubtful: bool) -> None:
    dataset, boxes = boxes_set()
    outputs = {"boxes": boxes * scale, "scores": np.full((30, 2), 0.9), "classes": np.tile([3, 4], (30, 1)) + by}
    dataset = replace(dataset, label=np.tile([3, 4], (30, 1)))
    answers = Detection().read(outputs, 30, dataset)
    assert bool(Detection().compare(dataset, answers, answers).doubt) == doubtful


def test_the_interval_of_map_lies_around_it_although_draws_lean_upward() -> None:
    """The scores are random, so that the monotone curve of each draw runs above that of the set itself."""
    random = np.random.default_rng(0)
    dataset, boxes = boxes_set(100)
    found = boxes + np.where(random.random((100, 2, 1)) < 0.5, 100, 0).astype(np.float32)
    outputs = {"boxes": found, "scores": random.random((100, 2)), "classes": np.tile([0, 1], (100, 1))}
    own = Detection().compare(dataset, None, Detection().read(outputs, 100, dataset)).own
    assert isinstance(own, OwnScore)
    below, above = own.score - own.interval.lower, own.interval.upper - own.score
    assert 0.5 < below / above < 2


# --- vectors ---


def test_the_cosine_handles_zero_and_nan() -> None:
    one = np.array([[1.0, 0], [1, 0], [0, 0], [1, 0]])
    other = np.array([[2.0, 0], [1, 1], [0, 0], [np.nan, 0]])
    assert cosines(one, other) == pytest.approx([1, np.sqrt(0.5), 1, 0])


def test_vectors_are_compared_with_the_source_and_need_no_labels() -> None:
    source = np.random.default_rng(0).standard_normal((200, 16)).astype(np.float32)
    artifact = source + np.random.default_rng(1).standard_normal(source.shape).astype(np.float32) * 0.1
    result = compared(Embedding(), Dataset("evaluation set", {}, None, 200, -1), source, artifact)
    answers = result.answers
    assert isinstance(answers, PairedScores)
    assert answers.source == 1
    assert answers.artifact == pytest.approx(1 / np.sqrt(1.01), abs=0.001)
    assert answers.interval.upper - answers.interval.lower < 0.001


def test_the_nearest_neighbour_is_never_oneself() -> None:
    assert nearest(np.array([[1.0, 0], [1, 0.1], [0, 1]])).tolist() == [1, 0, 1]


# --- sequences ---


def test_padded_steps_are_not_counted() -> None:
    label = np.array([[0, 1, -1], [1, 1, 1]] * 10)
    source = np.eye(2)[np.where(label < 0, 0, label)].astype(np.float32)
    artifact = source.copy()
    artifact[0] = [[0, 1], [1, 0], [1, 0]]  # both steps of the first sequence are wrong
    result = compared(Sequence(), labelled(label), source, artifact)
    answers = result.answers
    assert isinstance(answers, PairedScores)
    assert (answers.source, answers.artifact) == pytest.approx((1.0, 48 / 50))
    assert [(one.samples, one.drop) for one in result.classes] == [
        (10, pytest.approx(0.1)),
        (40, pytest.approx(1 / 40)),
    ]


def test_steps_of_one_sequence_do_not_make_the_interval_narrow() -> None:
    """There are 100 steps in 20 sequences, all wrong in one of them: as uncertain as one of 20, not as 5 of 100."""
    label = np.zeros((20, 5), dtype=np.int64)
    after = label.copy()
    after[0] = 1
    answers = compared(Sequence(), labelled(label), label, after).answers
    assert isinstance(answers, PairedScores)
    assert answers.interval.upper > 0.14  # 3 of 20; 5 of 100 alone would end at 0.09


# --- which task ---


@pytest.mark.parametrize(
    ("label", "output", "task"),
    [
        (np.arange(4), np.zeros((4, 9), np.float32), "Classification"),
        (np.arange(4), np.zeros(4, np.int64), "Classification"),
        (np.array([[0, 1], [1, 1]]), np.array([[-2, 8], [9, 1]], np.float32), "MultiLabel"),
        (np.array([[0, 1, -1], [1, 0, 2]]), np.zeros((2, 3, 5), np.float32), "Sequence"),
        (np.array([[0, 1, 1], [1, 0, 0]]), np.zeros((2, 3), np.int64), "Sequence"),
        (np.array([0.5, 1]), np.zeros((2, 1), np.float32), "Regression"),
        (np.array([[0.5], [1]]), np.zeros((2, 1), np.float32), "Regression"),
        (np.arange(4.0), np.zeros((4, 9), np.float32), "Classification"),
        (np.array([[0.0], [3.0]]), np.zeros((2, 9), np.float32), "Classification"),
        (np.array([0.0, 1.0]), np.array([[0.2], [0.9]], np.float32), "Classification"),
        (np.array([[0], [1]]), np.array([0.2, 0.9], np.float32), "Classification"),
        (np.array([31, 72]), np.array([[29.5], [70.1]], np.float32), "Regression"),
        (np.array([-3, 4]), np.array([-2.5, 4.1], np.float32), "Regression"),
        (np.array([[3, 4], [5, 6]]), np.full((2, 2), 4.5, np.float32), "Regression"),
        (np.array([[0.0, 1.0], [1.0, 1.0]]), np.zeros((2, 2), np.float32), "MultiLabel"),
        (np.array([[0, 1], [1, 0]]), np.array([[0.2, 0.8], [0.9, 0.1]], np.float32), "Classification"),
        (np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0.2, 0.8], [0.9, 0.1]], np.float32), "Classification"),
        (np.array([[0, 1], [1, 0]]), np.log(np.array([[0.2, 0.8], [0.9, 0.1]], np.float32)), "Classification"),
        (np.array([[0.0, 1, -1], [1, 0, 2]]), np.zeros((2, 3, 5), np.float32), "Sequence"),
        (np.array([[2], [1]]), np.zeros((2, 1, 5), np.float32), "Sequence"),
    ],
)
def test_the_task_is_inferred_from_label_and_output(label: Array, output: Array, task: str) -> None:
    assert infer(labelled(label), {"y": output})[0].type == task


@pytest.mark.parametrize(
    ("label", "output", "told"),
    [
        (np.array([0, 1]), np.array([[-3.0], [4.0]], np.float32), "for classes let the model end with a Sigmoid"),
        (
            np.array([0.0, 1.0]),
            np.array([[-3.0], [4.0]], np.float32),
            "evaluation.task: Regression (--task Regression)",
        ),
        (np.array([-1, 1]), np.array([[0.1], [0.9]], np.float32), "classes count from 0, so want 0 and 1"),
        (np.array([1, 2]), np.array([[0.1], [0.9]], np.float32), "label holds whole numbers from 1 to 2"),
        (np.array([[0, 1], [1, 0]]), np.array([[-2, 8], [9, 1]], np.float32), "for one class each set evaluation.task"),
        (np.array([[0, 1], [1, 0]]), np.zeros((2, 2), np.float32), "(--task Classification), for labels that may hold"),
    ],
)
def test_the_user_is_asked_where_labels_and_outputs_leave_a_choice(label: Array, output: Array, told: str) -> None:
    with pytest.raises(Stalled) as caught:
        infer(labelled(label), {"y": output})
    assert told in caught.value.message


@pytest.mark.parametrize(
    ("task", "label", "want"),
    [
        (Classification(), np.array([0.0, 2.0]), [0, 2]),
        (Classification(), np.array([[0], [2]]), [0, 2]),
        (Classification(), np.array([[0, 0, 1], [1, 0, 0]]), [2, 0]),
        (Classification(), np.array([[0.0, 1.0], [1.0, 0.0]]), [1, 0]),
        (Sequence(), np.array([[0.0, -1.0], [2.0, 1.0]]), [[0, -1], [2, 1]]),
        (Regression(), np.array([0.0, 2.0]), [0.0, 2.0]),
        (MultiLabel(), np.array([[0.0, 1.0]]), [[0.0, 1.0]]),
    ],
)
def test_labels_take_the_form_of_their_task_where_no_value_is_lost(task: Any, label: Array, want: list[Any]) -> None:
    made = task.check(labelled(label)).label
    assert made.tolist() == want
    assert made.dtype.kind == ("i" if isinstance(task, Classification | Sequence) else label.dtype.kind)


def test_whole_numbers_in_floats_are_classes_of_boxes() -> None:
    boxes = boxes_set(2)[1]
    made = Detection().check(labelled(np.tile([0.0, -1.0], (2, 1)), arrays={"boxes": boxes})).label
    assert made is not None
    assert made.tolist() == [[0, -1], [0, -1]]


@pytest.mark.parametrize("label", [np.array([[1, 1], [1, 0]]), np.array([0.5, 2.0])])
def test_labels_that_are_no_classes_are_refused(label: Array) -> None:
    with pytest.raises(Stalled, match=r"want \[samples\] of whole numbers"):
        Classification().check(labelled(label))


def test_boxes_imply_detection() -> None:
    assert infer(boxes_set(2)[0], {"y": np.zeros((2, 5))})[0].type == "Detection"


def test_a_set_without_a_recognizable_task_is_refused_with_the_names_of_all() -> None:
    with pytest.raises(Stalled, match=r"set evaluation\.task to one of Classification, Detection") as caught:
        infer(labelled(np.array([[3, 4], [5, 6]])), {"y": np.zeros((2, 7))})
    assert caught.value.reason == reasons.DATASET_INVALID


@pytest.mark.parametrize(
    ("task", "label", "output", "told"),
    [
        (MultiLabel(), np.array([[0, 2]]), np.zeros((1, 2), np.float32), "wants 0 or 1"),
        (MultiLabel(), np.array([[0, 1]]), np.zeros((1, 3), np.float32), "label has 2 columns"),
        (Sequence(), np.array([[0, 1]]), np.zeros((1, 3, 4), np.float32), "label has 2 steps"),
        (Sequence(), np.array([[0, 4]]), np.zeros((1, 2, 4), np.float32), "label 4 is out of range"),
        (Sequence(), np.array([[-1, -1]]), np.zeros((1, 2, 4), np.float32), "and some classes"),
        (Regression(), np.array([0.0, 1.0]), np.zeros((2, 3), np.float32), "label has 1 values a sample"),
        (Regression(), np.array([0.0, np.inf]), np.zeros((2, 1), np.float32), "finite numbers"),
        (Detection(), np.array([[0]]), np.zeros((1, 1), np.float32), "boxes are none"),
    ],
)
def test_what_does_not_fit_a_task_is_refused_with_both_sides(task: Any, label: Array, output: Array, told: str) -> None:
    with pytest.raises(Stalled, match="evaluation set: ") as caught:
        compared(task, labelled(label), output, output)
    assert told in caught.value.message
    assert caught.value.reason == reasons.DATASET_INVALID


def test_the_documentation_has_the_table_of_tasks() -> None:
    subprocess.run([sys.executable, ROOT / "docs" / "tasks.py", "--check"], check=True)
