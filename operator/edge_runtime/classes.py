"""The class of an item, by one rule for golden set, shadow replay, drift and feedback.

An item is one position on the first axis of an output. Its class is the position of its largest score, or its only
whole number or text. A single float, and several texts, have no class.
"""

import numpy as np

from edge_runtime.datatypes import DATATYPES, Array
from edgemodel.artifact import Tensor


def has_classes(output: Tensor) -> bool:
    """Returns whether each item of an output with this declaration has a class; an open last dimension counts as
    several values."""
    if DATATYPES[output.datatype].is_float:
        return len(output.shape) > 1 and output.shape[-1] != 1
    return True


def classes_of(output: Array) -> Array | None:
    """Returns the class of each item, numbers or texts of shape (items,); None if the items have no class.

    ``output`` holds comparable numbers (``datatypes.as_numbers``). The class of scores with NaN is the position of the
    first NaN.
    """
    if output.ndim == 0 or not output.size:
        return None
    rows = output.reshape(len(output), -1)
    if rows.shape[1] == 1:
        return None if rows.dtype.kind == "f" else rows[:, 0]
    return None if rows.dtype.kind in "OU" else rows.argmax(axis=1)


def clear_items(output: Array, margin: float) -> Array:
    """Returns for each item, as bool of shape (items,), whether rounding cannot change its class.

    Its best score leads by ``margin``, a share of the item's range of scores; a class that is the answer itself is
    always clear.
    """
    rows = output.reshape(len(output), -1)
    if rows.dtype.kind != "f":
        return np.full(len(rows), rows.shape[1] == 1)
    if rows.shape[1] < 2 or not np.isfinite(rows).all():
        return np.zeros(len(rows), dtype=bool)
    ordered = np.sort(rows, axis=1)
    span = ordered[:, -1] - ordered[:, 0]
    return np.asarray((span > 0) & (ordered[:, -1] - ordered[:, -2] >= margin * span))


def same_class(recorded: Array, answer: Array) -> bool:
    """Returns whether two items, of any shape, have the same class; an answer with NaN has none."""
    if recorded.size != answer.size:
        return False
    if recorded.size == 1 or recorded.dtype.kind in "OU":
        return bool((recorded.ravel() == answer.ravel()).all())
    if answer.dtype.kind == "f" and np.isnan(answer).any():
        return False
    return bool(recorded.argmax() == answer.argmax())


def same_largest(recorded: Array, answer: Array) -> Array:
    """Returns for each item, as bool of shape (items,), whether its largest values are at the same positions.

    They are compared on the last axis, at every position of the axes before it; values that are not finite are ignored.
    """
    if recorded.shape != answer.shape:
        return np.zeros(len(recorded), dtype=bool)
    same = (recorded.argmax(-1) == answer.argmax(-1)) & np.isfinite(answer).all(-1)
    return np.asarray(same.reshape(len(recorded), -1).all(axis=1))
