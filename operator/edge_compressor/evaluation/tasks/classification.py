"""The task Classification: one class per sample; ``label`` holds one whole number per sample.

The first output has a score for each class, or is the class itself. The score is the share of right answers, compared
by Tango's interval for paired proportions.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from edge_compressor.datasets import VALUES_HINT, Dataset, check_class_labels, check_classes, predicted_classes
from edge_compressor.evaluation.calibration_error import confidence, expected_calibration_error
from edge_compressor.evaluation.class_scores import FIGURES, doubt_about_classes, scores
from edge_compressor.evaluation.labels import (
    adds_up_to_one,
    are_zeros_and_ones,
    as_many_whole_numbers,
    is_one_hot,
    is_probability,
    is_single_value,
    one_whole_number,
    range_in_words,
    with_whole_numbers,
)
from edge_compressor.evaluation.result import Evaluation, Scores, recall_changes
from edge_compressor.evaluation.task import Answers, Claim, Figure, Outputs, TaskType, first, labels
from edge_compressor.gate import OwnAnswers, PairedAnswers
from edge_runtime.datatypes import Array


@dataclass(frozen=True)
class Classification:
    """The task. Labels of a single column, and those with one 1 in each row, become one number per sample."""

    def check(self, dataset: Dataset) -> Dataset:
        """Returns the data set as this task reads it. Raises Stalled if its labels do not fit the task."""
        label = labels(dataset, TASK.type)
        if label.ndim == 2 and is_one_hot(label):
            return replace(dataset, label=label.argmax(axis=1))
        whole = with_whole_numbers(dataset)
        made = replace(dataset, label=whole.reshape(len(whole)) if whole.size == len(whole) else whole)
        check_class_labels(made)
        return made

    def read(self, outputs: Outputs, rows: int, dataset: Dataset) -> Answers:
        """Returns the answers that the task compares, from the outputs for ``rows`` samples. Raises Stalled if they do
        not fit."""
        output = first(outputs)
        classes, count = predicted_classes(output, rows, dataset.what)
        if count is None:
            return {"class": classes}
        check_classes(dataset, count)
        return {"class": classes, **confidence(output[:rows].reshape(rows, -1))}

    def compare(self, dataset: Dataset, source: Answers | None, artifact: Answers) -> Evaluation:
        """Returns the figures of the artifact, against the source's answers; against the labels alone if ``source`` is
        None."""
        label = labels(dataset, TASK.type).astype(np.int64)
        if source is not None:
            return _compared(dataset, source, artifact)
        right = artifact["class"] == label
        classes = int(max(label.max(), artifact["class"].max())) + 1
        return Evaluation(
            task=TASK.type,
            samples=dataset.size,
            agreement=None,
            agreement_kind="Argmax",
            artifact=_scored(label, artifact, classes),
            own=OwnAnswers(dataset.size, int(right.sum())),
            class_names=dataset.class_names,
        )


def _compared(dataset: Dataset, source: Answers, artifact: Answers) -> Evaluation:
    label = labels(dataset, TASK.type).astype(np.int64)
    before, after = source["class"], artifact["class"]
    source_right, artifact_right = before == label, after == label
    classes = int(max(label.max(), before.max(), after.max())) + 1
    numbers = np.unique(label)
    of_class = label[:, None] == numbers
    changes = recall_changes(of_class, of_class & source_right[:, None], of_class & artifact_right[:, None], numbers)
    return Evaluation(
        task=TASK.type,
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
        doubt=doubt_about_classes(label, before),
    )


def _scored(label: Array, answers: Answers, classes: int) -> Scores:
    plain = scores(label, answers["class"], classes)
    if "softmax" not in answers:
        return plain
    error = expected_calibration_error(answers, answers["class"] == label)
    return replace(plain, figures={**plain.figures, "calibrationError": error})


def infer(dataset: Dataset, outputs: Outputs) -> Claim | None:
    """The task is certain of one whole number per sample, unless the output is one float, and of rows with one 1 for
    probabilities."""
    output = first(outputs)
    if (many := as_many_whole_numbers(dataset, outputs)) is not None:
        if is_one_hot(many) and adds_up_to_one(output):
            return Claim("each row of label holds one 1, and the first output adds up to 1")
        return None
    if (label := one_whole_number(dataset, outputs)) is None:
        return None
    if not is_single_value(output):
        kept = f" ({label.dtype})" if label.dtype.kind == "f" else ""
        return Claim(f"label holds a whole number{kept} for each sample")
    binary, probable = are_zeros_and_ones(label), is_probability(output)
    if binary and probable:
        return Claim("label holds 0 and 1, and the first output one probability for each sample")
    if binary:
        low, high = float(np.nanmin(output)), float(np.nanmax(output))
        message = (
            f"{range_in_words(label)}, and the first output one value for each sample, from {low:.3g} to {high:.3g}, "
            f"which is no probability: for classes let the model end with a Sigmoid; {VALUES_HINT}"
        )
        return Claim(message, is_certain=False)
    if probable:
        message = (
            f"{range_in_words(label)}, and the first output one number from 0 to 1 for each sample, as a probability "
            f"is: classes count from 0, so want 0 and 1; {VALUES_HINT}"
        )
        return Claim(message, is_certain=False)
    return None


TASK: Final = TaskType(
    type="Classification",
    doc="Label holds one class per sample.",
    label="whole numbers, [n]",
    score="accuracy",
    interval="Tango",
    make=lambda settings: Classification(),
    infer=infer,
    figures={**FIGURES, "calibrationError": Figure("expected calibration error", "{:.2%}")},
)
