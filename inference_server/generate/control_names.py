"""Keeps the words of clients apart from the special tokens of the model, such as the one that ends a turn.

A tokenizer takes the name of a special token for that token wherever it stands, so a client that writes ``<|im_end|>``
into a message would end its turn, and could write the next one in another role. Only the chat template may do that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from inference_server.errors import InvalidRequest

_MARKS = [chr(code) for code in range(0xFDD0, 0xFDF0)]
"""Characters that stand for nothing, and that no text needs (the noncharacters of Unicode)."""


class ControlNames:
    """The names of special tokens in the messages of clients."""

    def __init__(self, names: Sequence[str]) -> None:
        longest_first = sorted((name for name in names if len(name) > 1), key=len, reverse=True)
        self._names = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def split(self, messages: Sequence[Mapping[str, Any]]) -> tuple[Sequence[Mapping[str, Any]], str | None]:
        """Returns the messages, with a mark within each name, and the mark; the same messages and None if there is no
        name in them.

        The rendered prompt is cut at the mark, and each part turned into tokens by itself: no part has the name. Raises
        InvalidRequest if the messages hold all characters that could be the mark.
        """
        texts = [value for message in messages for value in message.values() if isinstance(value, str)]
        if self._names is None or not any(map(self._names.search, texts)):
            return messages, None
        mark = next((one for one in _MARKS if not any(one in text for text in texts)), None)
        if mark is None:
            raise InvalidRequest("messages hold all noncharacters of Unicode beside a special token", "messages")

        def marked(value: Any) -> Any:
            if not isinstance(value, str) or self._names is None:
                return value
            return self._names.sub(lambda found: f"{found[0][0]}{mark}{found[0][1:]}", value)

        return [{key: marked(value) for key, value in message.items()} for message in messages], mark
