"""The check PromQL."""

from typing import Any

import pytest

from edge_operator.decide.measurement import Answer
from edge_operator.decide.measurement.queries import fill_in
from edgemodel import reasons
from edgemodel.verdict import Verdict
from tests.support.verdicts import analysis_of, judged, judgement


def query(**bounds: str) -> Any:
    return analysis_of({"name": "custom", "type": "PromQL", "promQL": {"query": "up", **bounds}})


@pytest.mark.parametrize(
    ("bounds", "value", "verdict"),
    [
        ({"max": "0.2"}, 0.2, Verdict.PASS),
        ({"max": "0.2"}, 0.21, Verdict.FAIL),
        ({"min": "1"}, 1.0, Verdict.PASS),
        ({"min": "1"}, 0.99, Verdict.FAIL),
        ({"min": "-1", "max": "1"}, 0.0, Verdict.PASS),
        ({"min": "-1", "max": "1"}, -2.0, Verdict.FAIL),
    ],
)
def test_a_number_within_its_bounds_passes_and_one_beyond_them_fails(
    bounds: dict[str, str], value: float, verdict: Verdict
) -> None:
    found = judged(query(**bounds), answers={"custom": Answer(value)})
    assert found.verdict is verdict
    if verdict is Verdict.FAIL:
        assert found.reason == reasons.QUERY_OUT_OF_BOUNDS
        assert found.message.startswith(f"the query gives {value:g}, ")


def test_without_a_number_nothing_is_decided_and_the_reason_is_reported() -> None:
    found = judged(query(max="1"), answers={"custom": Answer(None, "no result")})
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.waits
    assert "no result" in found.message


def test_a_query_is_judged_once_however_many_variants_there_are() -> None:
    nodes = {"camera-1": "default", "pi-1": "pi"}
    found = judgement(query(max="1"), nodes=nodes, on_trial=tuple(nodes), answers={"custom": Answer(0.5)})
    assert [item.variant for item in found.judged] == [""]


def test_names_are_filled_in_and_other_dollars_left_alone() -> None:
    text = 'sum(rate(x{namespace="$namespace",revision=~"$candidate|$stable"}[5m])) / $other'
    filled = fill_in(text, namespace="vision", model="m", candidate="m-2", stable="m-1")
    assert filled == 'sum(rate(x{namespace="vision",revision=~"m-2|m-1"}[5m])) / $other'


@pytest.mark.parametrize(
    ("value", "limit", "words"),
    [
        (80171008.0, "50000000", "the query gives 80171000, limit 50000000"),
        (123456789.0, "123456788", "the query gives 123457000, limit 123456788"),
        (0.00025, "0.0001", "the query gives 0.00025, limit 0.0001"),
        (3e20, "1000", "the query gives 3e+20, limit 1000"),
    ],
)
def test_numbers_are_written_as_people_write_them(value: float, limit: str, words: str) -> None:
    found = judged(query(max=limit), answers={"custom": Answer(value)})
    assert found.message == words
