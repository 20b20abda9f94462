"""The task Detection: boxes and classes; the set has ``boxes`` (samples, m, 4) and ``label`` (samples, m), -1 for none.

Outputs are found by their names (box, score or conf, class or label), otherwise by their shapes; boxes are corners (x1,
y1, x2, y2) in the unit of the labels' boxes. There is one score per box, beside classes, or one for each class. A box
with a score of 0 or less, or a class below 0, does not count.

The score is the mAP at an IoU of 0.5: the mean over classes of the area under the precision-recall curve, made monotone
(M. Everingham and others, *The PASCAL visual object classes challenge: a retrospective*, IJCV 111 (2015), 98-136). The
interval is bootstrapped over images.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from edge_compressor.datasets import Dataset
from edge_compressor.evaluation import bootstrap
from edge_compressor.evaluation.labels import with_whole_numbers
from edge_compressor.evaluation.result import Evaluation, Scores, ratio
from edge_compressor.evaluation.task import Answers, Claim, Figure, Outputs, TaskType, invalid, labels
from edge_runtime.datatypes import Array

BOXES: Final = "boxes"
IOU: Final = 0.5
CONFIDENT: Final = 0.5
"""The score from which boxes count for the agreement of source and artifact on an image."""
MIN_SCORE: Final = 0.01
"""The mAP of a source below which boxes of set and model cannot mean the same."""
_NAMES: Final = {"boxes": ("box",), "scores": ("score", "conf"), "classes": ("class", "label")}


@dataclass(frozen=True)
class Detection:
    """The comparison of boxes and classes with those of the labels."""

    def check(self, dataset: Dataset) -> Dataset:
        """Returns the data set as this task reads it. Raises Stalled if its labels do not fit the task."""
        labels(dataset, TASK.type)
        label, boxes = with_whole_numbers(dataset), dataset.arrays.get(BOXES)
        if boxes is None or boxes.shape != (*label.shape, 4) or label.ndim != 2 or label.dtype.kind not in "iu":
            shape = "none" if boxes is None else f"of shape {list(boxes.shape)}"
            message = f"boxes are {shape}, label is {label.dtype} of shape {list(label.shape)}"
            raise invalid(dataset, f"{message}; want boxes [samples, m, 4] and whole label [samples, m]")
        if int(label.max()) < 0:
            raise invalid(dataset, "no box has a class: every label is below 0")
        _check_corners(np.asarray(boxes), label, dataset)
        return replace(dataset, label=label)

    def read(self, outputs: Outputs, rows: int, dataset: Dataset) -> Answers:
        """Returns the answers that the task compares, from the outputs for ``rows`` samples. Raises Stalled if they do
        not fit."""
        boxes, scores, classes = _found(outputs, dataset)
        if dataset.batch == 1 and boxes.ndim == 2:  # a model for one image may lack the axis of images
            boxes, scores = boxes[None], scores[None]
            classes = None if classes is None else classes[None]
        if classes is None:
            classes, scores = scores.argmax(axis=2), scores.max(axis=2)
        if not boxes.shape[:2] == scores.shape == classes.shape or len(boxes) < rows:
            shapes = f"boxes {list(boxes.shape)}, scores {list(scores.shape)}, classes {list(classes.shape)}"
            raise invalid(dataset, f"outputs of other shapes than task Detection wants for {rows} samples: {shapes}")
        there = (scores > 0) & np.isfinite(boxes).all(axis=2)
        numbers = np.where(there, np.nan_to_num(classes, nan=-1).round(), -1).astype(np.int64)
        kept: Answers = {"boxes": boxes.astype(np.float32), "score": scores.astype(np.float32), "class": numbers}
        return {name: array[:rows] for name, array in kept.items()}

    def compare(self, dataset: Dataset, source: Answers | None, artifact: Answers) -> Evaluation:
        """Returns the figures of the artifact, against the source's answers; against the labels alone if ``source`` is
        None."""
        label = labels(dataset, TASK.type).astype(np.int64)
        truth: Answers = {"boxes": np.asarray(dataset.arrays[BOXES], dtype=np.float32), "class": label}
        numbers = np.unique(label[label >= 0])
        totals = np.stack([(label == number).sum(axis=1) for number in numbers], axis=1).astype(np.float64)
        after = _Curves(artifact, truth, numbers, totals)
        if source is None:
            return Evaluation(
                TASK.type, dataset.size, None, "Detections", "mAP at IoU 0.5",
                artifact=_scores(after(np.ones(dataset.size))),
                own=bootstrap.alone(lambda weights: np.array([np.nanmean(after(weights))]), dataset.size),
                class_names=dataset.class_names,
            )  # fmt: skip
        before = _Curves(source, truth, numbers, totals)

        def score(weights: Array) -> Array:
            """Returns the mAP of source and artifact, then each class of the source, then each of the artifact."""
            each = [before(weights), after(weights)]
            return np.concatenate([[np.nanmean(one) for one in each], *each])

        paired, seen, drawn = bootstrap.compare(score, dataset.size)
        each = np.split(seen[2:], 2)
        return Evaluation(
            task=TASK.type,
            samples=dataset.size,
            agreement=_agreement(source, artifact),
            agreement_kind="Detections",
            metric="mAP at IoU 0.5",
            source=_scores(each[0]),
            artifact=_scores(each[1]),
            answers=paired,
            per_class="average precision",
            doubt=_doubt(float(seen[0]), source, truth),
            classes=bootstrap.class_changes(numbers, totals.sum(axis=0), seen[2:], drawn[:, 2:], dataset.size),
            class_names=dataset.class_names,
        )


def _check_corners(boxes: Array, label: Array, dataset: Dataset) -> None:
    """Raises Stalled(DatasetInvalid) unless each box with a class has finite corners, the lower one first."""
    whole = np.isfinite(boxes).all(axis=2) & (boxes[..., 2:] > boxes[..., :2]).all(axis=2)
    if (whole | (label < 0)).all():
        return
    image, place = (int(one) for one in np.argwhere(~whole & (label >= 0))[0])
    message = (
        f"box {place} of sample {image} is {boxes[image, place].tolist()}, want corners [x1, y1, x2, y2] with x1 < x2 "
        "and y1 < y2: for a centre or a corner with width and height, compute the two corners; "
        "a box that only fills up the array wants the label -1"
    )
    raise invalid(dataset, message)


def _doubt(score: float, source: Answers, truth: Answers) -> str:
    """Returns why the boxes of the source do not show that the labels are theirs; empty if they do."""
    if score >= MIN_SCORE:
        return ""
    found, wanted = (
        f"{one['boxes'][one['class'] >= 0].min(initial=np.inf):.4g} to "
        f"{one['boxes'][one['class'] >= 0].max(initial=-np.inf):.4g}"
        for one in (source, truth)
    )
    return (
        f"the source finds almost none of the boxes (mAP {score:.4f}): its boxes have values of {found}, those of the "
        f"set of {wanted}; both want corners [x1, y1, x2, y2] in one unit, and classes that count from 0"
    )


class _Curves:
    """The average precision of each class for any weights of the images, which do not change the matching of boxes."""

    def __init__(self, found: Answers, truth: Answers, numbers: Array, totals: Array) -> None:
        self._totals = totals
        self._by_class = [_matched(found, truth, int(number)) for number in numbers]

    def __call__(self, weights: Array) -> Array:
        """Returns the average precision of shape (classes,); NaN for a class of which no box was drawn."""
        wanted = weights @ self._totals
        pairs = zip(self._by_class, wanted, strict=True)
        return np.array([average_precision(right, weights[images], total) for (images, right), total in pairs])


def average_precision(right: Array, weights: Array, wanted: float) -> float:
    """Returns the average precision. ``right`` says of each box, from the highest score down, whether it matches one of
    the ``wanted``; NaN if none is wanted."""
    if wanted <= 0:
        return float("nan")
    hits, all_so_far = np.cumsum(weights * right), np.cumsum(weights)
    precision = ratio(hits, all_so_far)
    best_after = np.maximum.accumulate(precision[::-1])[::-1]
    return float((weights * right * best_after).sum() / wanted)


def overlap(one: Array, others: Array) -> Array:
    """Returns the intersection over union of a box (4,) with boxes (n, 4)."""
    low, high = np.maximum(one[:2], others[:, :2]), np.minimum(one[2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    areas = np.clip(others[:, 2:] - others[:, :2], 0, None).prod(axis=1)
    union = areas + np.clip(one[2:] - one[:2], 0, None).prod() - shared
    return ratio(shared, union)


def _matched(found: Answers, truth: Answers, number: int) -> tuple[Array, Array]:
    """Returns (image, whether it is right) of all boxes of a class, from the highest score down.

    A box is right if its overlap with the true box that it covers best is at least IOU, and no earlier box matched that
    one.
    """
    images, places = np.nonzero(found["class"] == number)
    order = np.argsort(-found["score"][images, places], kind="stable")
    images, places = images[order], places[order]
    right, taken = np.zeros(len(images)), set()
    there = {image: np.flatnonzero(truth["class"][image] == number) for image in np.unique(images)}
    for position, (image, place) in enumerate(zip(images, places, strict=True)):
        candidates = there[image]
        if not len(candidates):
            continue
        covered = overlap(found["boxes"][image, place], truth["boxes"][image, candidates])
        best = int(covered.argmax())
        if covered[best] >= IOU and (image, candidates[best]) not in taken:
            taken.add((image, candidates[best]))
            right[position] = 1
    return images, right


def _agreement(source: Answers, artifact: Answers) -> float:
    """Returns the share of images on which each confident box of one has a counterpart of the same class and place in
    the other."""
    sure = [np.where(one["score"] >= CONFIDENT, one["class"], -1) for one in (source, artifact)]
    alike = (sure[0] >= 0).sum(axis=1) == (sure[1] >= 0).sum(axis=1)
    found, truth = {**artifact, "class": sure[1]}, {**source, "class": sure[0]}
    for number in np.unique(sure[1][sure[1] >= 0]):
        images, right = _matched(found, truth, int(number))
        alike[images[right == 0]] = False
    return float(alike.mean())


def _scores(each: Array) -> Scores:
    mean = float(np.nanmean(each))
    return Scores(mean, {"meanAveragePrecision50": mean})


def _found(outputs: Outputs, dataset: Dataset) -> tuple[Array, Array, Array | None]:
    """Returns boxes, scores, and classes; None for classes if there is a score for each class."""
    by_name = {
        part: next((array for name, array in outputs.items() if any(word in name.lower() for word in words)), None)
        for part, words in _NAMES.items()
    }
    floats = [array for array in outputs.values() if array.dtype.kind == "f"]
    boxes, scores, classes = by_name["boxes"], by_name["scores"], by_name["classes"]
    if boxes is None:
        boxes = next((array for array in floats if array.shape[-1:] == (4,)), None)
    if scores is None:
        scores = next((array for array in floats if array is not boxes and array is not classes), None)
    if classes is None:
        classes = next((array for array in outputs.values() if array.dtype.kind in "iu" and array.ndim >= 1), None)
    one_each = scores is not None and boxes is not None and scores.ndim == boxes.ndim
    if boxes is None or scores is None or boxes.shape[-1:] != (4,) or (classes is None and not one_each):
        shapes = ", ".join(f"{name} {array.dtype} {list(array.shape)}" for name, array in outputs.items())
        message = "task Detection wants outputs for boxes [samples, k, 4], scores and classes [samples, k]"
        raise invalid(dataset, f"{message}; the model has {shapes}")
    return boxes, scores, None if one_each else classes


TASK: Final = TaskType(
    type="Detection",
    doc="The dataset has label and boxes.",
    label="classes, [n, m], -1 for none, and `boxes` [n, m, 4]",
    score="mAP at IoU 0.5",
    interval="bootstrap",
    make=lambda settings: Detection(),
    infer=lambda dataset, outputs: Claim("the set has boxes") if BOXES in dataset.arrays else None,
    figures={"meanAveragePrecision50": Figure("mAP at IoU 0.5", "{:.2%}")},
    arrays=(BOXES,),
)
