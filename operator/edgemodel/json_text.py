"""The parser of JSON from outside: every fault of a text is one kind of error, with a message for people."""

import json
import re
from typing import Any, Final, NoReturn

from edgemodel.error_words import in_words

_HALVES: Final = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
"""The halves of surrogate pairs, which are characters only together."""


def parse_json(text: str | bytes) -> Any:
    """Returns the value of ``text``. Raises ValueError, which says where and why it is not JSON.

    The value can be written as UTF-8 again, and holds no NaN: Python's parser lets halves of characters and the words
    NaN and Infinity pass, which no other program reads.
    """
    try:
        decoded = text.decode(json.detect_encoding(text)) if isinstance(text, bytes) else text
        value = json.loads(decoded, parse_constant=_refuse)
        if _HALVES.search(decoded):
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except (ValueError, RecursionError) as error:
        raise ValueError(in_words(error)) from error


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number that JSON knows")
