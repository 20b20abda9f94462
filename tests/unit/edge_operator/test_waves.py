"""Waves are cumulative, never fall and never exceed the fleet."""

import pytest

from edge_operator.decide.placement.waves import plan_waves
from edgemodel.spec import DEFAULT_WAVES, Wave


@pytest.mark.parametrize(
    ("count", "plan"), [(1, (1, 1, 1)), (3, (1, 1, 3)), (30, (1, 3, 30)), (5000, (1, 500, 5000)), (0, (0, 0, 0))]
)
def test_the_default_waves(count: int, plan: tuple[int, ...]) -> None:
    assert plan_waves(DEFAULT_WAVES, count) == plan


def test_a_smaller_later_wave_takes_no_node_back() -> None:
    waves = (Wave("many", nodes=8), Wave("few", percent=10), Wave("all", percent=100))
    assert plan_waves(waves, 10) == (8, 8, 10)


def test_percentages_are_rounded_up() -> None:
    assert plan_waves((Wave("third", percent=33), Wave("all", percent=100)), 10) == (4, 10)
