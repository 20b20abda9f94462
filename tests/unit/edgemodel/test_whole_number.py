"""Numbers and JSON from outside: what Python reads and no other program does is refused."""

import pytest

from edgemodel.json_text import parse_json
from edgemodel.whole_number import whole_number


@pytest.mark.parametrize(("text", "number"), [("0", 0), (" 12 ", 12), ("9" * 18, 10**18 - 1)])
def test_decimal_digits_are_a_number(text: str, number: int) -> None:
    assert whole_number(text) == number


@pytest.mark.parametrize("text", ["", " ", "-1", "+1", "1.5", "1e3", "\xb2", "\u0663", "1_000", "9" * 19, "9" * 5000])
def test_any_other_text_is_none(text: str) -> None:
    assert whole_number(text) is None


@pytest.mark.parametrize(
    "text", ["NaN", "[Infinity]", '{"a": -Infinity}', r'"\ud800"', r'{"\udfff": 1}', b'"\xed\xa0\x80"', '"\udce4"']
)
def test_values_that_are_not_json_elsewhere_are_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"JSON|UTF-8"):
        parse_json(text)


def test_pairs_of_surrogates_are_characters() -> None:
    assert parse_json(r'"\ud83d\ude00"') == parse_json('"\U0001f600"'.encode("utf-16")) == "\U0001f600"
