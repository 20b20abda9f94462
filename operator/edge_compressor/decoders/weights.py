"""The weights of a folder of Hugging Face by name: compared with those that the graph needs, and read one at a time."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge_compressor.decoders.architecture import DecoderShape
from edge_compressor.decoders.config import Unfit
from edge_compressor.models.hugging_face import weight_files
from edge_compressor.models.language_files import CONFIG_FILE
from edge_compressor.models.safetensors import StoredWeight, stored_weights
from edge_runtime.datatypes import Array

TABLE: Final = "model.embed_tokens.weight"
HEAD: Final = "lm_head.weight"
NORM: Final = "model.norm.weight"
PART_BYTES: Final = 1 << 26
"""The largest part of a weight that is converted at a time, in bytes."""
_DTYPES: Final[Mapping[str, np.dtype[Any]]] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}
"""The types of values, as which they are read; BF16 is the upper half of a float32."""
_COMPUTED: Final = ".rotary_emb.inv_freq"
"""The end of the names of the angles that older versions of transformers stored; the settings tell them."""


class Weights:
    """The weights of a decoder, all of which are there with the right shape, and no others."""

    def __init__(self, folder: Path, shape: DecoderShape, *, what: str, reason: str) -> None:
        """Raises Unfit for a weight that is missing, foreign, or of another shape or type than the settings say, and
        Stalled with ``reason``, naming ``what`` it is, for files that are not whole."""
        self._stored: dict[str, StoredWeight] = {}
        for name in weight_files(folder, what=what, reason=reason):
            self._stored |= stored_weights(folder / name)
        wanted = wanted_weights(shape)
        if missing := sorted(wanted.keys() - self._stored.keys()):
            others = f", and {len(missing) - 1} others" if len(missing) > 1 else ""
            raise Unfit(f"the weight {missing[0]!r} is missing{others}: {CONFIG_FILE} says that the model has it")
        foreign = sorted(name for name in self._stored.keys() - wanted.keys() if not name.endswith(_COMPUTED))
        if shape.tied and HEAD in foreign:
            foreign.remove(HEAD)
            self._check_tied()
        if foreign:
            message = f"nothing in {CONFIG_FILE} says that the model has it"
            raise Unfit(f"the weight {foreign[0]!r} has no place in the model: {message}: correct it")
        for name, sizes in wanted.items():
            found = self._stored[name]
            if found.shape != sizes:
                message = f"has shape {list(found.shape)}, and {CONFIG_FILE} says {list(sizes)}"
                raise Unfit(f"the weight {name!r} {message}")
            if found.dtype not in _DTYPES:
                message = f"is of type {found.dtype}, want {', '.join(_DTYPES)}"
                raise Unfit(f"the weight {name!r} {message}: give the model as it was before it was quantized")

    def size(self, name: str) -> tuple[int, ...]:
        """Returns the shape of a weight."""
        return self._stored[name].shape

    def rows(self, name: str) -> Iterator[Array]:
        """Yields the values as float32, part by part along the first axis."""
        values = self._mapped(name)
        step = _step(values.shape, 0)
        return (_as_float32(values[at : at + step]) for at in range(0, len(values), step))

    def columns(self, *names: str) -> Iterator[Array]:
        """Yields the matrices ``names``, one below the other, transposed and as float32, part by part of the result."""
        matrices = [self._mapped(name) for name in names]
        width = matrices[0].shape[1]
        step = _step((sum(map(len, matrices)), width), 1)
        for at in range(0, width, step):
            yield np.concatenate([_as_float32(one[:, at : at + step].T) for one in matrices], axis=1)

    def joined(self, *names: str) -> Array:
        """Returns vectors, one after the other, as float32."""
        return np.concatenate([_as_float32(self._mapped(name)) for name in names])

    def _mapped(self, name: str) -> Array:
        """Returns the values of the file, as they are stored; they are not in memory."""
        one = self._stored[name]
        dtype = _DTYPES[one.dtype]
        size = int(np.prod(one.shape)) * dtype.itemsize
        # Only aligned data can be mapped as another type than bytes.
        mapped: Array = np.memmap(one.path, np.uint8, "r", one.begin, (size,))
        return mapped.view(dtype).reshape(one.shape)

    def _check_tied(self) -> None:
        """Raises Unfit if the head is not the table of tokens."""
        table, head = self._stored[TABLE], self._stored[HEAD]
        same = table.shape == head.shape and table.dtype == head.dtype and table.dtype in _DTYPES
        if same:
            step = _step(table.shape, 0)
            one, other = self._mapped(TABLE), self._mapped(HEAD)
            same = all(np.array_equal(one[at : at + step], other[at : at + step]) for at in range(0, len(one), step))
        if not same:
            message = f"{HEAD} differs from {TABLE}, and {CONFIG_FILE} says that they are one (tie_word_embeddings)"
            raise Unfit(f"{message}: set it to false, or leave the head out")


def wanted_weights(shape: DecoderShape) -> Mapping[str, tuple[int, ...]]:
    """Returns the names and shapes of all weights, as transformers names them; matrices are (outputs, inputs)."""
    wanted: dict[str, tuple[int, ...]] = {TABLE: (shape.vocabulary, shape.hidden), NORM: (shape.hidden,)}
    if not shape.tied:
        wanted[HEAD] = (shape.vocabulary, shape.hidden)
    products = {
        "self_attn.q_proj": (shape.queries, shape.hidden, shape.query_bias),
        "self_attn.k_proj": (shape.keys, shape.hidden, shape.query_bias),
        "self_attn.v_proj": (shape.keys, shape.hidden, shape.query_bias),
        "self_attn.o_proj": (shape.hidden, shape.queries, shape.output_bias),
        "mlp.gate_proj": (shape.inner, shape.hidden, shape.inner_bias),
        "mlp.up_proj": (shape.inner, shape.hidden, shape.inner_bias),
        "mlp.down_proj": (shape.hidden, shape.inner, shape.inner_bias),
    }
    for number in range(shape.layers):
        layer = f"model.layers.{number}"
        wanted |= {
            f"{layer}.{norm}.weight": (shape.hidden,) for norm in ("input_layernorm", "post_attention_layernorm")
        }
        for name, (outputs, inputs, biased) in products.items():
            wanted[f"{layer}.{name}.weight"] = (outputs, inputs)
            if biased:
                wanted[f"{layer}.{name}.bias"] = (outputs,)
        if shape.head_norms:
            wanted |= {f"{layer}.self_attn.{one}_norm.weight": (shape.head_size,) for one in ("q", "k")}
    return wanted


def _step(shape: tuple[int, ...], axis: int) -> int:
    """Returns how many rows (axis 0) or columns (axis 1) of float32 values fit into a part."""
    others = int(np.prod(shape)) // max(1, shape[axis])
    return max(1, PART_BYTES // max(1, 4 * others))


def _as_float32(values: Array) -> Array:
    if values.dtype == _DTYPES["BF16"]:
        return (values.astype(np.uint32) << 16).view(np.float32)
    return np.asarray(values, np.float32)
