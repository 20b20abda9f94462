"""Embeddings of texts: an encoder, such as those of sentence-transformers, with the tokenizer beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_runtime.backend import LoadedModel, LoadFailure
from edge_runtime.datatypes import Array
from edge_runtime.tokens import Tokens, load_tokens
from edgemodel.error_words import in_words
from edgemodel.json_text import parse_json
from edgemodel.names import TOKENIZER_FILE
from edgemodel.user_files import UnreadableFile, read_bytes
from inference_server import logs
from inference_server.errors import InvalidRequest

CONFIG_FILE = "config.json"
IDS, MASK, TYPES = "input_ids", "attention_mask", "token_type_ids"


@dataclass(frozen=True)
class Embeddings:
    """The vectors of texts, float32 (texts, size), and the number of tokens of all texts."""

    vectors: Array
    tokens: int


class TextEncoder:
    """A model that makes a vector of a text. It is safe to call from several threads."""

    def __init__(self, model: LoadedModel, tokens: Tokens, max_tokens: int | None) -> None:
        """Takes ``max_tokens``, the largest number of tokens of a text; None: the model does not say."""
        self._model, self._tokens, self._max_tokens = model, tokens, max_tokens
        self._output = next(iter(model.signature.outputs))

    def embed(self, texts: Sequence[str | Sequence[int]]) -> Embeddings:
        """Returns the vectors, each of length 1: the model's own, or the mean of those of a text's tokens.

        Raises InvalidRequest for a text without tokens, or with too many; RefusedInputs, RunFailure.
        """
        found = [self._read(text) for text in texts]
        vectors = [self._vector(np.array([ids], np.int64)) for ids in found]
        return Embeddings(np.stack(vectors), sum(map(len, found)))

    def _read(self, text: str | Sequence[int]) -> Sequence[int]:
        limit = self._max_tokens
        if isinstance(text, str) and limit is not None and len(text) > limit * self._tokens.longest:
            raise InvalidRequest(f"a text of input has more than the {limit} tokens that the model reads", "input")
        ids = self._tokens.encode(text, special=True) if isinstance(text, str) else text
        if not ids:
            raise InvalidRequest("a text of input is empty: it has no tokens", "input")
        if limit is not None and len(ids) > limit:
            raise InvalidRequest(f"a text of input has {len(ids)} tokens, and the model reads {limit}", "input")
        return ids

    def _vector(self, ids: Array) -> Array:
        given = {IDS: ids, MASK: np.ones_like(ids), TYPES: np.zeros_like(ids)}
        feeds = {name: given[name] for name in self._model.signature.inputs}
        (answer,) = self._model.run(feeds, [self._output])
        vector = answer[0].mean(axis=0) if answer.ndim == 3 else answer[0]
        return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), np.float32)


def encoder_of(path: Path, model: LoadedModel) -> TextEncoder | None:
    """Returns the encoder of texts in the folder at ``path``; None for a model that is none, or that lacks a tokenizer.

    Why a tokenizer cannot be used is logged: the model serves without it.
    """
    inputs, outputs = model.signature.inputs, list(model.signature.outputs.values())
    reads = (
        IDS in inputs and inputs.keys() <= {IDS, MASK, TYPES} and {one.datatype for one in inputs.values()} == {"INT64"}
    )
    if not reads or outputs[0].datatype != "FP32" or len(outputs[0].shape) not in (2, 3):
        return None
    if not (path / TOKENIZER_FILE).is_file():
        return None
    try:
        return TextEncoder(model, load_tokens(path / TOKENIZER_FILE), _max_tokens(path / CONFIG_FILE))
    except LoadFailure as failure:
        logs.event("the model makes no embeddings of texts", reason=failure.message)
    except (UnreadableFile, ValueError, TypeError, AttributeError) as error:
        logs.event("the model makes no embeddings of texts", reason=f"{path / CONFIG_FILE}: {in_words(error)}")
    return None


def _max_tokens(config: Path) -> int | None:
    """Returns the number of positions that the model's configuration names; None if it names none."""
    if not config.exists():
        return None
    value = parse_json(read_bytes(config)).get("max_position_embeddings")
    return None if value is None else int(value)
