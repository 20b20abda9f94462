"""The rule by which two answers agree."""

import math

import numpy as np
import pytest

from edge_runtime.agreement import CLOSE_TOLERANCE, close, close_items


@pytest.mark.parametrize(
    ("recorded", "answer", "alike"),
    [
        ([100.0, 1.0], [100.9, 0.1], True),
        ([100.0, 1.0], [101.1, 1.0], False),
        ([0.0, 0.0], [0.0, 0.0], True),
        ([0.0, 0.0], [0.0, 1e-9], False),
        ([math.nan, 1.0], [math.nan, 1.0], True),
        ([1.0, 1.0], [math.nan, 1.0], False),
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
def test_an_item_is_close_within_one_percent_of_its_largest_value(
    recorded: list[object], answer: list[object], alike: bool
) -> None:
    kind = object if isinstance(recorded[0], str) else None
    first, second = (np.array(values, kind) for values in (recorded, answer))
    assert close(first, second) == alike
    if len(recorded) == len(answer):
        assert close_items(first[None], second[None], 1).tolist() == [alike]


def test_each_item_has_a_tolerance_of_its_own() -> None:
    expected = np.array([[100.0, 1.0], [1.0, 1.0]])
    assert close_items(expected, expected + 0.5, 2).tolist() == [True, False]
    assert close_items(expected, expected + 0.5, 2, tolerance=0.5).tolist() == [True, True]


def test_only_the_first_items_count_where_a_batch_is_filled_up() -> None:
    expected = np.ones((4, 2))
    assert close_items(expected, np.array([[1, 1], [1, 1], [9, 9], [9, 9]]), 2).tolist() == [True, True]


def test_an_output_without_items_is_the_same_for_all() -> None:
    assert close_items(np.array(1.0), np.array(1.0 + CLOSE_TOLERANCE / 2), 3).tolist() == [True] * 3
    assert close_items(np.array(1.0), np.array(2.0), 3).tolist() == [False] * 3


def test_another_shape_is_never_alike() -> None:
    assert close_items(np.ones((2, 3)), np.ones((2, 4)), 2).tolist() == [False, False]
