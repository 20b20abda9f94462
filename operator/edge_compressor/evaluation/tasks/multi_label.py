"""The task MultiLabel: several labels may hold for one sample; ``label`` is (samples, labels) of 0 and 1.

The first output has one value for each label. A label is predicted above 0.5 if all values of the source lie in 0..1,
which makes them probabilities, otherwise above 0, as they are logits. The score is the F1 of each sample (1 if nothing
holds and nothing is predicted), averaged; unlike a share of right labels, it is not high for a set with few labels per
sample. Its interval is bootstrapped.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from edge_compressor.datasets import Dataset
from edge_compressor.evaluation import bootstrap
from edge_compressor.evaluation.class_scores import MIN_SAMPLES, beats_chance
from edge_compressor.evaluation.labels import adds_up_to_one, are_zeros_and_ones, as_many_whole_numbers, is_one_hot
from edge_compressor.evaluation.result import Evaluation, Scores, macro, ratio, recall_changes
from edge_compressor.evaluation.task import Answers, Claim, Figure, Outputs, TaskType, first, invalid, labels
from edge_runtime.datatypes import Array


@dataclass(frozen=True)
class MultiLabel:
    """The comparison of sets of classes with those of the labels."""

    def check(self, dataset: Dataset) -> Dataset:
        """Returns the data set as this task reads it. Raises Stalled if its labels do not fit the task."""
        label = labels(dataset, TASK.type)
        if label.ndim != 2 or not np.isin(label, (0, 1)).all():
            shape = f"{label.dtype} of shape {list(label.shape)}"
            raise invalid(dataset, f"label is {shape}, and task MultiLabel wants 0 or 1, as [samples, labels]")
        return dataset

    def read(self, outputs: Outputs, rows: int, dataset: Dataset) -> Answers:
        """Returns the answers that the task compares, from the outputs for ``rows`` samples. Raises Stalled if they do
        not fit."""
        output, wanted = first(outputs), labels(dataset, TASK.type).shape[1]
        if output.dtype.kind != "f" or output.shape[:1] < (rows,) or output[:rows].size != rows * wanted:
            message = f"label has {wanted} columns, and the model's first output is {output.dtype} of shape"
            raise invalid(dataset, f"{message} {list(output.shape)} for {rows} samples, want [{rows}, {wanted}] floats")
        return {"value": output[:rows].reshape(rows, wanted).astype(np.float32)}

    def compare(self, dataset: Dataset, source: Answers | None, artifact: Answers) -> Evaluation:
        """Returns the figures of the artifact, against the source's answers; against the labels alone if ``source`` is
        None."""
        label = labels(dataset, TASK.type).astype(bool)
        limit, note = threshold((source or artifact)["value"])
        after = artifact["value"] > limit
        if source is None:
            own = bootstrap.alone(lambda weights: _mean(weights, sample_f1(label, after)), dataset.size)
            return Evaluation(
                TASK.type, dataset.size, None, "Labels", "F1 per sample",
                artifact=scores(label, after), own=own, class_names=dataset.class_names, notes=(note,),
            )  # fmt: skip
        before = source["value"] > limit
        both = np.stack([sample_f1(label, before), sample_f1(label, after)], axis=1)
        paired, _, _ = bootstrap.compare(lambda weights: _mean(weights, both), dataset.size)
        return Evaluation(
            task=TASK.type,
            samples=dataset.size,
            agreement=float((before == after).all(axis=1).mean()),
            agreement_kind="Labels",
            metric="F1 per sample",
            source=scores(label, before),
            artifact=scores(label, after),
            answers=paired,
            classes=tuple(recall_changes(label, before, after, np.arange(label.shape[1]))),
            class_names=dataset.class_names,
            notes=(note,),
            doubt=doubt(label, before),
        )


def doubt(label: Array, predicted: Array) -> str:
    """Returns why the predictions of the source, (samples, labels), do not show that ``label`` is theirs; empty if they
    do, or if no label varies."""
    count, varies = len(label), (label.min(axis=0) != label.max(axis=0))
    if count < MIN_SAMPLES or not varies.any():
        return ""
    label, predicted = label[:, varies], predicted[:, varies]
    hits, by_chance = int((label & predicted).sum()), label.mean(axis=0) * predicted.mean(axis=0)
    if beats_chance(hits, count * by_chance.sum(), count * float((by_chance * (1 - by_chance)).sum())):
        return ""
    return (
        f"the source finds {hits} of {int(label.sum())} true labels, and answers that have nothing to do with the "
        f"labels would find {count * by_chance.sum():.0f}: check the order of the labels, and that the inputs are "
        "scaled and ordered as the model expects them"
    )


def threshold(values: Array) -> tuple[float, str]:
    """Returns 0.5 for probabilities, 0 for logits, and which of the two it is, in words."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    seen = f"outputs lie in {low:.3g} to {high:.3g}"
    if low >= 0 and high <= 1:
        return 0.5, f"{seen}: taken for probabilities, a label is predicted above 0.5"
    return 0.0, f"{seen}: taken for logits, a label is predicted above 0"


def sample_f1(label: Array, predicted: Array) -> Array:
    """Returns the F1 of each sample, (samples,): twice the right labels by the sum of true and predicted ones; 1 if
    there are none."""
    both = (label & predicted).sum(axis=1)
    size = label.sum(axis=1) + predicted.sum(axis=1)
    return np.where(size == 0, 1.0, ratio(2 * both, size))


def scores(label: Array, predicted: Array) -> Scores:
    """Returns the F1 figures of predicted sets, both bool of shape (samples, classes)."""
    right, size = (label & predicted).sum(axis=0), label.sum(axis=0) + predicted.sum(axis=0)
    mean = float(sample_f1(label, predicted).mean())
    figures = {
        "sampleF1": mean,
        "macroF1": macro(ratio(2 * right, size), size > 0),
        "microF1": float(ratio(2 * right.sum(), size.sum())),
        "exactMatch": float((label == predicted).all(axis=1).mean()),
        "labelsRight": float((label == predicted).mean()),
    }
    return Scores(mean, figures)


def _mean(weights: Array, values: Array) -> Array:
    """Returns the weighted mean of each column."""
    return np.atleast_1d(weights @ values / weights.sum())


def infer(dataset: Dataset, outputs: Outputs) -> Claim | None:
    """Returns the claim that a data set is of this task; None if its labels are not 0 or 1 for each value."""
    label = as_many_whole_numbers(dataset, outputs)
    if label is None or not are_zeros_and_ones(label):
        return None
    if not is_one_hot(label):
        return Claim("label holds 0 or 1 for each value of the first output")
    if adds_up_to_one(first(outputs)):
        return None
    message = (
        "label holds one 1 for each sample, and the first output does not add up to 1: for one class each set "
        "evaluation.task: Classification (--task Classification), for labels that may hold together MultiLabel"
    )
    return Claim(message, is_certain=False)


TASK: Final = TaskType(
    type="MultiLabel",
    doc="Label holds 0 or 1 for each class.",
    label="0 or 1, [n, labels]",
    score="F1 of each sample, averaged",
    interval="bootstrap",
    make=lambda settings: MultiLabel(),
    infer=infer,
    figures={
        "sampleF1": Figure("F1 per sample", "{:.2%}"),
        "macroF1": Figure("F1, macro", "{:.2%}"),
        "microF1": Figure("F1, micro", "{:.2%}"),
        "exactMatch": Figure("samples with every label right", "{:.2%}"),
        "labelsRight": Figure("labels right", "{:.2%}"),
    },
)
