"""Wilson's interval against scipy's, and its laws."""

import pytest
from scipy.stats import binomtest

from edge_compressor.wilson import wilson_interval


@pytest.mark.parametrize(("right", "n"), [(0, 1), (1, 1), (0, 50), (50, 50), (93, 100), (3540, 3800), (1, 100_000)])
def test_it_is_the_interval_of_scipy(right: int, n: int) -> None:
    expected = binomtest(right, n).proportion_ci(confidence_level=0.9, method="wilson")
    ours = wilson_interval(right, n)
    assert (ours.lower, ours.upper) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_not_one_wrong_answer_leaves_room_for_the_next() -> None:
    assert wilson_interval(100, 100).lower == pytest.approx(100 / (100 + 1.6448536269514722**2))


@pytest.mark.parametrize(("right", "n"), [(1, 0), (-1, 5), (6, 5)])
def test_what_is_no_proportion_is_refused(right: int, n: int) -> None:
    with pytest.raises(ValueError, match="not a proportion"):
        wilson_interval(right, n)
