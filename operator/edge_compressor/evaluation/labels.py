"""The forms that labels have, by which tasks recognize their own."""

import numpy as np

from edge_compressor.datasets import Dataset, as_whole_numbers, holds_whole_numbers
from edge_compressor.evaluation.task import Outputs, first
from edge_runtime.datatypes import Array


def one_whole_number(dataset: Dataset, outputs: Outputs) -> Array | None:
    """Returns the label, (samples,), if it has one whole number per sample and is not one of steps; otherwise None."""
    label = dataset.label
    if label is None or label.size != len(label) or not holds_whole_numbers(label) or has_steps(label, first(outputs)):
        return None
    return label.reshape(len(label))


def as_many_whole_numbers(dataset: Dataset, outputs: Outputs) -> Array | None:
    """Returns the label, (samples, values), if it has as many whole numbers per sample, at least two, as the first
    output has values; otherwise None."""
    label, output = dataset.label, first(outputs)
    if label is None or label.ndim != 2 or label.size == len(label) or output.shape[1:] != label.shape[1:]:
        return None
    return None if has_steps(label, output) or not holds_whole_numbers(label) else label


def has_steps(label: Array, output: Array) -> bool:
    """Returns whether ``output`` has a class, or scores, for each column of ``label``."""
    per_step = output.ndim == 3 or output.dtype.kind in "iu"
    return label.ndim == 2 and per_step and output.shape[1:2] == label.shape[1:]


def is_one_hot(label: Array) -> bool:
    """Returns whether each row of ``label``, (samples, classes), has one 1 and is 0 otherwise."""
    if label.shape[1] < 2:
        return False
    return bool(np.isin(label, (0, 1)).all() and (np.count_nonzero(label, axis=1) == 1).all())


def are_zeros_and_ones(label: Array) -> bool:
    """Returns whether every label is 0 or 1."""
    return bool(np.isin(label, (0, 1)).all())


def range_in_words(label: Array) -> str:
    """Returns the range of whole labels, for a message."""
    return f"label holds whole numbers from {int(label.min())} to {int(label.max())}"


def is_single_value(output: Array) -> bool:
    """Returns whether ``output``, of one run, has one float for each sample."""
    return output.dtype.kind == "f" and output[:1].size == 1


def is_probability(output: Array) -> bool:
    """Returns whether all values that are numbers lie in 0 to 1."""
    return bool(np.nanmin(output) >= 0 and np.nanmax(output) <= 1)


def adds_up_to_one(output: Array) -> bool:
    """Returns whether the values of each item, (items, classes), are probabilities, or their logarithms, that add up to
    1 within the precision of int8."""
    values = output.reshape(len(output), -1)
    if values.max() <= 0:
        values = np.exp(values)
    return bool(values.min() >= 0 and (np.abs(values.sum(axis=1) - 1) <= _SUM_ERROR).all())


def with_whole_numbers(dataset: Dataset) -> Array:
    """Returns the label with whole numbers in floats as whole numbers."""
    assert dataset.label is not None
    return as_whole_numbers(dataset.label)


_SUM_ERROR = 0.01
"""The largest distance from 1 of a sum of probabilities in low precision."""
