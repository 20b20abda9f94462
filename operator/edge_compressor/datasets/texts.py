"""Data sets of decoders: texts as tokens, -1 after the end of each."""

from pathlib import Path
from typing import Final

import numpy as np

from edge_compressor.datasets.dataset import PADDING, Dataset, invalid
from edge_runtime.datatypes import Array
from edge_runtime.decoder import INPUT_IDS, Decoder
from edgemodel import reasons
from edgemodel.errors import Stalled

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
