"""The task Regression: numbers; ``label`` is of floats, (samples,) or (samples, values).

The first output has as many values. A sample is right if none of its values is further off than the tolerance, by
default a tenth of the standard deviation of that label over the set: so every regression has an accuracy in 0..1 that
Tango's interval judges. R2 and the mean absolute error are reported beside it.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import numpy as np

from edge_compressor.datasets import Dataset, holds_whole_numbers
from edge_compressor.evaluation.labels import (
    are_zeros_and_ones,
    as_many_whole_numbers,
    is_probability,
    is_single_value,
    one_whole_number,
)
from edge_compressor.evaluation.result import Evaluation, Scores
from edge_compressor.evaluation.task import Answers, Claim, Figure, Outputs, TaskType, first, invalid, labels
from edge_compressor.gate import OwnAnswers, PairedAnswers
from edge_runtime.datatypes import Array
from edgemodel.setting_kinds import PositiveNumber

TOLERATED_SHARE: Final = 0.1
"""The default tolerance, as a share of the standard deviation of a label."""


@dataclass(frozen=True)
class Regression:
    """The comparison of numbers with those of the labels, within a tolerance."""

    tolerance: Decimal | None = None
    """The tolerance in units of the labels; None: TOLERATED_SHARE applies."""

    def check(self, dataset: Dataset) -> Dataset:
        """Returns the data set as this task reads it. Raises Stalled if its labels do not fit the task."""
        label = labels(dataset, TASK.type)
        if label.ndim not in (1, 2) or label.dtype.kind not in "fiu" or not np.isfinite(label).all():
            shape = f"{label.dtype} of shape {list(label.shape)}"
            raise invalid(dataset, f"label is {shape}, and task Regression wants finite numbers, [samples, values]")
        if not (self.limits(dataset) > 0).all():
            raise invalid(dataset, "labels are all the same, so there is no default: set evaluation.tolerance")
        return dataset

    def limits(self, dataset: Dataset) -> Array:
        """Returns the largest error that counts as right, for each value."""
        label = _columns(labels(dataset, TASK.type))
        if self.tolerance is not None:
            return np.full(label.shape[1], float(self.tolerance))
        return np.asarray(TOLERATED_SHARE * label.std(axis=0))

    def read(self, outputs: Outputs, rows: int, dataset: Dataset) -> Answers:
        """Returns the answers that the task compares, from the outputs for ``rows`` samples. Raises Stalled if they do
        not fit."""
        output, wanted = first(outputs), _columns(labels(dataset, TASK.type)).shape[1]
        if output.dtype.kind not in "fiu" or output.shape[:1] < (rows,) or output[:rows].size != rows * wanted:
            message = f"label has {wanted} values a sample, and the model's first output is {output.dtype} of shape"
            raise invalid(dataset, f"{message} {list(output.shape)} for {rows} samples, want [{rows}, {wanted}]")
        return {"value": output[:rows].reshape(rows, wanted).astype(np.float64)}

    def compare(self, dataset: Dataset, source: Answers | None, artifact: Answers) -> Evaluation:
        """Returns the figures of the artifact, against the source's answers; against the labels alone if ``source`` is
        None."""
        label, limits = _columns(labels(dataset, TASK.type)), self.limits(dataset)
        shown = ", ".join(f"{limit:.4g}" for limit in limits[:8]) + (", …" if len(limits) > 8 else "")
        why = "as set" if self.tolerance is not None else "a tenth of the standard deviation of the labels"
        note = f"right is an answer within {shown} of its label ({why})"
        after = _within(label, artifact["value"], limits)
        if source is None:
            return Evaluation(
                TASK.type, dataset.size, None, "Tolerance", "share within tolerance",
                artifact=scores(label, artifact["value"], after),
                own=OwnAnswers(dataset.size, int(after.sum())), notes=(note,),
            )  # fmt: skip
        before = _within(label, source["value"], limits)
        return Evaluation(
            task=TASK.type,
            samples=dataset.size,
            agreement=float(_within(source["value"], artifact["value"], limits).mean()),
            agreement_kind="Tolerance",
            metric="share within tolerance",
            source=scores(label, source["value"], before),
            artifact=scores(label, artifact["value"], after),
            answers=PairedAnswers(
                samples=dataset.size,
                source_right=int(before.sum()),
                artifact_right=int(after.sum()),
                only_source_right=int((before & ~after).sum()),
                only_artifact_right=int((after & ~before).sum()),
            ),
            notes=(note,),
            doubt=doubt(label, source["value"], limits),
        )


def doubt(label: Array, value: Array, limits: Array) -> str:
    """Returns why the answers of the source, (samples, values), do not show that ``label`` is theirs; empty if they do,
    or if a label never varies.

    They do if some are within ``limits``, and one constant answer for all samples, the median, is so less often, or
    further off.
    """
    spread = ((label - label.mean(axis=0)) ** 2).sum(axis=0)
    if not (spread > 0).all():
        return ""
    share, constant = (float(_within(label, one, limits).mean()) for one in (value, np.median(label, axis=0)))
    error = ((value - label) ** 2).sum(axis=0)
    if share > constant or (share > 0 and float((error / spread).mean()) < 1):
        return ""
    return (
        f"the source is within the tolerance for {share:.1%} of the samples, and one constant answer for all would be "
        f"for {constant:.1%}: check that the labels have the unit and the order of the first output, that the inputs "
        "are scaled and ordered as the model expects them, and that evaluation.tolerance is not too small"
    ).replace("%", " %")


def scores(label: Array, value: Array, right: Array) -> Scores:
    """Returns the scores. R2 is the mean over values of 1 minus the ratio of squared errors to those of the mean label;
    None if an answer is not a number."""
    error, spread = value - label, ((label - label.mean(axis=0)) ** 2).sum(axis=0)
    known = bool(np.isfinite(error).all())
    share = float(right.mean())
    figures = {
        "withinTolerance": share,
        "r2": float((1 - (error**2).sum(axis=0) / spread).mean()) if known and (spread > 0).all() else None,
        "meanAbsoluteError": float(np.abs(error).mean()) if known else None,
        "rootMeanSquareError": float(np.sqrt((error**2).mean())) if known else None,
    }
    return Scores(share, figures)


def _columns(label: Array) -> Array:
    return label.reshape(len(label), -1).astype(np.float64)


def _within(label: Array, value: Array, limits: Array) -> Array:
    """Returns whether each value is within ``limits``; one that is not a number never is."""
    return np.asarray((np.abs(value - label) <= limits).all(axis=1))


def infer(dataset: Dataset, outputs: Outputs) -> Claim | None:
    """The task is certain of labels with a fraction, and of whole numbers beyond 0 and 1 for values that are not in
    0..1."""
    label, output = dataset.label, first(outputs)
    assert label is not None
    if not holds_whole_numbers(label):
        return Claim(f"label holds {label.dtype}")
    if (many := as_many_whole_numbers(dataset, outputs)) is not None and not are_zeros_and_ones(many):
        return Claim("label holds whole numbers beyond 0 and 1, as many as the first output has values")
    one = one_whole_number(dataset, outputs)
    if one is None or not is_single_value(output) or are_zeros_and_ones(one) or is_probability(output):
        return None
    return Claim("label holds whole numbers beyond 0 and 1, and the first output one value")


TASK: Final = TaskType(
    type="Regression",
    doc="Label holds values.",
    label="floats, [n] or [n, values]",
    score="share within `--tolerance`, by default a tenth of the standard deviation",
    interval="Tango",
    make=lambda settings: Regression(Decimal(settings["tolerance"]) if settings["tolerance"] else None),
    infer=infer,
    figures={
        "withinTolerance": Figure("within the tolerance", "{:.2%}"),
        "r2": Figure("R²", "{:.4f}"),
        "meanAbsoluteError": Figure("mean absolute error", "{:.4g}"),
        "rootMeanSquareError": Figure("root mean square error", "{:.4g}"),
    },
    settings={
        "tolerance": PositiveNumber(
            "The largest error that still counts as correct, in the unit of the labels. Default: one tenth of the "
            "standard deviation of the labels."
        )
    },
)
