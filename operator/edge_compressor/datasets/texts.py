"""Data sets of decoders: texts, or their tokens with -1 after the end of each.

Texts are turned into tokens here, by the tokenizer of the model, and cut into windows.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from edge_compressor.datasets.dataset import PADDING, Dataset, invalid
from edge_compressor.datasets.fitting import decoded
from edge_runtime.backend import LoadFailure
from edge_runtime.datatypes import Array
from edge_runtime.decoder import INPUT_IDS, Decoder
from edge_runtime.tokens import Tokens, load_tokens
from edgemodel import reasons
from edgemodel.error_words import in_words
from edgemodel.errors import Stalled
from edgemodel.json_text import parse_json

TEXTS: Final = "texts"
"""The array that holds texts in place of tokens."""
WINDOW_TOKENS: Final = 512
"""The tokens of a window, if the model reads as many."""
MAX_TEXT_CHARACTERS: Final = 16 << 20
"""The largest number of characters of all texts: their tokens take some 600 MB while they are made."""
_MAX_LINE_BYTES: Final = 64 << 20

MIN_TOKENS: Final = 2
"""The number of tokens below which a text has no next token to predict."""


def texts_of(tokens: Array, decoder: Decoder, folder: Path, *, what: str, context_tokens: int | None) -> Dataset:
    """Returns the data set of a decoder from its array ``input_ids``, which is written to ``folder`` as int64.

    ``context_tokens`` is the number of tokens that the model reads at most; None: it does not say. Raises Stalled,
    DatasetEmpty or DatasetInvalid.
    """
    if tokens.ndim != 2 or tokens.dtype.kind not in "iu":
        shape = f"{tokens.dtype} of shape {list(tokens.shape)}"
        raise invalid(what, f"array {INPUT_IDS} is {shape}, want whole numbers, [texts, tokens], -1 after each end")
    if not tokens.size:
        raise Stalled(reasons.DATASET_EMPTY, f"{what}: no tokens in {INPUT_IDS}")
    there = tokens != PADDING
    lengths = there.sum(axis=1)
    if not (there == (np.arange(tokens.shape[1]) < lengths[:, None])).all():
        raise invalid(what, f"array {INPUT_IDS} holds -1 within a text; it stands after the end alone")
    if (short := np.flatnonzero(lengths < MIN_TOKENS)).size:
        raise invalid(
            what, f"text {short[0]} has {lengths[short[0]]} tokens (counted from 0), want {MIN_TOKENS} or more"
        )
    if int(tokens.min()) < PADDING:
        raise invalid(what, f"array {INPUT_IDS} holds {int(tokens.min())}, want tokens from 0, and -1 after each end")
    if 0 <= decoder.vocabulary <= int(tokens.max()):
        message = f"array {INPUT_IDS} holds the token {int(tokens.max())}, and the model knows {decoder.vocabulary}"
        raise invalid(what, f"{message}: make the tokens with the tokenizer of this model")
    if context_tokens is not None and int(lengths.max()) > context_tokens:
        message = f"text {int(lengths.argmax())} has {int(lengths.max())} tokens, and the model reads {context_tokens}"
        raise invalid(what, f"{message}: cut the texts into windows of {context_tokens} tokens or fewer")
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "tokens.npy", np.ascontiguousarray(tokens, np.int64))
    kept = np.lib.format.open_memmap(folder / "tokens.npy", "r")
    return Dataset(what, {INPUT_IDS: kept}, None, len(tokens), 1, decoder=decoder)


def tokens_of(
    texts: Sequence[str], tokenizer: Path | None, decoder: Decoder, *, what: str, context_tokens: int | None
) -> tuple[Array, str]:
    """Returns windows of tokens, int64 (windows, tokens) with PADDING after the end, and a description for the report.

    A text is cut into windows of WINDOW_TOKENS, or of ``context_tokens`` if those are fewer; each begins with the
    tokens that the ``tokenizer`` of the model puts before a text. Raises Stalled, DatasetEmpty or DatasetInvalid, and
    SourceInvalid for a tokenizer that cannot be used or is another model's.
    """
    _check_size(sum(map(len, texts)), what)
    tokens = _tokenizer(tokenizer, decoder, what)
    longest = min(WINDOW_TOKENS, context_tokens or WINDOW_TOKENS)
    windows: list[list[int]] = []
    left_out = 0
    for text in texts:
        ids = tokens.encode(text, special=False)
        size = longest - len(tokens.before)
        found = [tokens.before + ids[start : start + size] for start in range(0, len(ids), size)]
        kept = [window for window in found if len(window) >= MIN_TOKENS]
        left_out += not kept
        windows += kept
    if not windows:
        raise Stalled(reasons.DATASET_EMPTY, f"{what}: no text of {TEXTS} has {MIN_TOKENS} tokens or more")
    made = np.full((len(windows), max(map(len, windows))), PADDING, np.int64)
    for row, window in enumerate(windows):
        made[row, : len(window)] = window
    note = f"{len(texts)} texts are {sum(map(len, windows))} tokens, in {len(windows)} windows of at most {longest}"
    if left_out:
        note += f"; {left_out} texts with fewer than {MIN_TOKENS} tokens are left out"
    return made, note


def texts_in(array: Array, what: str) -> list[str]:
    """Returns the texts of the array TEXTS; bytes are UTF-8. Raises Stalled(DatasetInvalid) for anything else."""
    read = decoded(np.atleast_1d(array))
    if read.ndim != 1 or read.dtype.kind != "U":
        shape = f"{array.dtype} of shape {list(array.shape)}"
        utf8 = ", and some are not UTF-8" if array.dtype.kind == "S" else ""
        raise invalid(what, f"array {TEXTS} is {shape}, want a list of texts{utf8}")
    return [str(text) for text in read]


def is_json_lines(path: Path) -> bool:
    """Returns whether the file begins as one of JSON objects, one a line."""
    with path.open("rb") as file:
        return file.read(1) == b"{"


def read_json_lines(path: Path, *, what: str) -> list[str]:
    """Returns the member ``text`` of each line. Raises Stalled(DatasetInvalid), naming the line, for anything else."""
    texts: list[str] = []
    characters = 0
    with path.open("rb") as file:
        number = 0
        while line := file.readline(_MAX_LINE_BYTES):
            number += 1
            if not line.strip():
                continue
            texts.append(_text_of(line, f"line {number}", what))
            characters += len(texts[-1])
            _check_size(characters, what)
    return texts


def _check_size(characters: int, what: str) -> None:
    if characters > MAX_TEXT_CHARACTERS:
        message = f"more than {MAX_TEXT_CHARACTERS} characters of text, the limit: 10,000 tokens decide most budgets"
        raise invalid(what, message)


def _text_of(line: bytes, place: str, what: str) -> str:
    if len(line) == _MAX_LINE_BYTES:
        raise invalid(what, f"{place} has more than {_MAX_LINE_BYTES} bytes")
    try:
        value = parse_json(line)
    except (ValueError, RecursionError) as error:
        raise invalid(what, f"{place} is not JSON: {in_words(error)}") from error
    text = value.get("text") if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise invalid(what, f'{place} has no member text, want {{"text": "…"}} in each line')
    return text


def _tokenizer(path: Path | None, decoder: Decoder, what: str) -> Tokens:
    if path is None:
        message = f"{TEXTS} are read by the tokenizer of the model, and the source has none"
        raise invalid(what, f"{message}: give the source as a folder with tokenizer.json, or the texts as {INPUT_IDS}")
    try:
        tokens = load_tokens(path)
    except LoadFailure as failure:
        raise Stalled(reasons.SOURCE_INVALID, f"source: {failure.message.replace(str(path), path.name)}") from failure
    largest = int(tokens.ids[-1]) if len(tokens.ids) else -1
    if 0 <= decoder.vocabulary <= largest:
        message = f"{path.name} has tokens up to {largest}, and the model knows {decoder.vocabulary}"
        raise Stalled(reasons.SOURCE_INVALID, f"source: {message}: it is the tokenizer of another model, give its own")
    return tokens
