"""Turns text into tokens and back: the ``tokenizer.json`` of a model, read by the library tokenizers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge_runtime.backend import LoadFailure
from edge_runtime.datatypes import Array
from edgemodel import reasons
from edgemodel.error_words import in_words
from edgemodel.user_files import UnreadableFile, read_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MAX_TOKENIZER_BYTES = 64 * 2**20
_UNFINISHED = "\N{REPLACEMENT CHARACTER}"
_MAX_PENDING = 8
"""The number of tokens after which text is let go that does not end with a whole character: a character has at most
four bytes, so these never become one."""


class Tokens:
    """The tokenizer of a model. It is safe to call from several threads."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        names = tokenizer.get_vocab(with_added_tokens=True)
        self.ids = np.unique(np.fromiter(names.values(), np.int64, len(names)))
        """All tokens that have a name, ascending."""
        self.longest = max(map(len, names), default=1)
        """The number of characters of the longest name: no token stands for more characters."""

    def encode(self, text: str, *, special: bool) -> list[int]:
        """Returns the tokens. With ``special``, those are added that the tokenizer puts around a text."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=special).ids
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Returns the text without special tokens."""
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True)
        return text

    def id_of(self, name: str) -> int | None:
        """Returns the token of that name; None if there is none."""
        found: int | None = self._tokenizer.token_to_id(name)
        return found

    def missing(self, vocabulary: int) -> Array:
        """Returns the numbers below ``vocabulary`` that no token has, ascending."""
        return np.setdiff1d(np.arange(vocabulary), self.ids, assume_unique=True)


class TextDecoder:
    """The text of one sequence as it grows. Characters of several tokens come out whole."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._ids: list[int] = []
        self._shown = ""
        """The text of the first tokens in ``_ids``, which was returned already: what a token adds may depend on the
        one before it, such as a space."""
        self._done = 0
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


def load_tokens(path: Path) -> Tokens:
    """Returns the tokenizer in the file at ``path``. Raises LoadFailure."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # one text at a time needs no threads
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise LoadFailure(
            reasons.MODEL_LOAD_FAILED,
            f"{path}: the package tokenizers is missing here: pip install edgemodel[generation]",
        ) from error
    try:
        text = read_text(path, MAX_TOKENIZER_BYTES)
    except UnreadableFile as error:
        raise LoadFailure(reasons.MODEL_LOAD_FAILED, str(error)) from error
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # its exceptions have no common base
        raise LoadFailure(reasons.MODEL_LOAD_FAILED, f"{path} is no tokenizer: {in_words(error)}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return Tokens(tokenizer)
