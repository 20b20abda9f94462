"""The task Classification: one class per sample; ``label`` holds one whole number per sample.

The first output has a score for each class, or is the class itself. The score is the share of right answers, compared
by Tango's interval for paired proportions.
"""

from dataclasses import dataclass

import numpy as np

from edge_compressor.datasets import Dataset, check_class_labels, check_classes, predicted_classes
from edge_compressor.evaluation.calibration_error import confidence, expected_calibration_error
from edge_compressor.evaluation.result import Evaluation, Scores, macro, ratio, recall_changes
from edge_compressor.evaluation.task import Answers, Outputs, first, labels
from edge_compressor.gate import OwnAnswers, PairedAnswers
from edge_runtime.datatypes import Array


@dataclass(frozen=True)
class Classification:
    name: str = "Classification"

    def check(self, dataset: Dataset) -> None:
        labels(dataset, self.name)
        check_class_labels(dataset)

    def read(self, outputs: Outputs, rows: int, dataset: Dataset) -> Answers:
        output = first(outputs)
        classes, count = predicted_classes(output, rows, dataset.what)
        if count is None:
            return {"class": classes}
        check_classes(dataset, count)
        return {"class": classes, **confidence(output[:rows].reshape(rows, -1))}

    def compare(self, dataset: Dataset, source: Answers | None, artifact: Answers) -> Evaluation:
        label = labels(dataset, self.name).astype(np.int64)
        if source is not None:
            return _compared(dataset, source, artifact)
        right = artifact["class"] == label
        classes = int(max(label.max(), artifact["class"].max())) + 1
        return Evaluation(
            task=self.name,
            samples=dataset.size,
            agreement=None,
            agreement_kind="Argmax",
            artifact=_scored(label, artifact, classes),
            own=OwnAnswers(dataset.size, int(right.sum())),
            class_names=dataset.class_names,
        )


def scores(label: Array, predicted: Array, classes: int) -> Scores:
    """Returns the scores. Macro means are over the classes that occur among labels or predictions; 0 / 0 counts as
    0."""
    known = predicted >= 0
    cells = np.bincount(label[known] * classes + predicted[known], minlength=classes * classes)
    confusion = cells.reshape(classes, classes)
    right = np.diag(confusion).astype(float)
    actual = np.bincount(label, minlength=classes).astype(float)
    guessed = confusion.sum(axis=0).astype(float)
    occurs = (actual + guessed) > 0
    accuracy = float(right.sum() / len(label))
    figures = {
        "accuracy": accuracy,
        "macroPrecision": macro(ratio(right, guessed), occurs),
        "macroRecall": macro(ratio(right, actual), occurs),
        "macroF1": macro(ratio(2 * right, actual + guessed), occurs),
    }
    return Scores(accuracy, figures, confusion)


def _compared(dataset: Dataset, source: Answers, artifact: Answers) -> Evaluation:
    label = labels(dataset, "Classification").astype(np.int64)
    before, after = source["class"], artifact["class"]
    source_right, artifact_right = before == label, after == label
    classes = int(max(label.max(), before.max(), after.max())) + 1
    numbers = np.unique(label)
    of_class = label[:, None] == numbers
    changes = recall_changes(of_class, of_class & source_right[:, None], of_class & artifact_right[:, None], numbers)
    return Evaluation(
        task="Classification",
        samples=dataset.size,
        agreement=float((before == after).mean()),
        agreement_kind="Argmax",
        source=_scored(label, source, classes),
        artifact=_scored(label, artifact, classes),
        answers=PairedAnswers(
            samples=dataset.size,
            source_right=int(source_right.sum()),
            artifact_right=int(artifact_right.sum()),
            only_source_right=int((source_right & ~artifact_right).sum()),
            only_artifact_right=int((artifact_right & ~source_right).sum()),
        ),
        classes=tuple(changes),
        class_names=dataset.class_names,
    )


def _scored(label: Array, answers: Answers, classes: int) -> Scores:
    plain = scores(label, answers["class"], classes)
    if "softmax" not in answers:
        return plain
    error = expected_calibration_error(answers, answers["class"] == label)
    return Scores(plain.score, {**plain.figures, "calibrationError": error}, plain.confusion)
