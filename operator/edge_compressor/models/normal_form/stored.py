"""Weights that are stored in another form than they are used: smaller, transposed, or behind a table."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnx.numpy_helper

from edge_compressor.models.graph import drop_unread, set_nodes
from edge_compressor.models.weight_files import values_of
from edge_runtime.datatypes import Array

_MAX_GROWTH: Final = 4
"""The largest growth in bytes of a tensor that is computed from stored ones; more is an expansion, not a weight."""


def lay_weights_open(model: onnx.ModelProto, folder: Path = Path()) -> list[str]:
    """Computes weights from stored tensors, and makes them initializers, which readers look for.

    Tensors may lie in files of ``folder``; what is computed from them lies in the graph.

    Some exporters leave a Transpose or a Reshape between a weight and its reader; Convert and ClusterWeights store
    weights in a smaller form, behind a Cast from float16 or a Gather from a codebook, and Auto as int8 with scales.
    """
    graph = model.graph
    outputs = {output.name for output in graph.output}
    stored = {tensor.name: tensor for tensor in graph.initializer}
    kept, computed = [], False
    for node in graph.node:
        values = None if set(node.output) & outputs else _computed(node, stored, folder)
        if values is None:
            kept.append(node)
            continue
        tensor = onnx.numpy_helper.from_array(np.ascontiguousarray(values), node.output[0])
        stored[tensor.name] = tensor
        graph.initializer.append(tensor)
        computed = True
    if computed:
        set_nodes(graph, kept)
        drop_unread(model)
    return []


def _computed(node: onnx.NodeProto, stored: Mapping[str, onnx.TensorProto], folder: Path) -> Array | None:
    """Returns the output of ``node``; None unless all its inputs are stored and it is one of few operators."""
    if node.domain or node.op_type not in _OPERATORS or not all(name in stored for name in node.input):
        return None
    return computed(node, [values_of(stored[name], folder) for name in node.input])


def computed(node: onnx.NodeProto, inputs: Sequence[Array]) -> Array | None:
    """Returns the output of ``node`` for constant ``inputs``; None for an operator that lays no weight open."""
    if node.domain or node.op_type not in _OPERATORS:
        return None
    attributes = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
    if any(array.dtype.kind not in "fiub" for array in inputs):
        return None
    try:
        values = np.asarray(_OPERATORS[node.op_type](attributes, *inputs))
    except (ValueError, IndexError, KeyError, TypeError):  # invalid inputs for the operator, which the checker reports
        return None
    given = sum(array.nbytes for array in inputs)
    return values if values.nbytes <= max(_MAX_GROWTH * given, 4096) else None


def _cast(attributes: Mapping[str, Any], values: Array) -> Array:
    with np.errstate(over="ignore"):
        return values.astype(onnx.helper.tensor_dtype_to_np_dtype(attributes["to"]))


def _gather(attributes: Mapping[str, Any], values: Array, indices: Array) -> Array:
    return values.take(indices, axis=attributes.get("axis", 0))


def _transpose(attributes: Mapping[str, Any], values: Array) -> Array:
    return values.transpose(attributes.get("perm"))


def _reshape(attributes: Mapping[str, Any], values: Array, shape: Array) -> Array:
    if (shape == 0).any():
        raise ValueError("0 stands for the size of the input there")
    return values.reshape([int(size) for size in shape])


def _squeeze(attributes: Mapping[str, Any], values: Array, axes: Array | None = None) -> Array:
    given = attributes.get("axes") if axes is None else axes
    return values.squeeze(None if given is None else tuple(int(axis) for axis in given))


def _unsqueeze(attributes: Mapping[str, Any], values: Array, axes: Array | None = None) -> Array:
    given = attributes["axes"] if axes is None else axes
    return np.expand_dims(values, tuple(int(axis) for axis in given))


def _scaled(attributes: Mapping[str, Any], values: Array, scale: Array) -> Array:
    if values.dtype != scale.dtype or values.dtype.kind != "f":
        raise TypeError("whole numbers are sizes and positions, not weights")
    return values * scale


_OPERATORS: Final[Mapping[str, Callable[..., Array]]] = {
    "Cast": _cast,
    "Gather": _gather,
    "Mul": _scaled,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
