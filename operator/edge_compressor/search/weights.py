"""Weights that are stored in a small form and computed with as before: FP16, or int8 with a scale per channel.

The file holds the small weights and, for each, the nodes that turn it into FP32. They have constant inputs only, so
that onnxruntime runs them once, when it loads the model: latency and memory are those of the source.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edge_compressor.models import normal_form, weight_files

Array = NDArray[Any]

DATATYPES: Final = ("FP16", "INT8")
MIN_VALUES: Final = 1024
"""The smallest number of values of a tensor that is worth the nodes that restore it."""
_MAX_FP16: Final = 65504.0
_INT8_STEPS: Final = 127


def store(model: Path, to: Path, datatype: str) -> int:
    """Writes ``model`` with its FP32 weights as ``datatype`` to ``to``, and returns the number of converted tensors.

    It converts initializers and constants, including those of subgraphs. Tensors with fewer than MIN_VALUES values, or
    with some that ``datatype`` cannot hold, stay as they are.
    """
    loaded = normal_form.load(model)
    count = sum(_store(graph, datatype) for graph in list(_graphs(loaded.graph)))
    weight_files.save(loaded, to)
    return count


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(inner)


def _store(graph: onnx.GraphProto, datatype: str) -> int:
    """Converts the tensors of one graph. They keep their names, so that no reader of them, even in a subgraph, has to
    change."""
    restoring: list[onnx.NodeProto] = []
    kept, count = [], 0
    for tensor in graph.initializer:
        made = _restored(tensor, tensor.name, datatype)
        if made is None:
            kept.append(tensor)
            continue
        small, nodes = made
        kept += small
        restoring += nodes
        count += 1
    others = []
    for node in graph.node:
        value = node.attribute[0] if node.op_type == "Constant" and node.attribute[0].name == "value" else None
        made = _restored(value.t, node.output[0], datatype) if value is not None else None
        if made is None:
            others.append(node)
            continue
        small, nodes = made
        kept += small
        others += nodes
        count += 1
    if count:
        stored = {node.output[0] for node in restoring}
        inputs = [given for given in graph.input if given.name not in stored]  # as ONNX once listed weights
        for field, values in (("initializer", kept), ("node", [*restoring, *others]), ("input", inputs)):
            copies = [type(value).FromString(value.SerializeToString()) for value in values]
            graph.ClearField(field)
            getattr(graph, field).extend(copies)
    return count


def _restored(
    tensor: onnx.TensorProto, name: str, datatype: str
) -> tuple[list[onnx.TensorProto], list[onnx.NodeProto]] | None:
    """Returns the stored tensors, and the nodes that restore ``name``; None for a tensor that stays."""
    if tensor.data_type != onnx.TensorProto.FLOAT or np.prod(tensor.dims) < MIN_VALUES:
        return None
    values = numpy_helper.to_array(tensor)
    if not np.isfinite(values).all():
        return None
    small = f"{name}.{datatype.lower()}"
    if datatype == "FP16":
        if np.abs(values).max() > _MAX_FP16:
            return None
        cast = helper.make_node("Cast", [small], [name], name=f"{small}.cast", to=onnx.TensorProto.FLOAT)
        return [numpy_helper.from_array(values.astype(np.float16), small)], [cast]
    steps, scale = _rounded(values)
    floats, scales = f"{small}.float", f"{small}.scale"
    nodes = [
        helper.make_node("Cast", [small], [floats], name=f"{small}.cast", to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", [floats, scales], [name], name=f"{small}.mul"),
    ]
    return [numpy_helper.from_array(steps, small), numpy_helper.from_array(scale, scales)], nodes


def _rounded(values: Array) -> tuple[Array, Array]:
    """Returns the int8 steps and their scale along the axis that loses least."""
    best: tuple[float, Array, Array] | None = None
    for axis in range(values.ndim):
        others = tuple(other for other in range(values.ndim) if other != axis)
        largest = np.abs(values).max(axis=others, keepdims=True) if others else np.abs(values).max(keepdims=True)
        scale = np.where(largest > 0, largest / _INT8_STEPS, 1).astype(np.float32)
        steps = np.rint(values / scale).astype(np.int8)
        lost = float(np.square(values - steps * scale, dtype=np.float64).sum())
        if scale.nbytes <= steps.nbytes and (best is None or lost < best[0]):
            best = lost, steps, scale
    assert best is not None  # the shortest axis of 1024 values or more has few scales
    return best[1], best[2]
