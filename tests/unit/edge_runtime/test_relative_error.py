"""The measure of relative errors: one figure for logits, scores, boxes, masks and numbers with a unit."""

import numpy as np
import pytest

from edge_runtime.datatypes import Array
from edge_runtime.relative_error import MAX_ERROR, spread_of

RANDOM = np.random.default_rng(3)


def error(expected: Array, got: Array) -> float:
    """Returns the figure that is judged."""
    spread = spread_of([expected])
    total, count = spread.squares(expected, got)
    return spread.by_group(total / count)


def normal(*shape: int, scale: float = 1.0, middle: float = 0.0) -> Array:
    return (middle + scale * RANDOM.standard_normal(shape)).astype(np.float32)


def detections(items: int = 64, classes: int = 80, *, axis: int = 1) -> Array:
    """Returns boxes of 0 to 640 above scores of 0 to 1, of which few are high."""
    boxes = 640 * RANDOM.random((items, 4, 100))
    scores = RANDOM.random((items, classes, 100)) ** 8
    return np.moveaxis(np.concatenate([boxes, scores], axis=1), 1, axis).astype(np.float32)


def rounded(values: Array, steps: int = 255) -> Array:
    """Returns the values rounded to 8 bits, with one range for all."""
    step = (values.max() - values.min()) / steps
    return np.round(values / step) * step


@pytest.mark.parametrize(
    "expected",
    [
        normal(100, 10),
        normal(100, 1),
        normal(100, 1, scale=2, middle=293),
        normal(40, 8, 6, 6),
        normal(40, 6, 6, 8),
        normal(20, 5, 300),
        1 / (1 + np.exp(-normal(200, 12, scale=4))),
        np.maximum(normal(100, 512), 0),
        normal(64, 1)[:, 0],
    ],
    ids=["logits", "one value", "kelvin", "channels first", "last", "words", "scores", "features", "no channels"],
)
def test_eight_bits_are_near_and_the_mean_alone_is_100_percent(expected: Array) -> None:
    """The temperatures have a range of their own, which ``rounded`` takes from the smallest to the largest."""
    near = rounded(expected - expected.min()) + expected.min()
    assert error(expected, expected) == 0
    assert error(expected, near) < 0.08
    others = tuple(place for place in range(expected.ndim) if place != (1 if expected.ndim > 1 else -1))
    dead = np.broadcast_to(expected.mean(axis=others, keepdims=True), expected.shape)
    assert error(expected, dead) > 0.5


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("classes", [1, 3, 80])
def test_scores_lost_beside_large_boxes_are_seen(axis: int, classes: int) -> None:
    expected = detections(classes=classes, axis=axis)
    assert error(expected, rounded(expected)) > 0.9
    boxes, scores = np.split(np.moveaxis(expected, axis, 1), [4], axis=1)
    healthy = np.moveaxis(np.concatenate([rounded(boxes), rounded(scores)], axis=1), 1, axis)
    assert error(expected, healthy) < 0.1


def test_one_class_of_ten_that_is_lost_is_seen() -> None:
    expected = normal(200, 10)
    got = expected.copy()
    got[:, 3] = 0
    assert error(expected, got) > 0.3


def test_a_class_that_no_sample_has_is_measured_by_what_other_scores_do() -> None:
    expected = detections(classes=10)
    expected[:, 9] *= 1e-5
    got = expected.copy()
    got[:, 9] = 0
    assert error(expected, got) < 0.05


def test_masked_values_neither_hide_others_nor_count_as_errors() -> None:
    expected = normal(100, 20)
    masked = expected.copy()
    masked[:, 15:][RANDOM.random((100, 5)) < 0.3] = -1e9
    assert error(masked, np.where(masked < -1e6, -65504.0, rounded(expected))) < 0.05
    assert error(masked, np.where(masked < -1e6, masked, 0)) > 0.9
    assert error(masked, rounded(expected)) > 0.3  # the mask is lost
    assert error(np.where(masked < -1e6, -np.inf, masked), masked) < 0.05


def test_nan_is_right_where_the_source_has_none_and_wrong_elsewhere() -> None:
    expected = normal(100, 4)
    expected[::10] = np.nan
    assert error(expected, expected) == 0
    assert error(expected, np.where(np.isnan(expected), 7, expected)) == 0
    assert error(normal(100, 4), np.full((100, 4), np.nan)) == MAX_ERROR


def test_a_constant_output_is_measured_by_its_size() -> None:
    expected = np.full((50, 3), 0.5, dtype=np.float32)
    assert error(expected, expected + 0.001) < 0.05
    assert error(expected, expected * 0) > 1
    assert error(np.zeros((50, 3)), np.zeros((50, 3))) == 0
    assert error(np.zeros((50, 3)), np.ones((50, 3))) >= 1


def test_a_single_outlier_does_not_fail_an_output() -> None:
    expected = normal(500, 10)
    got = expected.copy()
    got[0, 0] += 1e6
    assert error(expected, got) < 0.15


def test_answers_of_several_lengths_share_their_channels() -> None:
    parts = [normal(4, length, 6) for length in (3, 9, 5)]
    spread = spread_of(parts)
    assert (spread.axis, len(spread.scale)) == (-1, 6)
    assert spread.of_items(parts[1], parts[1]).tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("shape", [(1,), (1, 1), (2, 3), (1, 0), (0, 4)])
def test_few_and_no_values_have_a_spread_too(shape: tuple[int, ...]) -> None:
    values = np.ones(shape, dtype=np.float32)
    assert spread_of([values]).of_items(values, values).tolist() == [0] * len(values)
