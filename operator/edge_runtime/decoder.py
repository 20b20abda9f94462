"""Decoders: models that continue a text, token by token, and carry a key-value cache from run to run.

A decoder takes ``input_ids``, mostly ``attention_mask``, at times ``position_ids``, and for each layer
``past_key_values.N.key`` and ``past_key_values.N.value``; it answers ``logits`` and the grown cache, ``present.N.key``
and ``present.N.value``. That is the layout of the exporters of Hugging Face and of onnxruntime-genai. Callers see none
of it: they have texts, and a text is read here, in parts, by one reader with its cache.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge_runtime.datatypes import DATATYPES, Array, as_numbers
from edgemodel.artifact import Tensor

INPUT_IDS: Final = "input_ids"
ATTENTION_MASK: Final = "attention_mask"
POSITION_IDS: Final = "position_ids"
LOGITS: Final = "logits"
ROWS_INPUT: Final = "num_logits_to_keep"
"""An optional input: the number of tokens, from the last one backwards, whose logits are computed; 0: all. Most of
those of a prompt are not needed, and they cost a fifth of its time."""
CHUNK_TOKENS: Final = 128
"""The number of tokens that are read in one run: the logits of more would take more memory than they save time."""

_PAST: Final = re.compile(r"past_key_values\.(\d+)\.(key|value)")

Run = Callable[[Mapping[str, Array], Sequence[str]], list[Array]]
"""A function that runs a model, as ``LoadedModel.run``."""


@dataclass(frozen=True)
class Decoder:
    """The tensors of a decoder."""

    past: tuple[Tensor, ...]
    """The inputs of the cache, (batch, heads, tokens, head size)."""
    logits_datatype: str
    vocabulary: int
    """The number of tokens that it knows; -1 if the model does not say."""
    has_mask: bool
    has_positions: bool

    @property
    def present(self) -> tuple[str, ...]:
        """The outputs of the cache, in the order of ``past``."""
        return tuple(tensor.name.replace("past_key_values", "present", 1) for tensor in self.past)

    @property
    def cache_bytes_per_token(self) -> int:
        """The bytes that a token of one text takes in the cache."""
        items = (tensor.shape[1] * tensor.shape[3] * DATATYPES[tensor.datatype].numpy.itemsize for tensor in self.past)
        return sum(items)

    def feed(self, tokens: Array, past: Mapping[str, Array]) -> dict[str, Array]:
        """Returns the feed for ``tokens``, (batch, tokens), that follow those of ``past``."""
        batch, count = tokens.shape
        known = next(iter(past.values())).shape[2]
        feed: dict[str, Array] = {INPUT_IDS: np.ascontiguousarray(tokens, np.int64), **past}
        if self.has_mask:
            feed[ATTENTION_MASK] = np.ones((batch, known + count), np.int64)
        if self.has_positions:
            feed[POSITION_IDS] = np.tile(np.arange(known, known + count, dtype=np.int64), (batch, 1))
        return feed

    def cache(self, tokens: int, batch: int = 1) -> dict[str, Array]:
        """Returns a cache of zeros for ``tokens`` tokens; with 0 of them, that of a text that begins."""
        return {
            tensor.name: np.zeros((batch, tensor.shape[1], tokens, tensor.shape[3]), DATATYPES[tensor.datatype].numpy)
            for tensor in self.past
        }


def decoder_of(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Decoder | None:
    """Returns the decoder with these tensors; None if they are those of another model."""
    taken, given = ({tensor.name: tensor for tensor in some} for some in (inputs, outputs))
    past = tuple(tensor for tensor in inputs if _PAST.fullmatch(tensor.name))
    others = taken.keys() - {tensor.name for tensor in past} - {INPUT_IDS, ATTENTION_MASK, POSITION_IDS}
    if not past or others or INPUT_IDS not in taken or len(given.get(LOGITS, _NONE).shape) != 3:
        return None
    sized = all(len(tensor.shape) == 4 and tensor.shape[1] > 0 and tensor.shape[3] > 0 for tensor in past)
    found = Decoder(
        past, given[LOGITS].datatype, given[LOGITS].shape[2], ATTENTION_MASK in taken, POSITION_IDS in taken
    )
    return found if sized and given.keys() >= set(found.present) else None


def open_cache(inputs: Sequence[Tensor]) -> Tensor | None:
    """Returns an input of the cache with an open number of heads, or an open size of them; None if there is none."""
    past = (tensor for tensor in inputs if _PAST.fullmatch(tensor.name) and len(tensor.shape) == 4)
    return next((tensor for tensor in past if min(tensor.shape[1], tensor.shape[3]) < 1), None)


_NONE: Final = Tensor("", "", ())


class Reader:
    """One text that a decoder reads, with its cache; no two threads may use it at the same time."""

    def __init__(self, run: Run, decoder: Decoder) -> None:
        self._run, self._decoder = run, decoder
        self._past = decoder.cache(0)

    def read(self, tokens: Array) -> Array:
        """Returns the logits after each of ``tokens``, float32 (tokens, vocabulary).

        ``tokens``, (tokens,), follow those read before. Raises what ``run`` raises.
        """
        decoder = self._decoder
        logits, *present = self._run(decoder.feed(tokens[None], self._past), [LOGITS, *decoder.present])
        self._past = {tensor.name: array for tensor, array in zip(decoder.past, present, strict=True)}
        return np.asarray(as_numbers(decoder.logits_datatype, logits)[0], np.float32)


def read_in_parts(run: Run, decoder: Decoder, tokens: Array) -> Iterator[tuple[slice, Array]]:
    """Yields (places, logits) of each part of the text ``tokens``, (tokens,), in order.

    The logits, (places, vocabulary), say what follows each place; those of one part are in memory at a time. Raises
    what ``run`` raises.
    """
    return _parts(Reader(run, decoder), tokens)


def continue_greedily(run: Run, decoder: Decoder, prompt: Array, count: int) -> Array:
    """Returns the ``count`` tokens, int64 (count,), that the decoder finds most likely after ``prompt``, (tokens,), one
    after the other. Raises what ``run`` raises."""
    reader = Reader(run, decoder)
    written: list[int] = []
    for _, logits in _parts(reader, prompt):
        written = [int(logits[-1].argmax())]
    while len(written) < count:
        written.append(int(reader.read(np.array(written[-1:]))[-1].argmax()))
    return np.array(written, np.int64)


def _parts(reader: Reader, tokens: Array) -> Iterator[tuple[slice, Array]]:
    for start in range(0, len(tokens), CHUNK_TOKENS):
        places = slice(start, min(start + CHUNK_TOKENS, len(tokens)))
        yield places, reader.read(tokens[places])
