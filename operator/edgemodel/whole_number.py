"""Whole numbers in texts from outside: headers, options, metadata."""

from typing import Final

MAX_DIGITS: Final = 18
"""The most digits of a number; no count, length of time, or size in bytes has more."""


def whole_number(text: str) -> int | None:
    """Returns the number, from 0 on, that ``text`` holds in decimal digits and nothing else; None for another text.

    ``int`` reads digits of every script, and raises ValueError for thousands of digits and for characters such as
    ``²``, which ``str.isdigit`` takes for digits.
    """
    digits = text.strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= MAX_DIGITS else None
