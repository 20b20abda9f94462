"""The class of an item."""

import math
from typing import Any

import numpy as np
import pytest

from edge_runtime.classes import classes_of, clear_items, has_classes, same_class, same_largest
from edgemodel.artifact import Tensor


@pytest.mark.parametrize(
    ("output", "classes"),
    [
        ([[0.1, 0.9], [0.8, 0.2]], [1, 0]),
        ([[[0.1, 0.9]], [[0.8, 0.2]]], [1, 0]),
        ([[7], [8]], [7, 8]),
        ([7, 8], [7, 8]),
        ([True, False], [True, False]),
        ([[0.5], [0.6]], None),
        ([0.5, 0.6], None),
        ([], None),
        (0.5, None),
        ([[], []], None),
    ],
)
def test_it_is_the_place_of_the_largest_score_or_the_one_whole_number(output: Any, classes: list[int] | None) -> None:
    found = classes_of(np.array(output))
    assert (found if found is None else found.tolist()) == classes


def test_a_text_is_a_class_and_several_are_none() -> None:
    found = classes_of(np.array([["cat"], ["dog"]], object))
    assert found is not None
    assert found.tolist() == ["cat", "dog"]
    assert classes_of(np.array([["cat", "dog"]], object)) is None


@pytest.mark.parametrize(
    ("datatype", "shape", "expected"),
    [
        ("FP32", (-1, 10), True),
        ("BF16", (-1, -1), True),
        ("BF16", (-1, 1), False),
        ("FP32", (-1,), False),
        ("INT64", (-1,), True),
        ("BYTES", (-1,), True),
    ],
)
def test_the_declaration_of_an_output_shows_whether_its_items_have_classes(
    datatype: str, shape: tuple[int, ...], expected: bool
) -> None:
    assert has_classes(Tensor("y", datatype, shape)) == expected


def test_a_class_is_clear_when_its_score_leads_by_the_margin() -> None:
    scores = np.array([[0.0, 10.0, 9.6], [0.0, 10.0, 9.4], [1.0, 1.0, 1.0]])
    assert clear_items(scores, 0.05).tolist() == [False, True, False]
    assert clear_items(np.array([[3], [4]]), 0.05).tolist() == [True, True]
    assert clear_items(np.array([[0.0, math.nan]]), 0.05).tolist() == [False]
    assert clear_items(np.array([[0.5]]), 0.05).tolist() == [False]


def test_two_items_have_the_same_class() -> None:
    assert same_class(np.array([0.1, 0.9]), np.array([[0.4, 0.5]]))
    assert not same_class(np.array([0.1, 0.9]), np.array([0.5, 0.4]))
    assert not same_class(np.array([0.1, 0.9]), np.array([0.1, math.nan]))
    assert not same_class(np.array([0.1, 0.9]), np.array([0.1, 0.9, 0.0]))
    assert same_class(np.array(3), np.array([3]))
    assert same_class(np.array(["a", "b"], object), np.array(["a", "b"], object))
    assert not same_class(np.array(["a", "b"], object), np.array(["a", "c"], object))


def test_items_of_several_places_agree_at_each_of_them() -> None:
    expected = np.array([[[0.1, 0.9], [0.8, 0.2]], [[0.1, 0.9], [0.8, 0.2]]])
    got = expected.copy()
    got[1, 1] = [0.2, 0.8]
    assert same_largest(expected, got).tolist() == [True, False]
    got[0, 0, 0] = -math.inf
    assert same_largest(expected, got).tolist() == [False, False]
    assert same_largest(expected, got[..., None]).tolist() == [False, False]
