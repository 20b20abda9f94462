"""Turns text into tokens and back: the ``tokenizer.json`` of a model, read by the library tokenizers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
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
_LETTER = "a"
"""A text that every tokenizer knows."""


class Tokens:
    """The tokenizer of a model. It is safe to call from several threads."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        names = tokenizer.get_vocab(with_added_tokens=True)
        self.ids = np.array(sorted(set(names.values())), np.int64)  # np.unique needs a module that the image lacks
        """All tokens that have a name, ascending."""
        self.longest = max(map(len, names), default=1)
        """The number of characters of the longest name: no token stands for more characters."""
        added = tokenizer.get_added_tokens_decoder().values()
        self.control_names = tuple(str(token.content) for token in added if token.special)
        """The names of special tokens, which ``encode`` takes for those tokens wherever they stand in a text."""

    def encode(self, text: str, *, special: bool) -> list[int]:
        """Returns the tokens. With ``special``, those are added that the tokenizer puts around a text."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=special).ids
        return ids

    @cached_property
    def before(self) -> list[int]:
        """The tokens that the tokenizer puts before each text, such as one for its beginning."""
        alone, around = self.encode(_LETTER, special=False), self.encode(_LETTER, special=True)
        places = range(len(around) - len(alone) + 1)
        start = next((place for place in places if around[place : place + len(alone)] == alone), 0)
        return around[:start]

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


def load_tokens(path: Path) -> Tokens:
    """Returns the tokenizer in the file at ``path``. Raises LoadFailure."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # one text at a time needs no threads
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise LoadFailure(
            reasons.MODEL_LOAD_FAILED,
            f"{path}: the package tokenizers is missing here: pip install 'edgemodel[generation]'",
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
