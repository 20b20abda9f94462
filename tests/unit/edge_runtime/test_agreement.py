"""The rule by which two answers agree."""

import math
from typing import Any

import numpy as np
import pytest

from edge_runtime.agreement import CLOSE_TOLERANCE, close, close_items, spread_of_floats
from edge_runtime.datatypes import Array

RANDOM = np.random.default_rng(7)
LOGITS = RANDOM.standard_normal((64, 10))


def alike(expected: Any, got: Any, tolerance: float = CLOSE_TOLERANCE) -> list[bool]:
    first, second = np.asarray(expected), np.asarray(got)
    return list(close_items(first, second, len(first), spread_of_floats([first]), tolerance))


def rounded(values: Array) -> Array:
    """Returns the values rounded to 8 bits, with one range for all."""
    step = (values.max() - values.min()) / 255
    return np.asarray(np.round(values / step) * step)


@pytest.mark.parametrize(
    ("recorded", "answer", "same"),
    [
        ([0.0, 0.0], [0.0, 0.0], True),
        ([math.nan, 1.0], [math.nan, 1.0], True),
        ([1.0, 1.0], [math.nan, 1.0], False),
        ([math.nan, 1.0], [1.0, 1.0], False),
        ([math.inf, 1.0], [math.inf, 1.0], True),
        ([math.inf, 1.0], [1.0, 1.0], False),
        ([-math.inf], [math.inf], False),
        ([1.0, 1.0], [1.0], False),
        ([3, 4], [3, 4], True),
        ([300, 4], [301, 4], False),
        (["a", "b"], ["a", "b"], True),
        (["a", "b"], ["a", "c"], False),
    ],
)
def test_what_is_no_number_and_no_float_must_be_the_same(recorded: list[Any], answer: list[Any], same: bool) -> None:
    kind = object if isinstance(recorded[0], str) else None
    first, second = (np.array(values, kind) for values in (recorded, answer))
    assert close(first, second, spread_of_floats([first[None]])) == same
    if len(recorded) == len(answer):
        assert alike(first[None], second[None]) == [same]


def test_a_healthy_int8_model_agrees_and_a_ruined_one_does_not() -> None:
    assert all(alike(LOGITS, rounded(LOGITS)))
    assert not any(alike(LOGITS, LOGITS[:, ::-1]))
    assert not any(alike(LOGITS, LOGITS * 0))
    assert not any(alike(LOGITS, LOGITS + 0.3))


def test_each_channel_has_a_tolerance_of_its_own() -> None:
    """Within one percent of the largest value, as boxes are, every score would be lost unseen."""
    boxes, scores = 640 * RANDOM.random((64, 4, 50)), RANDOM.random((64, 3, 50)) ** 4
    whole = np.concatenate([boxes, scores], axis=1)
    assert not any(alike(whole, rounded(whole)))
    assert all(alike(whole, np.concatenate([rounded(boxes), rounded(scores)], axis=1)))


def test_each_item_is_judged_by_itself() -> None:
    got = LOGITS.copy()
    got[5] += 1
    assert alike(LOGITS, got) == [item != 5 for item in range(64)]
    assert all(alike(LOGITS, got, tolerance=2))


def test_only_the_first_items_count_where_a_batch_is_filled_up() -> None:
    expected = np.ones((4, 2))
    got = np.array([[1, 1], [1, 1], [9, 9], [9, 9]])
    assert close_items(expected, got, 2, spread_of_floats([expected])).tolist() == [True, True]


def test_an_output_without_items_is_the_same_for_all() -> None:
    one = np.array(1.0)
    spread = spread_of_floats([one[None]])
    assert close_items(one, np.array(1.001), 3, spread).tolist() == [True] * 3
    assert close_items(one, np.array(2.0), 3, spread).tolist() == [False] * 3


def test_another_shape_is_never_alike() -> None:
    assert alike(np.ones((2, 3)), np.ones((2, 4))) == [False, False]


def test_answers_without_the_channels_of_the_others_are_measured_as_a_whole() -> None:
    spread = spread_of_floats([LOGITS])
    wider = RANDOM.standard_normal((4, 12))
    assert close_items(wider, wider + 0.01, 4, spread).tolist() == [True] * 4
    assert close_items(wider, wider + 1, 4, spread).tolist() == [False] * 4
