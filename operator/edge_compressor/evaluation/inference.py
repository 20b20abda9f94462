"""The inference of the task from labels and outputs, and labels in the form that a task takes.

Types say little: pandas makes floats of classes as soon as one is missing, and counts are whole numbers. So the values
of labels and of one run's outputs decide, and if they are ambiguous, the user is asked.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from edge_compressor.datasets import VALUES_HINT, Dataset, as_whole_numbers, holds_whole_numbers
from edge_compressor.evaluation.task import Outputs, first, invalid
from edge_runtime.datatypes import Array
from edgemodel.compression_request import AUTO, EVALUATION_TASKS

_SUM_ERROR: Final = 0.01
"""The largest distance from 1 of a sum of probabilities in low precision."""
_WHOLE_TASKS: Final = ("Classification", "Sequence", "Detection")


def infer(dataset: Dataset, outputs: Outputs) -> tuple[str, str]:
    """Returns the task of a labelled set, and the reason for it. Raises Stalled(DatasetInvalid) if none matches.

    ``outputs`` are those of one run.
    """
    label: Array | None = dataset.label
    assert label is not None
    output = first(outputs)
    if dataset.boxes is not None:
        return "Detection", "inferred: the set has boxes"
    if not holds_whole_numbers(label):
        return "Regression", f"inferred: label holds {label.dtype}"
    per_step = output.ndim == 3 or output.dtype.kind in "iu"
    if label.ndim == 2 and per_step and output.shape[1:2] == label.shape[1:]:
        return "Sequence", "inferred: label holds a whole number for each step of the first output"
    if label.size == len(label):
        return _of_one_number(dataset, label.reshape(len(label)), output)
    if label.ndim == 2 and output.shape[1:] == label.shape[1:]:
        return _of_as_many(label, output)
    shapes = f"label is {label.dtype} of shape {list(label.shape)}, the first output of shape {list(output.shape)}"
    tasks = ", ".join(task for task in EVALUATION_TASKS if task != AUTO)
    raise invalid(dataset, f"{shapes}: the task cannot be inferred, set evaluation.task to one of {tasks}")


def labelled_for(task: str, dataset: Dataset) -> Dataset:
    """Returns ``dataset`` with its label in the form that ``task`` takes, if no value is lost.

    Whole numbers in floats become whole numbers. For Classification a single column becomes one number per sample, and
    so does a matrix with one 1 in each row.
    """
    label: Array | None = dataset.label
    if label is None or task not in _WHOLE_TASKS:
        return dataset
    if task == "Classification":
        if label.ndim == 2 and is_one_hot(label):
            return replace(dataset, label=label.argmax(axis=1))
        label = label.reshape(len(label)) if label.size == len(label) else label
    return replace(dataset, label=as_whole_numbers(label))


def is_one_hot(label: Array) -> bool:
    """Returns whether each row of ``label``, (samples, classes), has one 1 and is 0 otherwise."""
    if label.shape[1] < 2:
        return False
    return bool(np.isin(label, (0, 1)).all() and (np.count_nonzero(label, axis=1) == 1).all())


def _of_one_number(dataset: Dataset, label: Array, output: Array) -> tuple[str, str]:
    """Returns the task of a label with one whole number per sample."""
    width = output[:1].size
    if output.dtype.kind != "f" or width != 1:
        kept = f" ({label.dtype})" if label.dtype.kind == "f" else ""
        return "Classification", f"inferred: label holds a whole number{kept} for each sample"
    low, high = float(np.nanmin(output)), float(np.nanmax(output))
    is_probability = low >= 0 and high <= 1
    is_binary = bool(np.isin(label, (0, 1)).all())
    if is_binary and is_probability:
        return "Classification", "inferred: label holds 0 and 1, and the first output one probability for each sample"
    if not is_binary and not is_probability:
        return "Regression", "inferred: label holds whole numbers beyond 0 and 1, and the first output one value"
    labels = f"label holds whole numbers from {int(label.min())} to {int(label.max())}"
    if is_binary:
        raise invalid(
            dataset,
            f"{labels}, and the first output one value for each sample, from {low:.3g} to {high:.3g}, which is no "
            f"probability: for classes let the model end with a Sigmoid; {VALUES_HINT}",
        )
    raise invalid(
        dataset,
        f"{labels}, and the first output one number from 0 to 1 for each sample, as a probability is: classes count "
        f"from 0, so want 0 and 1; {VALUES_HINT}",
    )


def _of_as_many(label: Array, output: Array) -> tuple[str, str]:
    """Returns the task of a label with as many whole numbers per sample as the first output has values."""
    if not np.isin(label, (0, 1)).all():
        return (
            "Regression",
            "inferred: label holds whole numbers beyond 0 and 1, as many as the first output has values",
        )
    if not is_one_hot(label):
        return "MultiLabel", "inferred: label holds 0 or 1 for each value of the first output"
    sums = output.reshape(len(output), -1).sum(axis=1)
    if output.min() >= 0 and (np.abs(sums - 1) <= _SUM_ERROR).all():
        return "Classification", "inferred: each row of label holds one 1, and the first output adds up to 1"
    why = (
        "label holds 0 or 1 for each value of the first output; for one class each set evaluation.task: Classification"
    )
    return "MultiLabel", f"inferred: {why}"
