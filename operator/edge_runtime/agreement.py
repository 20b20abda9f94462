"""The rule by which two answers agree, for the gate, the golden set and shadow replay."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from edge_runtime.datatypes import Array
from edge_runtime.relative_error import Spread, spread_of

CLOSE_TOLERANCE: Final = 0.05
"""The largest relative error of a close item: the root mean square over its values, each in spreads of its channel."""


def spread_of_floats(answers: Sequence[Array]) -> Spread | None:
    """Returns the spread of one output from the right answers, each with axis 0 for its items; None for other values.

    ``answers`` is at least one array of comparable numbers (``datatypes.as_numbers``).
    """
    return spread_of(answers) if answers[0].dtype.kind == "f" else None


def close_items(
    expected: Array, got: Array, items: int, spread: Spread | None, tolerance: float = CLOSE_TOLERANCE
) -> Array:
    """Returns for each of the first ``items`` items, as bool of shape (items,), whether ``got`` is close to it.

    If the output has no axis of items, they all get the same result. NaN agrees with NaN, an infinity with itself;
    values without a ``spread``, which are not floats, must be equal. ``expected`` and ``got`` hold comparable numbers
    (``datatypes.as_numbers``).
    """
    if expected.shape != got.shape:
        return np.zeros(items, dtype=bool)
    if not expected.ndim or len(expected) < items:
        return np.repeat(close_items(expected[None], got[None], 1, spread, tolerance), items)
    first, second = expected[:items], got[:items]
    if spread is None:
        return _all_of_each(np.asarray(first == second))
    known = _all_of_each(np.isnan(first) == np.isnan(second)) & _all_of_each(np.isinf(first) == np.isinf(second))
    return np.asarray(known & (spread.of_items(first, second) <= tolerance))


def close(recorded: Array, answer: Array, spread: Spread | None, tolerance: float = CLOSE_TOLERANCE) -> bool:
    """Returns whether two items are close, which have no axis of items. Their shapes may differ in axes of size 1."""
    if recorded.size != answer.size:
        return False
    return bool(close_items(recorded[None], answer.reshape(recorded.shape)[None], 1, spread, tolerance)[0])


def _all_of_each(values: Array) -> Array:
    """Returns whether all values of each item are true; axis 0 holds the items."""
    return np.asarray(values.all(axis=tuple(range(1, values.ndim))))
