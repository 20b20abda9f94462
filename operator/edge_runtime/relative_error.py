"""The relative error: the distance of answers from the right ones, relative to the spread of the right ones.

The largest value of an output is a poor scale: with boxes of 0 to 640 beside scores of 0 to 1, it hides that every
score is lost. Each channel (or class) of an output is therefore measured by its own spread, the standard deviation of
the right answers. An artifact that always answers the mean of each channel is off by 100 %.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge_runtime.datatypes import Array

MAX_ERROR: Final = 3.0
"""The largest error of a single value, in spreads: one outlier among hundreds does not make a ruined model."""
_MIN_VALUES: Final = 8
"""The number of values in each channel below which its spread is not known."""
_FAR: Final = 1e4
"""The size, and the ratio to the median distance, from which a value stands for infinity, such as -1e9 in a mask."""
_MIN_SPREAD: Final = 1e-3
"""The smallest spread of a channel that varies, as a share of its size, so that rounding is not measured by
rounding."""
_CONSTANT: Final = 1e-6
_SHARE_OF_CONSTANT: Final = 0.1
"""The share of its size by which a channel that never varies is measured."""
_MANY_CHANNELS: Final = 16
_GAP: Final = 30.0
_SHARE_OF_OTHERS: Final = 0.1
"""The share of the others' spread by which a channel that hardly varies is measured, if there are many, as in an
embedding."""
_PART_VALUES: Final = 1 << 21
"""The number of values that are measured at a time: the logits of a text take half a gigabyte in float64."""


@dataclass(frozen=True)
class Spread:
    """The spread of the right answers of one float output, channel by channel."""

    axis: int | None
    """The axis of the channels, 1 or the last one; axis 0 holds the items. None if the output is one channel."""
    scale: Array
    """The error that counts as 100 %, float64 of shape (channels,) or (1,)."""
    low: Array
    high: Array
    """The limit of each channel, in the shape of ``scale``, beyond which a value counts as infinite."""
    groups: Array
    """The number of each channel's group: channels of one kind, such as all scores, which are judged together."""

    def errors(self, expected: Array, got: Array) -> Array:
        """Returns the error of each value in spreads, 0 to MAX_ERROR, in the shape of ``expected``; axis 0 holds the
        items.

        The error is 0 where ``expected`` is NaN, since nothing is right there; a NaN elsewhere counts as MAX_ERROR.
        Both arrays have the same shape. One that lacks the channels is measured as a whole, by their mean square.
        """
        if self.axis is None or not self._fits(expected):
            low, high, scale = self.low.min(), self.high.max(), np.sqrt((self.scale**2).mean())
        else:
            shape = [1] * expected.ndim
            shape[self.axis] = -1
            low, high, scale = (array.reshape(shape) for array in (self.low, self.high, self.scale))
        first, second = expected.astype(np.float64), got.astype(np.float64)
        off = np.abs(np.clip(first, low, high) - np.clip(second, low, high)) / scale
        off = np.minimum(np.where(np.isnan(second), MAX_ERROR, off), MAX_ERROR)
        return np.where(np.isnan(first), 0.0, off)

    def _fits(self, array: Array) -> bool:
        """Returns whether the array has the channels of the answers that the spread is from."""
        assert self.axis is not None
        return -array.ndim <= self.axis < array.ndim and array.shape[self.axis] == len(self.scale)

    def of_items(self, expected: Array, got: Array) -> Array:
        """Returns the root mean square error of each item in spreads, (items,)."""
        squares = self.errors(expected, got) ** 2
        if not squares.size:
            return np.zeros(len(expected))
        return np.asarray(np.sqrt(squares.reshape(len(expected), -1).mean(axis=1)))

    def squares(self, expected: Array, got: Array) -> tuple[Array, int]:
        """Returns the sums of the squared errors of each channel, (channels,), and the number of values of each."""
        if not len(expected):
            return np.zeros(len(self.scale)), 0
        sums, count = [], 0
        for rows in _row_parts(expected):
            columns = _columns(self.errors(expected[rows], got[rows]), self.axis)
            sums.append((columns**2).sum(axis=0))
            count += len(columns)
        return np.sum(sums, axis=0), count

    def by_group(self, mean_squares: Array) -> float:
        """Returns the root mean square error of the worst group of channels, from the mean squares of each channel."""
        return max(float(np.sqrt(mean_squares[self.groups == group].mean())) for group in set(self.groups.tolist()))


def spread_of(answers: Sequence[Array]) -> Spread:
    """Returns the spread of one output from the right answers, at least one array with items on axis 0.

    The channels are on the axis, 1 or last, along which the spread differs most; axes of open size have none.
    """
    found = []
    for axis in _axes(answers):
        columns = [_columns(array, axis) for array in answers]
        if sum(map(len, columns)) >= _MIN_VALUES:
            spread = _spread(columns, axis)
            logs = np.log(spread.scale)
            found.append((float(logs.max() - logs.min()), spread))
    if found:
        return max(found, key=lambda one: one[0])[1]
    return _spread([_columns(array, None) for array in answers], None)


def _axes(answers: Sequence[Array]) -> list[int]:
    dimensions = {array.ndim for array in answers}
    if len(dimensions) > 1 or (count := dimensions.pop()) < 2:
        return []
    axes = [1] if count == 2 else [1, -1]
    return [axis for axis in axes if {array.shape[axis] for array in answers} - {1} and _same(answers, axis)]


def _same(answers: Sequence[Array], axis: int) -> bool:
    sizes = {array.shape[axis] for array in answers}
    return len(sizes) == 1 and sizes.pop() > 1


def _columns(array: Array, axis: int | None) -> Array:
    """Returns the array as (values, channels)."""
    if axis is None:
        return array.reshape(-1, 1)
    return np.moveaxis(array, axis, -1).reshape(-1, array.shape[axis])


def _row_parts(array: Array) -> Iterator[slice]:
    """Yields the items of an array, as many at a time as have _PART_VALUES values."""
    step = max(1, _PART_VALUES * len(array) // max(1, array.size))
    for start in range(0, len(array), step):
        yield slice(start, start + step)


def _spread(answers: Sequence[Array], axis: int | None) -> Spread:
    """Returns the spread of ``answers``, each (values, channels); a part of the channels is in memory at a time."""
    width = max(_MANY_CHANNELS, _PART_VALUES // max(1, sum(map(len, answers))))
    parts = []
    for start in range(0, answers[0].shape[1], width):
        columns = np.concatenate([array[:, start : start + width] for array in answers])
        parts.append(_facts(columns.astype(np.float64)))
    middle, reach, size, spread, lowest, highest = (np.concatenate(some) for some in zip(*parts, strict=True))
    varies = spread > _CONSTANT * size
    scale = np.where(varies, np.maximum(spread, _MIN_SPREAD * size), _SHARE_OF_CONSTANT * size)
    scores = varies & (lowest >= 0) & (highest <= 1)
    if scores.any():
        scale[scores] = np.maximum(scale[scores], np.sqrt((spread[scores] ** 2).mean()))
    if varies.sum() >= _MANY_CHANNELS:
        scale = np.maximum(scale, _SHARE_OF_OTHERS * _median(scale[varies, None]))
    others = np.sqrt((scale[scale > 0] ** 2).mean()) if (scale > 0).any() else 1.0
    scale = np.where(scale > 0, scale, others)
    return Spread(axis, scale, middle - reach, middle + reach, _groups(scale, scores, varies))


def _facts(columns: Array) -> tuple[Array, Array, Array, Array, Array, Array]:
    """Returns of ``columns``, (values, channels) of float64, the middle, the distance from it at which values count as
    infinite, the size, the spread, the smallest and the largest value, each (channels,)."""
    known = np.where(np.isfinite(columns), columns, np.nan)
    empty = ~np.isfinite(columns).any(axis=0)
    known[:, empty] = 0.0
    if not len(known):
        known = np.zeros((1, columns.shape[1]))
    middle = _median(known)
    away = np.abs(known - middle)
    reach = _FAR * np.maximum(_usual(away), 1.0)
    known[away >= reach] = np.nan
    size, spread = np.sqrt(np.nanmean(known**2, axis=0)), np.nanstd(known, axis=0)
    return middle, reach, size, spread, np.nanmin(known, axis=0), np.nanmax(known, axis=0)


def _median(known: Array) -> Array:
    """Returns the median of each column, (columns,), of the values that are not NaN, of which every column has one.

    numpy's own needs masked arrays, which the image of servers does not have.
    """
    ordered = np.sort(known, axis=0)  # NaN comes last
    count = np.isfinite(ordered).sum(axis=0)
    lower, upper = (np.take_along_axis(ordered, place[None], axis=0)[0] for place in ((count - 1) // 2, count // 2))
    return np.asarray((lower + upper) / 2)


def _usual(away: Array) -> Array:
    """Returns the median distance of the values of each channel that are not at its middle; 0 if all are."""
    ordered = np.sort(away, axis=0)  # NaN comes last
    apart = (ordered > 0).sum(axis=0)
    first = (ordered <= 0).sum(axis=0)
    place = np.minimum(first + apart // 2, len(ordered) - 1)
    found = np.take_along_axis(ordered, place[None], axis=0)[0]
    return np.where((apart > 0) & np.isfinite(found), found, 0.0)


def _groups(scale: Array, scores: Array, varies: Array) -> Array:
    """Returns the group of each channel: one for scores, one for constants; others are divided at each scale that is
    more than _GAP times the next smaller one."""
    order = np.argsort(scale)
    logs = np.log(scale[order])
    groups = np.empty(len(scale), dtype=int)
    groups[order] = 1 + np.cumsum(np.diff(logs, prepend=logs[0]) > np.log(_GAP))
    groups[scores] = 0
    groups[~varies] = -1
    return groups
