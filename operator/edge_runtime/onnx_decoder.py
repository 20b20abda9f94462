"""A decoder on ONNX Runtime, whose cache is read and written in place.

The graph has the inputs ``input_ids`` and ``attention_mask``, for each layer N ``past_key_values.N.key`` and
``.value``, and the outputs ``logits`` and ``present.N.key`` and ``.value``. Its attention (GroupQueryAttention)
writes the keys and values of new tokens behind those of the earlier ones, so past and present are one buffer, and a
token costs no copy.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge_runtime.backend import LoadedModel, LoadFailure, RunFailure
from edge_runtime.datatypes import Array
from edge_runtime.decoder import ROWS_INPUT
from edge_runtime.generation import Cache, Generator
from edgemodel import reasons
from edgemodel.error_words import in_words

_PAST = re.compile(r"past_key_values\.(\d+)\.(key|value)")
_PAST_NAME, _PRESENT_NAME = "past_key_values.{}.{}", "present.{}.{}"
_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_KNOWN = {"input_ids", "attention_mask", "position_ids", ROWS_INPUT}


class OnnxCache:
    """The keys and values of one sequence, bound to the inputs and outputs of the graph."""

    def __init__(self, binding: Any, buffers: list[Array], capacity: int) -> None:
        self.binding, self.capacity, self.tokens = binding, capacity, 0
        self._buffers = buffers  # the binding does not keep them


class OnnxDecoder(Generator):
    """One session of a decoder."""

    concurrent = True

    def __init__(self, model: LoadedModel, session: Any, ort: Any) -> None:
        """Takes an open model, its session and its library. Raises LoadFailure for a graph of another form."""
        self._model, self._session, self._ort = model, session, ort
        self.platform, self.signature, self.placed = model.platform, model.signature, model.placed
        inputs = {one.name: one for one in session.get_inputs()}
        optional = {one.name for one in session.get_overridable_initializers()}
        outputs = {one.name: one for one in session.get_outputs()}
        self._layers = _layers(inputs, outputs)
        first = inputs[_PAST_NAME.format(0, "key")]
        _, self._heads, _, self._head_size = first.shape
        if not isinstance(self._heads, int) or not isinstance(self._head_size, int) or first.type not in _TYPES:
            raise _unfit(
                f"{first.name} is a {first.type} of shape {first.shape}: heads and their size have to be fixed"
            )
        self._type = np.dtype(_TYPES[first.type])
        self.vocabulary = outputs["logits"].shape[-1]
        if not isinstance(self.vocabulary, int):
            raise _unfit("the last dimension of the output logits is open: it has to be the size of the vocabulary")
        if unknown := sorted(name for name in inputs if name not in _KNOWN and not _PAST.fullmatch(name)):
            raise _unfit(f"nobody can give its inputs {', '.join(unknown)}")
        self._has_positions = "position_ids" in inputs
        self._has_mask = "attention_mask" in inputs
        self._has_rows = ROWS_INPUT in inputs or ROWS_INPUT in optional
        self.cache_bytes_per_token = 2 * self._layers * self._heads * self._head_size * self._type.itemsize
        self._ones = np.ones((1, 0), np.int64)
        self._positions = np.zeros((1, 0), np.int64)
        self._one_row = np.ones((), np.int64)
        self._try()

    def new_cache(self, capacity: int) -> OnnxCache:
        """Returns an empty cache; its pages are taken from the system as they are filled."""
        binding = self._session.io_binding()
        buffers: list[Array] = []
        for layer in range(self._layers):
            for part in ("key", "value"):
                buffer = np.zeros((1, self._heads, capacity, self._head_size), self._type)
                value = self._ort.OrtValue.ortvalue_from_numpy(buffer)
                binding.bind_ortvalue_input(_PAST_NAME.format(layer, part), value)
                binding.bind_ortvalue_output(_PRESENT_NAME.format(layer, part), value)
                buffers.append(buffer)
        if self._has_rows:
            value = self._ort.OrtValue.ortvalue_from_numpy(self._one_row)  # an array binds to required inputs alone
            binding.bind_ortvalue_input(ROWS_INPUT, value)
        if self._ones.shape[1] < capacity:
            self._ones = np.ones((1, capacity), np.int64)
            self._positions = np.arange(capacity, dtype=np.int64)[None]
        return OnnxCache(binding, buffers, capacity)

    def feed(self, cache: Cache, tokens: Array) -> Array:
        """Raises RunFailure."""
        assert isinstance(cache, OnnxCache), "it is one of new_cache"
        binding, start = cache.binding, cache.tokens
        end = start + len(tokens)
        assert 0 < len(tokens) <= cache.capacity - start, "the caller keeps to the capacity"
        ids = np.ascontiguousarray(tokens, np.int64)[None]
        try:
            binding.bind_cpu_input("input_ids", ids)
            if self._has_mask:
                binding.bind_cpu_input("attention_mask", self._ones[:, :end])
            if self._has_positions:
                binding.bind_cpu_input("position_ids", self._positions[:, start:end])
            binding.bind_output("logits")
            self._session.run_with_iobinding(binding)
            logits = next(value for value in binding.get_outputs() if value.shape()[-1] == self.vocabulary)
            scores: Array = logits.numpy()[0, -1].astype(np.float32, copy=False)
        except Exception as error:  # the exceptions of ONNX Runtime have no common base
            raise RunFailure(in_words(error)) from error
        cache.tokens = end
        return scores

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """Raises RefusedInputs, RunFailure."""
        return self._model.run(feeds, outputs)

    def close(self) -> None:
        """Frees the session; caches keep theirs until they are gone."""
        del self._session
        self._model.close()

    def _try(self) -> None:
        """Runs two tokens, the second with a past. Raises LoadFailure for a graph that does not write in place."""
        try:
            cache = self.new_cache(2)
            for _ in range(2):
                self.feed(cache, np.zeros(1, np.int64))
        except RunFailure as error:
            raise _unfit(
                f"it cannot keep past and present in one buffer, as GroupQueryAttention does: {error}"
            ) from error


def _layers(inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> int:
    """Returns the number of layers. Raises LoadFailure if one lacks an input or output."""
    found = {int(match[1]) for name in inputs if (match := _PAST.fullmatch(name))}
    wanted_inputs = ["input_ids", *(_PAST_NAME.format(n, part) for n in range(len(found)) for part in ("key", "value"))]
    wanted_outputs = [
        "logits",
        *(_PRESENT_NAME.format(n, part) for n in range(len(found)) for part in ("key", "value")),
    ]
    missing = [name for name in wanted_inputs if name not in inputs]
    missing += [name for name in wanted_outputs if name not in outputs]
    if not found:
        missing.append("the inputs past_key_values.N.key and .value")
    if missing:
        raise _unfit(f"it lacks {', '.join(missing[:4])}")
    return len(found)


def _unfit(what: str) -> LoadFailure:
    return LoadFailure(reasons.MODEL_LOAD_FAILED, f"this graph is no decoder that can generate: {what}")
