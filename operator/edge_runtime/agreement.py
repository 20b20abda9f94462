"""When two answers are alike, by one rule for the gate, the golden set and shadow replay."""

from typing import Final

import numpy as np

from edge_runtime.datatypes import Array

CLOSE_TOLERANCE: Final = 0.01
"""Two answers are close when no value is further off than this share of the largest absolute value of the first."""


def close_items(expected: Array, got: Array, items: int, tolerance: float = CLOSE_TOLERANCE) -> Array:
    """Returns for each of the first ``items`` items, as bool of shape (items,), whether ``got`` is close to it.

    Where the output has no axis of items, all of them have the same answer. NaN agrees with NaN, an infinity with
    itself; values that are no floats must be equal. ``expected`` and ``got`` hold numbers that compare
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
    """Returns whether two items, of any shape, are close; only the number of their values has to be the same."""
    if recorded.size != answer.size:
        return False
    return bool(close_items(recorded.reshape(1, -1), answer.reshape(1, -1), 1, tolerance)[0])
