"""The task Sequence: a class for each step; ``label`` is (samples, steps) of whole numbers, -1 after the end of a
sequence.

The first output has a score for each class at each step, the probability of class 1 alone, or is the class itself. For
a stateful model it is the output of each step. The score is the share of right steps among those with a label. Steps of
one sequence are dependent, so the interval is bootstrapped over sequences.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from edge_compressor.datasets import PADDING, PROBABLE, Dataset, holds_whole_numbers
from edge_compressor.evaluation import bootstrap
from edge_compressor.evaluation.class_scores import FIGURES, doubt_about_classes, scores
from edge_compressor.evaluation.labels import has_steps, with_whole_numbers
from edge_compressor.evaluation.result import Evaluation, ratio
from edge_compressor.evaluation.task import Answers, Claim, Outputs, TaskType, first, invalid, labels
from edge_runtime.datatypes import Array


@dataclass(frozen=True)
class Sequence:
    """The comparison of the class of each step with that of the labels."""

    def check(self, dataset: Dataset) -> Dataset:
        """Returns the data set as this task reads it. Raises Stalled if its labels do not fit the task."""
        labels(dataset, TASK.type)
        label = with_whole_numbers(dataset)
        if label.ndim != 2 or label.dtype.kind not in "iu":
            shape = f"{label.dtype} of shape {list(label.shape)}"
            raise invalid(dataset, f"label is {shape}, and task Sequence wants whole numbers, [samples, steps]")
        if int(label.min()) < PADDING or int(label.max()) < 0:
            raise invalid(dataset, "label wants classes from 0, and -1 where a sequence has ended, and some classes")
        return replace(dataset, label=label)

    def read(self, outputs: Outputs, rows: int, dataset: Dataset) -> Answers:
        """Returns the answers that the task compares, from the outputs for ``rows`` samples. Raises Stalled if they do
        not fit."""
        output, steps = first(outputs), labels(dataset, TASK.type).shape[1]
        if output.dtype.kind in "iu" and output.shape[1:2] == (steps,) and output[:rows].size == rows * steps:
            return {"class": output[:rows].reshape(rows, steps).astype(np.int64)}
        if output.dtype.kind != "f" or output.ndim != 3 or output.shape[1] != steps:
            shape = f"{output.dtype} of shape {list(output.shape)}"
            message = f"label has {steps} steps, and the model's first output is {shape} for {rows} samples"
            raise invalid(dataset, f"{message}, want [{rows}, {steps}, classes]")
        if output.shape[2] == 1:
            return {"class": np.where(np.isnan(output[:rows, :, 0]), -1, output[:rows, :, 0] > PROBABLE).astype(int)}
        if (highest := int(labels(dataset, TASK.type).max())) >= output.shape[2]:
            raise invalid(dataset, f"label {highest} is out of range: the first output has {output.shape[2]} classes")
        scored = output[:rows]
        return {"class": np.where(np.isnan(scored).any(axis=2), -1, scored.argmax(axis=2))}

    def compare(self, dataset: Dataset, source: Answers | None, artifact: Answers) -> Evaluation:
        """Returns the figures of the artifact, against the source's answers; against the labels alone if ``source`` is
        None."""
        label = labels(dataset, TASK.type).astype(np.int64)
        there = label != PADDING
        after = artifact["class"]
        classes = int(max(label.max(), after.max(), -1 if source is None else source["class"].max())) + 1
        if source is None:
            counts = np.stack([(there & (after == label)).sum(axis=1), there.sum(axis=1)], axis=1)
            own = bootstrap.alone(lambda weights: ratio((weights @ counts)[:1], (weights @ counts)[1:]), dataset.size)
            return Evaluation(
                TASK.type, dataset.size, None, "Steps", "accuracy of steps",
                artifact=scores(label[there], after[there], classes), own=own, class_names=dataset.class_names,
            )  # fmt: skip
        before = source["class"]
        numbers = np.unique(label[there])
        found = [_by_class(label, there & (one == label), numbers) for one in (before, after)]
        totals = _by_class(label, there, numbers)

        def score(weights: Array) -> Array:
            """Returns the scores of source and artifact over all steps, then each class of the source, then each of the
            artifact."""
            right, whole = [weights @ one for one in found], weights @ totals
            every = [ratio(one.sum(), whole.sum()) for one in right]
            return np.concatenate([every, *(np.where(whole > 0, ratio(one, whole), np.nan) for one in right)])

        paired, seen, drawn = bootstrap.compare(score, dataset.size)
        return Evaluation(
            task=TASK.type,
            samples=dataset.size,
            agreement=float((before == after)[there].mean()),
            agreement_kind="Steps",
            metric="accuracy of steps",
            source=scores(label[there], before[there], classes),
            artifact=scores(label[there], after[there], classes),
            answers=paired,
            classes=bootstrap.class_changes(numbers, totals.sum(axis=0), seen[2:], drawn[:, 2:], dataset.size),
            class_names=dataset.class_names,
            doubt=doubt_about_classes(label[there], before[there]),
        )


def _by_class(label: Array, chosen: Array, numbers: Array) -> Array:
    """Returns how many chosen steps each sequence has of each class, (samples, classes)."""
    return np.stack([(chosen & (label == number)).sum(axis=1) for number in numbers], axis=1)


def infer(dataset: Dataset, outputs: Outputs) -> Claim | None:
    """Returns the claim that a data set is of this task; None if its labels are not a class for each step."""
    label = dataset.label
    if label is None or not holds_whole_numbers(label) or not has_steps(label, first(outputs)):
        return None
    return Claim("label holds a whole number for each step of the first output")


TASK: Final = TaskType(
    type="Sequence",
    doc="Label holds one class per time step.",
    label="classes, [n, steps], -1 after the end",
    score="accuracy of steps",
    interval="bootstrap, by sequences",
    make=lambda settings: Sequence(),
    infer=infer,
    figures=FIGURES,
)
