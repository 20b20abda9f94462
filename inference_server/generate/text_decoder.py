"""Turns the tokens of an answer back into text, while they come."""

from __future__ import annotations

from collections.abc import Sequence

from edge_runtime.tokens import Tokens

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"
_MAX_PENDING = 8
"""The number of tokens after which text is let go that does not end with a whole character: a character has at most
four bytes, so these never become one."""
SEEN_TOKENS = 8
"""The number of tokens of a prompt that decide how the text after it begins."""


class TextDecoder:
    """The text of one sequence as it grows. Characters of several tokens come out whole."""

    def __init__(self, tokens: Tokens, before: Sequence[int] = ()) -> None:
        """Takes ``before``, the last tokens of a text that this one goes on with; none for a text of its own."""
        self._tokens = tokens
        self._ids = list(before)
        self._shown = tokens.decode(self._ids).rstrip(_UNFINISHED) if before else ""
        """The text of the first tokens in ``_ids``, which was returned already: what a token adds may depend on the
        one before it, such as a space."""
        self._done = len(self._ids)
        """The number of those tokens."""

    def push(self, token: int) -> str:
        """Returns the text that ``token`` makes certain."""
        self._ids.append(token)
        text = self._tokens.decode(self._ids)
        if text.endswith(_UNFINISHED) and len(self._ids) - self._done <= _MAX_PENDING:
            return ""
        return self._let_go(text)

    def rest(self) -> str:
        """Returns the text that was held back, once no more follows."""
        return self._let_go(self._tokens.decode(self._ids))

    def _let_go(self, text: str) -> str:
        new = text[len(self._shown) :] if len(text) > len(self._shown) else ""
        self._ids = self._ids[self._done :]
        self._done = len(self._ids)
        self._shown = self._tokens.decode(self._ids)
        return new
