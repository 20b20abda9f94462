"""Tensors whose values lie too far apart for the 256 steps of int8: a mask of -1e9, a padding of -inf, boxes beside
scores. They are measured on a few calibration samples, and their nodes stay in float."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnx.numpy_helper

from edge_compressor.models import runtime, weight_files
from edge_runtime.backend import LoadedModel
from edge_runtime.cores import usable_cores
from edge_runtime.datatypes import Array

_STEPS: Final = 255
_MIN_SHARE: Final = 1e-3
"""The share of values below which they are exceptions."""
_MAX_RATIO: Final = 100.0
"""The largest ratio of the largest values in the parts of a Concat."""
_JOINING: Final = frozenset({"Add", "Concat", "Mul", "Where"})
"""The operators whose inputs are all values."""
_MOVING: Final = frozenset({"Flatten", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"})
"""The operators whose output has the values of their input."""


def far_apart(model: Path, types: Iterable[str], values: Mapping[str, Array]) -> dict[str, str]:
    """Returns the nodes of ``types`` that read or write a tensor that int8 cannot hold: name -> why, for messages.

    ``values`` are those that ``measure`` returns.
    """
    proto = onnx.load(model)
    wanted = set(types)
    nodes = [node for node in proto.graph.node if node.op_type in wanted]
    flagged = {name: why for name, found in values.items() if (why := _why(found))}
    for node in nodes:
        if node.op_type == "Concat" and (why := _why_parts([values[name] for name in node.input if name in values])):
            flagged.setdefault(node.output[0], why)
    for node in proto.graph.node:
        if node.op_type in _MOVING and node.input[0] in flagged:
            for output in node.output:
                flagged.setdefault(output, flagged[node.input[0]])
    return {
        node.name: next(flagged[name] for name in _quantized(node) if name in flagged)
        for node in nodes
        if any(name in flagged for name in _quantized(node))
    }


def _quantized(node: onnx.NodeProto) -> list[str]:
    """Returns the tensors of ``node`` that get one range; bounds and sizes are not quantized, weights by channel."""
    inputs = node.input if node.op_type in _JOINING else node.input[:1]
    return [name for name in (*inputs, *node.output) if name]


def whole_ranges(
    model: Path, names: Iterable[str], feeds: Iterable[Mapping[str, Array]]
) -> dict[str, tuple[float, float]]:
    """Returns the smallest and the largest value of each float tensor of ``names`` on all ``feeds``, and of 0.

    Raises LoadFailure and RunFailure.
    """
    proto = onnx.load(model)
    made = {output for node in proto.graph.node for output in node.output}
    wanted = set(names) & (made | {given.name for given in proto.graph.input})
    loaded = _opened(proto, wanted, model)
    found: dict[str, tuple[float, float]] = {}
    for feed in feeds:
        outputs = zip(loaded.signature.outputs, runtime.run(loaded, feed), strict=True)
        for name, values in [*outputs, *feed.items()]:
            if name in wanted and values.dtype.kind == "f" and values.size:
                lowest, highest = found.get(name, (0.0, 0.0))
                found[name] = min(lowest, float(values.min())), max(highest, float(values.max()))
    return found


def _opened(proto: onnx.ModelProto, names: set[str], beside: Path) -> LoadedModel:
    """Returns the model with the tensors ``names`` among its outputs, through a file ``beside`` its own."""
    opened = onnx.ModelProto()
    opened.CopyFrom(proto)
    there = {value.name for value in (*proto.graph.output, *proto.graph.input)}
    made = {output for node in proto.graph.node for output in node.output}
    opened.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(names & made - there))
    path = beside.with_name("opened.onnx")
    weight_files.save(opened, path)
    try:
        return runtime.load_onnx(path, threads=usable_cores())
    finally:
        path.unlink()


def measure(model: Path, types: Iterable[str], feeds: Iterable[Mapping[str, Array]]) -> dict[str, Array]:
    """Returns the float values of each tensor that nodes of ``types`` read or write, on all ``feeds``, flat.

    Those of stored tensors are as they are. All are in memory. Raises LoadFailure and RunFailure.
    """
    proto, wanted = onnx.load(model), set(types)
    names = {name for node in proto.graph.node if node.op_type in wanted for name in _quantized(node)}
    stored = {tensor.name: tensor for tensor in proto.graph.initializer}
    constants = {name: np.asarray(onnx.numpy_helper.to_array(stored[name])) for name in names if name in stored}
    loaded = _opened(proto, names, model)
    found: dict[str, list[Array]] = {name: [values] for name, values in constants.items()}
    for feed in feeds:
        for name, values in zip(loaded.signature.outputs, runtime.run(loaded, feed), strict=True):
            found.setdefault(name, []).append(values)
        for name, values in feed.items():
            found.setdefault(name, []).append(values)
    return {
        name: np.concatenate([np.ravel(one) for one in arrays])
        for name, arrays in found.items()
        if name in names and arrays[0].dtype.kind == "f"
    }


def _why(values: Array) -> str:
    """Returns why int8 cannot represent ``values``; empty if it can.

    It cannot if some values are much larger than all others, with none between, and the others would become one and the
    same step.
    """
    if not values.size:
        return ""
    if np.isnan(values).any():
        return "it holds NaN"
    if np.isinf(values).any():
        return "it holds infinite values"
    sizes = np.abs(values[values != 0].astype(np.float64))
    if not sizes.size:
        return ""
    step = (max(float(values.max()), 0.0) - min(float(values.min()), 0.0)) / _STEPS
    largest = float(sizes.max())
    lost, between = sizes < step / 2, (sizes >= step / 2) & (sizes < largest / 4)
    if lost.mean() > _MIN_SHARE and between.mean() < _MIN_SHARE:
        return f"its values lie up to {largest:.3g}, and others within {float(sizes[lost].max()):.3g}"
    return ""


def _why_parts(parts: list[Array]) -> str:
    sizes = [float(np.abs(part).max(initial=0)) for part in parts]
    sizes = [size for size in sizes if size > 0 and np.isfinite(size)]
    if sizes and max(sizes) > _MAX_RATIO * min(sizes):
        return f"it joins values up to {max(sizes):.3g} with others up to {min(sizes):.3g}"
    return ""
