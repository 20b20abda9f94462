"""The task MultiLabel: several labels may hold for one sample; ``label`` is (samples, labels) of 0 and 1.

The first output has one value for each label. A label is predicted above 0.5 if all values of the source lie in 0..1,
which makes them probabilities, otherwise above 0, as they are logits. The score is the F1 of each sample (1 if nothing
holds and nothing is predicted), averaged; unlike a share of right labels, it is not high for a set with few labels per
sample. Its interval is bootstrapped.
"""

from dataclasses import dataclass

import numpy as np

from edge_compressor.datasets import Dataset
from edge_compressor.evaluation import bootstrap
from edge_compressor.evaluation.result import Evaluation, Scores, macro, ratio, recall_changes
from edge_compressor.evaluation.task import Answers, Outputs, first, invalid, labels
from edge_runtime.datatypes import Array


@dataclass(frozen=True)
class MultiLabel:
    name: str = "MultiLabel"

    def check(self, dataset: Dataset) -> None:
        label = labels(dataset, self.name)
        if label.ndim != 2 or not np.isin(label, (0, 1)).all():
            shape = f"{label.dtype} of shape {list(label.shape)}"
            raise invalid(dataset, f"label is {shape}, and task MultiLabel wants 0 or 1, as [samples, labels]")

    def read(self, outputs: Outputs, rows: int, dataset: Dataset) -> Answers:
        output, wanted = first(outputs), labels(dataset, self.name).shape[1]
        if output.dtype.kind != "f" or output.shape[:1] < (rows,) or output[:rows].size != rows * wanted:
            message = f"label has {wanted} columns, and the model's first output is {output.dtype} of shape"
            raise invalid(dataset, f"{message} {list(output.shape)} for {rows} samples, want [{rows}, {wanted}] floats")
        return {"value": output[:rows].reshape(rows, wanted).astype(np.float32)}

    def compare(self, dataset: Dataset, source: Answers | None, artifact: Answers) -> Evaluation:
        label = labels(dataset, self.name).astype(bool)
        limit, note = threshold((source or artifact)["value"])
        after = artifact["value"] > limit
        if source is None:
            own = bootstrap.alone(lambda weights: _mean(weights, sample_f1(label, after)), dataset.size)
            return Evaluation(
                self.name, dataset.size, None, "Labels", "F1 per sample",
                artifact=scores(label, after), own=own, class_names=dataset.class_names, notes=(note,),
            )  # fmt: skip
        before = source["value"] > limit
        both = np.stack([sample_f1(label, before), sample_f1(label, after)], axis=1)
        paired, _, _ = bootstrap.compare(lambda weights: _mean(weights, both), dataset.size)
        return Evaluation(
            task=self.name,
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
