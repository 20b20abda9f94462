"""The parser of JSON from outside: every fault of a text is one kind of error, with a message for people."""

import json
from typing import Any

from edgemodel.error_words import in_words


def parse_json(text: str | bytes) -> Any:
    """Returns the value of ``text``. Raises ValueError, which says where and why it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(in_words(error)) from error
