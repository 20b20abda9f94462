"""The rule by which two answers agree, for the gate, the golden set and shadow replay."""

from typing import Final

import numpy as np

from edge_runtime.datatypes import Array

CLOSE_TOLERANCE: Final = 0.01
"""The largest difference of close answers, as a share of the largest absolute value of the first answer."""


def close_items(expected: Array, got: Array, items: int, tolerance: float = CLOSE_TOLERANCE) -> Array:
    """Returns for each of the first ``items`` items, as bool of shape (items,), whether ``got`` is close to it.

    If the output has no axis of items, they all get the same result. NaN agrees with NaN, an infinity with itself;
    values that are not floats must be equal. ``expected`` and ``got`` hold comparable numbers
    (``datatypes.as_numbers``).
    """
    if expected.shape != got.shape:
        return np.zeros(items, dtype=bool)
    if not expected.ndim or len(expected) < items:
        expected, got = np.repeat(expected[None], items, 0), np.repeat(got[None], items, 0)
    first, second = expected[:items].reshape(items, -1), got[:items].reshape(items, -1)
    if first.dtype.kind != "f":
        return np.asarray((first == second).all(axis=1))
    first, second = first.astype(np.float64), second.astype(np.float64)
    largest = np.max(np.abs(np.where(np.isfinite(first), first, 0)), axis=1, initial=0.0)
    with np.errstate(invalid="ignore"):
        off = np.abs(np.where(first == second, 0, first - second))  # infinities agree with themselves
    same = (off <= tolerance * largest[:, None]) | (np.isnan(first) & np.isnan(second))
    return np.asarray(same.all(axis=1))


def close(recorded: Array, answer: Array, tolerance: float = CLOSE_TOLERANCE) -> bool:
    """Returns whether two items are close. Their shapes may differ, but not the number of their values."""
    if recorded.size != answer.size:
        return False
    return bool(close_items(recorded.reshape(1, -1), answer.reshape(1, -1), 1, tolerance)[0])
