"""``type: QuantizeWeights``: stores the weights of products and tables with 8 or 4 bits, in blocks with a scale each.

Activations stay floats, so that no data are needed and no range can saturate; a kernel unpacks the weights block by
block while it multiplies (MatMulNBits, GatherBlockQuantized). It is the quantization for language models, whose speed
is that of reading their weights. The last product, which finds the next token, and the table of tokens lose most, and
have a number of bits of their own; where both are one matrix, it is stored once.

Weights are read, quantized and written one after the other, and large ones in parts. The result keeps its weights in
another file if the model did, or if it has more than MAX_INSIDE_BYTES.
"""

import contextlib
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import onnx
import onnx.numpy_helper
from onnx import TensorProto, helper

from edge_compressor.models.graph import fresh, reads, set_nodes, taken_names
from edge_compressor.models.normal_form.names import name_nodes
from edge_compressor.models.normal_form.stored import computed
from edge_compressor.models.weight_files import (
    MAX_INSIDE_BYTES,
    PAGE_BYTES,
    is_outside,
    load_graph,
    size_bytes,
    values_of,
)
from edge_compressor.step_interface.step_type import EXCLUDE_NODES, StepContext, StepType, check_excluded, failed
from edge_compressor.steps.quantizable import because, note_kept, refuse_quantized
from edge_runtime.datatypes import Array
from edge_runtime.decoder import ROWS_INPUT
from edgemodel.compression_request import ONNX
from edgemodel.setting_kinds import Flag, OneOf, Settings, Texts

DATA_FILE: Final = "model.onnx.data"
MIN_VALUES: Final = 1024
"""The number of values of a weight below which it stays as it is."""
MIN_TABLE_VALUES: Final = 16_384
"""The same for tables, whose rows are looked up."""
_BIAS: Final = 5
"""The position of the bias among the inputs of MatMulNBits."""
_MIN_EXTERNAL_BYTES: Final = 1024
"""The size of a tensor from which it is written to the file of weights, in bytes."""
_PART_VALUES: Final = 1 << 20
"""The number of values that are quantized at a time."""
_DOMAIN: Final = "com.microsoft"
_WHOLE_NUMBERS: Final = 4
"""The accuracy level with which a product rounds its input to int8, block by block, and multiplies whole numbers: the
fastest, and as accurate as the weights."""
_FLOATS: Final = {TensorProto.FLOAT: np.float32, TensorProto.FLOAT16: np.float16}
_PASSED_ON: Final = frozenset({"Add", "Cast", "Div", "Identity", "Mul", "Reshape", "Softmax", "Tanh"})
"""The operators between the last product and the output of a model."""


@dataclass(frozen=True)
class Blocks:
    """A weight in blocks: whole numbers with a scale and a zero point for each block."""

    bits: int
    block_size: int
    values: Array
    """uint8 (rows, blocks, bytes), with two values in a byte if ``bits`` is 4, the first in its lower half."""
    scales: Array
    """(rows, blocks), in the type of the weight."""
    zeros: Array | None
    """uint8 (rows, blocks); None: the middle of the range."""

    def packed_zeros(self) -> Array | None:
        """Returns the zero points, uint8 (rows, bytes)."""
        if self.zeros is None or self.bits == 8:
            return self.zeros
        return _packed(np.pad(self.zeros, ((0, 0), (0, self.zeros.shape[1] % 2))))


def quantize(weight: Array, bits: int, block_size: int, *, symmetric: bool) -> Blocks:
    """Returns ``weight``, floats (rows, columns), in blocks of ``block_size`` columns; the last may be shorter.

    Every block takes the range of its values and 0, rounded to 2 ** ``bits`` steps; with ``symmetric``, the range is as
    far below 0 as above.
    """
    rows, columns = weight.shape
    blocks = -(-columns // block_size)
    values = np.zeros((rows, blocks, block_size * bits // 8), np.uint8)
    scales = np.zeros((rows, blocks), weight.dtype)
    zeros = None if symmetric else np.zeros((rows, blocks), np.uint8)
    for part in _parts(weight):
        floats = np.zeros((len(weight[part]), blocks * block_size), np.float32)
        floats[:, :columns] = weight[part]
        whole, scales[part], zero = _rounded(floats.reshape(-1, blocks, block_size), bits, symmetric=symmetric)
        values[part] = _packed(whole) if bits == 4 else whole
        if zeros is not None:
            zeros[part] = zero
    return Blocks(bits, block_size, values, scales, zeros)


def _rounded(blocks: Array, bits: int, *, symmetric: bool) -> tuple[Array, Array, Array]:
    """Returns the whole numbers of ``blocks``, (rows, blocks, values), with their scales and zero points."""
    steps = 2**bits - 1
    if symmetric:
        lowest, highest = blocks.min(axis=2), blocks.max(axis=2)
        scale = np.where(highest > -lowest, highest, lowest) / -(2 ** (bits - 1))
        zero = np.full(scale.shape, 2 ** (bits - 1), np.float32)
    else:
        lowest, highest = np.minimum(blocks.min(axis=2), 0), np.maximum(blocks.max(axis=2), 0)
        scale = (highest - lowest) / steps
        zero = np.rint(np.divide(-lowest, scale, out=np.zeros_like(scale), where=scale != 0))
    reciprocal = np.divide(1, scale, out=np.zeros_like(scale), where=scale != 0)
    whole = np.rint(blocks * reciprocal[..., None]) + zero[..., None]
    return np.clip(whole, 0, steps).astype(np.uint8), scale, zero.astype(np.uint8)


def _packed(values: Array) -> Array:
    """Returns two values of 4 bits in each byte."""
    return np.asarray(values[..., ::2] | (values[..., 1::2] << 4))


def apply(model: Path, settings: Settings, context: StepContext) -> Path:
    """Raises Stalled(StepFailed) if a setting matches nothing, the model is quantized already, or nothing is left to
    quantize."""
    loaded = load_graph(model)
    name_nodes(loaded)
    refuse_quantized(loaded, context, "give the model that it was made of")
    check_excluded(loaded, settings, context)
    weights = _Weights(loaded, model.parent)
    chosen = _Chosen.of(loaded, weights, settings, context)
    result = context.folder / "model.onnx"
    external = weights.external or weights.bytes > MAX_INSIDE_BYTES
    with (context.folder / DATA_FILE).open("wb") if external else contextlib.nullcontext() as data:
        writer = _Writer(loaded, weights, settings, data)
        writer.replace(chosen)
        writer.finish()
    onnx.save(loaded, result)
    context.notes["weights"] = writer.to_json()
    context.progress.say(f"step {context.name}: {writer.summary()}")
    return result


class _Weights:
    """The stored tensors of a model, whose values are read when they are asked for."""

    def __init__(self, model: onnx.ModelProto, folder: Path) -> None:
        self._folder = folder
        self.stored = {tensor.name: tensor for tensor in model.graph.initializer}
        self.makers = {output: node for node in model.graph.node for output in node.output if output}
        self.external = any(is_outside(tensor) for tensor in self.stored.values())
        self.bytes = sum(size_bytes(tensor) for tensor in self.stored.values())

    def values(self, name: str) -> Array | None:
        """Returns the values of a tensor that is stored, or computed from stored ones alone; None for others.

        Those of files are mapped, not read.
        """
        if name in self.stored:
            return values_of(self.stored[name], self._folder)
        node = self.makers.get(name)
        if node is None or not self.is_constant(name):
            return None
        if node.op_type == "Constant":
            return np.asarray(onnx.numpy_helper.to_array(node.attribute[0].t))
        inputs = [self.values(one) for one in node.input]
        return computed(node, [one for one in inputs if one is not None])

    def is_constant(self, name: str) -> bool:
        """Returns whether nothing but stored tensors determines the tensor, so that it is a weight."""
        if name in self.stored:
            return True
        node = self.makers.get(name)
        if node is None or node.domain:
            return False
        if node.op_type == "Constant":
            return bool(node.attribute[0].name == "value")
        return bool(node.op_type in _LAID_OPEN and node.input) and all(self.is_constant(one) for one in node.input)


_LAID_OPEN: Final = frozenset({"Cast", "Gather", "Identity", "Mul", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})
"""The operators between a stored tensor and the weight that it holds."""


@dataclass
class _Chosen:
    """The nodes that are quantized, by name, with their bits."""

    products: dict[str, int] = field(default_factory=dict)
    tables: dict[str, int] = field(default_factory=dict)
    head: str = ""
    """The name of the last product; empty if there is none."""

    @classmethod
    def of(cls, model: onnx.ModelProto, weights: _Weights, settings: Settings, context: StepContext) -> "_Chosen":
        """Raises Stalled(StepFailed) if ``wideNodes`` match nothing, or nothing is chosen."""
        chosen, kept = cls(), {}
        wide: Counter[str] = Counter()
        head = _head(model, weights)
        for node in model.graph.node:
            if node.name in settings["excludeNodes"] or (weight := _weight_of(node, weights)) is None:
                continue
            if why := _why_kept(node, weight, weights, settings):
                if why != _SMALL:
                    kept[node.name] = why
                continue
            if node.op_type == "Gather":
                chosen.tables[node.name] = settings["headBits"]
                continue
            parts = [part for part in settings["wideNodes"] if part in node.name]
            wide.update(parts)
            chosen.products[node.name] = settings["wideBits"] if parts else settings["bits"]
            if node.name == head and not parts:
                chosen.products[node.name], chosen.head = settings["headBits"], head
        note_kept(kept, context)
        if absent := [part for part in settings["wideNodes"] if not wide[part]]:
            near = ", ".join(list(chosen.products)[:6])
            message = f"wideNodes {', '.join(map(repr, absent))} are part of no name of a product; products are {near}"
            raise failed(context.name, f"{message}: correct wideNodes")
        if not chosen.products and not chosen.tables:
            message = "nothing was quantized: no MatMul, Gemm or Gather with a constant matrix of floats is left"
            raise failed(context.name, f"{message}{because(kept)}; for convolutions, use QuantizeStatic")
        return chosen


_SMALL: Final = "it is small"


def _weight_of(node: onnx.NodeProto, weights: _Weights) -> str | None:
    """Returns the name of the weight of a product or a table; None for other nodes."""
    if node.domain not in ("", "ai.onnx"):
        return None
    place = {"Gather": 0, "Gemm": 1, "MatMul": 1}.get(node.op_type)
    return node.input[place] if place is not None and weights.is_constant(node.input[place]) else None


def _why_kept(node: onnx.NodeProto, weight: str, weights: _Weights, settings: Settings) -> str:
    """Returns why a node stays as it is; empty if it does not."""
    values = weights.values(weight)
    if values is None or values.dtype not in _FLOATS.values():
        return _SMALL if values is not None and values.dtype.kind != "f" else "its weight is not float32 or float16"
    table = node.op_type == "Gather"
    if values.size < (MIN_TABLE_VALUES if table else MIN_VALUES):
        return _SMALL
    if values.ndim != 2:
        return "its weight is no matrix"
    if not _is_finite(values):
        return f"its weight {weight!r} holds NaN or infinite values"
    attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    if table:
        if attributes.get("axis", 0) != 0:
            return "it does not look up rows"
        if values.shape[1] % settings["blockSize"]:
            return f"its rows of {values.shape[1]} values are no multiple of the block size {settings['blockSize']}"
    if node.op_type == "Gemm" and (attributes.get("alpha", 1.0) != 1 or attributes.get("transA", 0)):
        return "its factor alpha is not 1, or its input is transposed"
    if node.op_type == "Gemm" and len(node.input) > 2 and node.input[2] and attributes.get("beta", 1.0) != 1:
        return "its factor beta is not 1"
    return ""


def _is_finite(values: Array) -> bool:
    return all(bool(np.isfinite(values[part]).all()) for part in _parts(values))


def _head(model: onnx.ModelProto, weights: _Weights) -> str:
    """Returns the name of the product whose result, scaled or shifted at most, is the first output; empty if there is
    none."""
    node = weights.makers.get(model.graph.output[0].name)
    while node is not None:
        if _weight_of(node, weights) is not None:
            return str(node.name)
        inputs = [name for name in node.input if name and not weights.is_constant(name)]
        node = weights.makers.get(inputs[0]) if node.op_type in _PASSED_ON and len(inputs) == 1 else None
    return ""


class _Writer:
    """Replaces nodes and their weights in a model, and writes the new weights to a file if there is one."""

    def __init__(self, model: onnx.ModelProto, weights: _Weights, settings: Settings, data: BinaryIO | None) -> None:
        self._model, self._weights, self._data = model, weights, data
        self._block_size, self._symmetric = int(settings["blockSize"]), bool(settings["symmetric"])
        self._taken = taken_names(model)
        self._new: list[onnx.TensorProto] = []
        self._stored: dict[tuple[str, bool, int], list[str]] = {}
        """The tensors of each weight that is stored already, by its name, whether it is transposed, and its bits."""
        self._head: Blocks | None = None
        self.counts: Counter[int] = Counter()
        """The number of values by bits."""
        self.is_shared = False
        """True if the table of tokens is the matrix of the head."""

    def replace(self, chosen: "_Chosen") -> None:
        """Puts the quantized nodes into the graph. The head comes first, because a table may be the same matrix."""
        made: dict[str, list[onnx.NodeProto]] = {}
        nodes = {node.name: node for node in self._model.graph.node}
        for name in sorted(chosen.products, key=lambda name: name != chosen.head):
            made[name] = self._product(nodes[name], chosen.products[name], is_head=name == chosen.head)
        head = nodes.get(chosen.head)
        for name, bits in chosen.tables.items():
            tied = head is not None and chosen.products[head.name] == bits and self._is_tied(nodes[name], head)
            made[name] = self._tied_table(nodes[name], bits, head) if tied and head else self._table(nodes[name], bits)
        graph = self._model.graph
        set_nodes(graph, [one for node in graph.node for one in made.get(node.name, [node])])
        if all(item.domain != _DOMAIN for item in self._model.opset_import):
            self._model.opset_import.append(helper.make_opsetid(_DOMAIN, 1))

    def finish(self) -> None:
        """Leaves out the nodes and tensors that nothing reads any more, and writes the tensors that stay."""
        graph = self._model.graph
        drop_dead_nodes(self._model)
        used = reads(self._model)
        kept = [self._kept(tensor) for tensor in graph.initializer if used[tensor.name]]
        declared = [
            value for value in graph.input if value.name not in self._weights.stored or value.name == ROWS_INPUT
        ]
        for part, values in ((graph.input, declared), (graph.initializer, [*kept, *self._new])):
            copies = [type(value).FromString(value.SerializeToString()) for value in values]
            del part[:]
            part.extend(copies)
        del graph.value_info[:]

    def to_json(self) -> dict[str, Any]:
        """Returns what was quantized, for the report."""
        counted = {str(bits): count for bits, count in sorted(self.counts.items())}
        return {"valuesByBits": counted, "tableIsHead": self.is_shared}

    def summary(self) -> str:
        """Returns what was quantized, in words."""
        counted = ", ".join(f"{count:,} values with {bits} bits" for bits, count in sorted(self.counts.items()))
        return f"{counted}; the table of tokens and the head are one" if self.is_shared else counted

    def _product(self, node: onnx.NodeProto, bits: int, *, is_head: bool) -> list[onnx.NodeProto]:
        rows = self._rows(node)
        key = (node.input[1], _is_transposed(node), bits)
        if key not in self._stored:
            blocks = self._quantized(rows, bits)
            zeros = blocks.packed_zeros()
            parts = {f"q{bits}": blocks.values, "scales": blocks.scales, **({} if zeros is None else {"zeros": zeros})}
            self._stored[key] = [self._add(f"{node.input[1]}_{what}", values) for what, values in parts.items()]
            self._head = blocks if is_head else self._head
        names, bias = self._stored[key], node.input[2] if len(node.input) > 2 else ""
        inside = bool(bias) and list(getattr(self._weights.stored.get(bias), "dims", ())) == [len(rows)]
        output = node.output[0] if inside or not bias else fresh(f"{node.output[0]}_product", self._taken)
        given = [node.input[0], *names]
        if inside:
            given += [""] * (_BIAS - len(given)) + [bias]
        product = helper.make_node(
            "MatMulNBits", given, [output], name=node.name, domain=_DOMAIN, K=rows.shape[1],
            N=len(rows), bits=bits, block_size=self._block_size, accuracy_level=_WHOLE_NUMBERS,
        )  # fmt: skip
        if output == node.output[0]:
            return [product]
        name = fresh(f"{node.name}_bias", self._taken)
        return [product, helper.make_node("Add", [output, bias], [node.output[0]], name=name)]

    def _table(self, node: onnx.NodeProto, bits: int) -> list[onnx.NodeProto]:
        weight = self._weights.values(node.input[0])
        assert weight is not None, "only constant weights are chosen"
        blocks = self._quantized(weight, bits)
        zeros = blocks.packed_zeros()
        parts = {f"q{bits}": blocks.values.reshape(len(weight), -1), "scales": blocks.scales}
        parts |= {} if zeros is None else {"zeros": zeros}
        values, *others = (self._add(f"{node.input[0]}_{what}", array) for what, array in parts.items())
        return [self._looked_up(node, [values, *others], bits, axis=1, output=node.output[0])]

    def _tied_table(self, node: onnx.NodeProto, bits: int, head: onnx.NodeProto) -> list[onnx.NodeProto]:
        """Returns the nodes of a table that reads the matrix of the head, whose blocks have an axis of their own."""
        assert self._head is not None, "the head is quantized before"
        self.is_shared = True
        values = self._stored[head.input[1], _is_transposed(head), bits][0]
        parts = {"scales": self._head.scales} | ({} if self._head.zeros is None else {"zeros": self._head.zeros})
        others = [self._add(f"{node.input[0]}_{what}", array[..., None]) for what, array in parts.items()]
        blocks = fresh(f"{node.output[0]}_blocks", self._taken)
        shape = self._add(f"{node.output[0]}_shape", np.array([*[0] * self._rank(node.input[1]), -1], np.int64))
        name = fresh(f"{node.name}_rows", self._taken)
        return [
            self._looked_up(node, [values, *others], bits, axis=2, output=blocks),
            helper.make_node("Reshape", [blocks, shape], list(node.output), name=name),
        ]

    def _looked_up(
        self, node: onnx.NodeProto, tensors: Sequence[str], bits: int, *, axis: int, output: str
    ) -> onnx.NodeProto:
        return helper.make_node(
            "GatherBlockQuantized", [tensors[0], node.input[1], *tensors[1:]], [output], name=node.name, domain=_DOMAIN,
            gather_axis=0, quantize_axis=axis, block_size=self._block_size, bits=bits,
        )  # fmt: skip

    def _rows(self, product: onnx.NodeProto) -> Array:
        """Returns the weight of a product with a row for each output."""
        weight = self._weights.values(product.input[1])
        assert weight is not None, "only constant weights are chosen"
        return weight.T if _is_transposed(product) else weight

    def _rank(self, name: str) -> int:
        """Returns the number of dimensions of an input of the model; 0 for another tensor."""
        found = next((value for value in self._model.graph.input if value.name == name), None)
        return 0 if found is None else len(found.type.tensor_type.shape.dim)

    def _is_tied(self, table: onnx.NodeProto, head: onnx.NodeProto) -> bool:
        """Returns whether the rows of ``table`` are those of the head's matrix, value by value."""
        one, other = self._weights.values(table.input[0]), self._rows(head)
        if one is None or one.shape != other.shape or one.dtype != other.dtype or not self._rank(table.input[1]):
            return False
        return all(bool(np.array_equal(one[part], other[part])) for part in _parts(one))

    def _quantized(self, rows: Array, bits: int) -> Blocks:
        self.counts[bits] += int(rows.size)
        return quantize(rows, bits, self._block_size, symmetric=self._symmetric)

    def _kept(self, tensor: onnx.TensorProto) -> onnx.TensorProto:
        """Returns a tensor that stays as it is, in the new file if it was in the old one."""
        if not is_outside(tensor):
            return tensor
        copy = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        values = self._weights.values(tensor.name)
        assert values is not None, "it is stored"
        return self._written(copy, values)

    def _add(self, name: str, values: Array) -> str:
        kind = helper.np_dtype_to_tensor_dtype(values.dtype)
        tensor = onnx.TensorProto(name=fresh(name, self._taken), data_type=kind, dims=values.shape)
        self._new.append(self._written(tensor, values))
        return str(tensor.name)

    def _written(self, tensor: onnx.TensorProto, values: Array) -> onnx.TensorProto:
        """Returns ``tensor`` with ``values``, inside or in the file."""
        if self._data is None or values.nbytes < _MIN_EXTERNAL_BYTES:
            tensor.raw_data = np.ascontiguousarray(values).tobytes()
            return tensor
        self._data.seek(-(-self._data.tell() // PAGE_BYTES) * PAGE_BYTES)
        said = {"location": DATA_FILE, "offset": str(self._data.tell()), "length": str(values.nbytes)}
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in said.items():
            tensor.external_data.add(key=key, value=value)
        for part in _parts(values):
            self._data.write(np.ascontiguousarray(values[part]).data)
        return tensor


def drop_dead_nodes(model: onnx.ModelProto) -> None:
    """Removes the nodes whose results nothing reads any more, such as the Transpose of a weight that was replaced."""
    graph = model.graph
    while True:
        used = reads(model)
        dead = [node for node in graph.node if not any(used[name] for name in node.output if name)]
        if not dead:
            return
        for node in dead:
            graph.node.remove(node)


def _parts(values: Array) -> Iterator[slice]:
    """Yields the rows of ``values``, as many at a time as have _PART_VALUES values."""
    step = max(1, _PART_VALUES // max(1, math.prod(values.shape[1:])))
    for start in range(0, len(values), step):
        yield slice(start, start + step)


def _is_transposed(product: onnx.NodeProto) -> bool:
    """Returns whether the weight of a MatMul or Gemm has a column for each output."""
    return not any(one.name == "transB" and one.i for one in product.attribute)


_BITS: Final = (4, 8)

STEP: Final = StepType(
    "QuantizeWeights",
    "Stores the weights of products and tables with 8 or 4 bits, in blocks; activations stay floats. For language "
    "models and other transformers; needs no data.",
    {
        "bits": OneOf(
            8,
            "Bits of a weight, 8 or 4. 8 bits change next to nothing; 4 bits halve the size again and cost quality, "
            "the more the smaller the model. Default: 8.",
            _BITS,
        ),
        "wideNodes": Texts(
            "Parts of the names of products that get wideBits instead of bits, such as down_proj: those that lose "
            "most; at most 64. Default: none.",
            max_items=64,
            max_length=512,
            each="Part of the name of a node in the ONNX graph.",
        ),
        "wideBits": OneOf(8, "Bits of the weights of wideNodes, 8 or 4. Default: 8.", _BITS),
        "headBits": OneOf(
            8,
            "Bits of the last product, which finds the next token or the class, and of tables such as that of tokens, "
            "8 or 4. Default: 8.",
            _BITS,
        ),
        "blockSize": OneOf(
            32,
            "Number of weights that share a scale: 16, 32, 64, 128 or 256. Smaller blocks are more accurate and larger "
            "in bytes. Default: 32.",
            (16, 32, 64, 128, 256),
        ),
        "symmetric": Flag(
            False,
            "true uses the same range above and below 0, without a zero point for each block, which is slightly "
            "smaller and faster, and less accurate with 4 bits. Default: false.",
        ),
        "excludeNodes": EXCLUDE_NODES,
    },
    {ONNX: apply},
    streams=True,
)
