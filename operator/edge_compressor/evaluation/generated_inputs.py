"""Inputs generated from a model's signature, for models without a data set: seeded, with values and sizes that it
accepts.

They show whether a model runs at all, and nothing about its quality, since no real input resembles them.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

import numpy as np
import onnx
import onnx.numpy_helper

from edge_compressor.datasets import Dataset
from edge_compressor.models import normal_form, runtime
from edge_compressor.models.model_file import ModelFile
from edge_compressor.models.onnx_model import nodes
from edge_runtime.backend import LoadedModel, RunFailure
from edge_runtime.datatypes import DATATYPES, Array, from_numbers
from edge_runtime.decoder import INPUT_IDS, Decoder
from edgemodel.artifact import ONNX_RUNTIME, Tensor

WHAT: Final = "generated inputs"
SAMPLES: Final = 64
"""The number of generated samples, if they are small."""
MAX_VALUES: Final = 1 << 22
"""Values of all inputs together: beyond, there are fewer samples."""
_SIZES: Final = (16, 32, 64, 128, 256, 224, 8, 4, 2, 1)
"""The sizes of open dimensions, in the order in which they are tried: one for all of them, then with each size of a
weight for the first, such as the channels of an image."""
_MAX_WEIGHT_SIZES: Final = 24
_TEXTS: Final = 8
_TEXT_TOKENS: Final = 32

Range = tuple[int, int]
"""The smallest and the largest whole number that an input may hold."""

_PASS_ON: Final = frozenset(
    {
        "Cast", "Concat", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Tile", "Transpose",
        "Unsqueeze",
    }
)  # fmt: skip
"""The operators whose output holds values of their first input."""
_SHAPES: Final = {"Reshape": 1, "Expand": 1, "Tile": 1, "ConstantOfShape": 0, "TopK": 1, "Trilu": 1, "Resize": 3}
"""The operators with an input that is a shape or a count, and its position."""


def generate(model: ModelFile, samples: int = SAMPLES) -> Dataset | None:
    """Returns about ``samples`` samples on which ``model`` runs, always the same for the same model.

    None: it runs on none of the generated inputs.

    Floats are standard normal; whole numbers lie within the tables that they index, and are otherwise 0 or 1.
    Dimensions that the model leaves open have the first sizes with which it runs and answers something.
    """
    if model.batch == 0:
        return None
    if model.decoder is not None:
        return _texts(model, model.decoder, samples)
    ranges = index_ranges(model)
    loaded = runtime.load(model)
    for sizes in _sizes(model):
        made = _made(model, samples, sizes, ranges)
        for batch in (made.batch, 1) if made.batch < 0 else (made.batch,):
            fed = replace(made, batch=batch)
            if _runs(loaded, fed):
                return fed
    return None


def _texts(model: ModelFile, decoder: Decoder, samples: int) -> Dataset | None:
    """Returns random texts for a decoder; None if it does not run on them."""
    known = decoder.vocabulary if decoder.vocabulary > 0 else index_ranges(model).get(INPUT_IDS, (0, 0))[1] + 1
    tokens = np.random.default_rng(0).integers(0, known, (min(samples, _TEXTS), _TEXT_TOKENS))
    made = Dataset(WHAT, {INPUT_IDS: tokens}, None, len(tokens), 1, decoder=decoder)
    return made if _runs(runtime.load(model), made) else None


def _runs(loaded: LoadedModel, dataset: Dataset) -> bool:
    try:
        return all(any(answer.size for answer in runtime.run(loaded, feeds)) for _, feeds in dataset.batches())
    except RunFailure:
        return False


def _sizes(model: ModelFile) -> Iterator[tuple[int, int]]:
    """Yields pairs of sizes: that of the first open dimension after the samples, and that of all others."""
    widest = max((len(_open(tensor, model)) for tensor in model.inputs), default=0)
    if not widest:
        yield 1, 1
        return
    yield from ((size, size) for size in _SIZES)
    graph = (
        normal_form.load_shapes(model.path, with_weights=True).graph
        if model.runtime == ONNX_RUNTIME
        else onnx.GraphProto()
    )
    of_weights = sorted({size for tensor in graph.initializer for size in tensor.dims if size > 1})[:_MAX_WEIGHT_SIZES]
    for first in of_weights:
        yield from ((first, size) for size in ((1,) if widest == 1 else (16, 64, 224)))


def index_ranges(model: ModelFile) -> dict[str, Range]:
    """Returns the valid whole numbers by input, for inputs that are indices, counts or switches.

    Empty for models of other runtimes, and for those behind transforms.
    """
    if model.runtime != ONNX_RUNTIME or model.transforms:
        return {}
    graph = normal_form.load_shapes(model.path, with_weights=True).graph
    readers: dict[str, list[tuple[onnx.NodeProto, int]]] = {}
    for node in nodes(graph):
        for place, name in enumerate(node.input):
            readers.setdefault(name, []).append((node, place))
    stored = {tensor.name: tensor for tensor in graph.initializer}
    found = {}
    for tensor in model.inputs:
        limits = [limit for node, place in _reached(tensor.name, readers) if (limit := _limit(node, place, stored))]
        if limits:
            least, largest = max(low for low, _ in limits), min(high for _, high in limits)
            found[tensor.name] = (least, max(least, largest))
    return found


def _reached(
    name: str, readers: Mapping[str, list[tuple[onnx.NodeProto, int]]]
) -> Iterator[tuple[onnx.NodeProto, int]]:
    """Yields the nodes that read the tensor, or one with its values, with the position of that input."""
    waiting, seen = [name], {name}
    while waiting:
        for node, place in readers.get(waiting.pop(), ()):
            yield node, place
            if node.op_type in _PASS_ON and (place == 0 or node.op_type == "Concat"):
                waiting += [output for output in node.output if output not in seen]
                seen |= set(node.output)


def _limit(node: onnx.NodeProto, place: int, stored: Mapping[str, onnx.TensorProto]) -> Range | None:
    attributes = {attribute.name: attribute for attribute in node.attribute}

    def dimension(position: int, axis: int) -> int | None:
        tensor = stored.get(node.input[position]) if position < len(node.input) else None
        return tensor.dims[axis] if tensor is not None and -len(tensor.dims) <= axis < len(tensor.dims) else None

    def value(position: int) -> float | None:
        tensor = stored.get(node.input[position])
        if tensor is None or math.prod(tensor.dims) != 1:
            return None
        return float(onnx.numpy_helper.to_array(tensor).ravel()[0])

    rows: int | None = None
    match node.op_type, place:
        case (("Gather" | "GatherElements"), 1):
            rows = dimension(0, attributes["axis"].i if "axis" in attributes else 0) or 1
        case (("GatherND" | "ScatterND" | "ScatterElements"), 1):
            rows = dimension(0, 0) or 1
        case "OneHot", 0:
            depth = value(1)
            rows = int(depth) if depth else None
        case "EmbedLayerNormalization", (0 | 1):
            rows = dimension(2 if place == 0 else 4, 0)
        case (("Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "Equal"), _):
            against = value(1 - place)
            if against is not None and np.isfinite(against) and against == int(against) and node.op_type == "Equal":
                return int(against), int(against)
        case operator, position if _SHAPES.get(operator) == position:
            return 1, 1
    return None if rows is None else (0, max(rows - 1, 0))


def _made(model: ModelFile, samples: int, sizes: tuple[int, int], ranges: Mapping[str, Range]) -> Dataset:
    whole = model.batch is None
    group = 1 if model.batch is None else max(1, model.batch)
    shapes = {}
    for tensor in model.inputs:
        shape = list(tensor.shape if whole else tensor.shape[1:])
        for number, place in enumerate(_open(tensor, model)):
            shape[place] = sizes[min(number, 1)]
        shapes[tensor.name] = tuple(shape)
    values = sum(math.prod(shape) for shape in shapes.values())
    count = max(1, min(samples, MAX_VALUES // max(1, values)) // group) * group
    random = np.random.default_rng(0)
    inputs = {
        tensor.name: _values(tensor, (count, *shapes[tensor.name]), random, ranges.get(tensor.name))
        for tensor in model.inputs
    }
    batch = 1 if model.batch is None else model.batch
    return Dataset(WHAT, inputs, None, count, batch, whole=whole)


def _values(tensor: Tensor, shape: tuple[int, ...], random: np.random.Generator, within: Range | None) -> Array:
    dtype = runtime.dtype_of(tensor)
    if dtype.kind == "U":
        return np.array([f"text {number}" for number in random.integers(0, 4, math.prod(shape))]).reshape(shape)
    if within is not None:
        return from_numbers(tensor.datatype, random.integers(within[0], within[1] + 1, shape))
    if DATATYPES[tensor.datatype].is_float:
        return from_numbers(tensor.datatype, random.standard_normal(shape))
    return random.integers(0, 2, shape).astype(dtype)


def _open(tensor: Tensor, model: ModelFile) -> list[int]:
    """Returns the positions of the open dimensions in the shape of one sample."""
    shape = tensor.shape if model.batch is None else tensor.shape[1:]
    return [place for place, size in enumerate(shape) if size < 0]
