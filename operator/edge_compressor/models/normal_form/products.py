"""Products with vectors, and with weights of superfluous dimensions, become products with matrices."""

from collections.abc import Mapping

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.shape_inference

from edge_compressor.models.graph import drop_unread, fresh, opset, set_nodes, taken_names
from edge_compressor.models.normal_form.refusal import counted

_AXES_ARE_INPUTS = 13
"""The first operator set in which Squeeze takes its axes as an input."""


def make_matrices(model: onnx.ModelProto) -> list[str]:
    """Turns the weight of a MatMul into a matrix if the product stays the same.

    A vector becomes a matrix of one column, which a Squeeze removes again. Leading dimensions of 1 are removed if the
    other side has at least as many dimensions. A stack of several matrices stays one.
    """
    graph, taken = model.graph, taken_names(model)
    stored = {tensor.name: tensor for tensor in graph.initializer}
    known = ranks(model)
    kept, changed = [], 0
    matrices: dict[str, str] = {}
    for node in graph.node:
        weight = stored.get(node.input[1]) if node.op_type == "MatMul" and not node.domain else None
        kept.append(node)
        if weight is None or len(weight.dims) == 2 or not all(weight.dims):
            continue
        is_vector = len(weight.dims) == 1
        fits = known.get(node.input[0], 0) >= len(weight.dims) and set(weight.dims[:-2]) == {1}
        if not (is_vector or fits):
            continue
        if weight.name not in matrices:
            values = np.asarray(onnx.numpy_helper.to_array(weight))
            name = matrices[weight.name] = fresh(f"{weight.name}_matrix", taken)
            shape = (-1, 1) if is_vector else values.shape[-2:]
            stored[name] = onnx.numpy_helper.from_array(np.ascontiguousarray(values.reshape(shape)), name)
            graph.initializer.append(stored[name])
        node.input[1] = matrices[weight.name]
        changed += 1
        if is_vector:
            kept.append(_squeeze(model, node, taken))
    if not changed:
        return []
    set_nodes(graph, kept)
    drop_unread(model)
    return [f"{counted(changed, 'weight')} of MatMul that were no matrices became matrices"]


def _squeeze(model: onnx.ModelProto, node: onnx.NodeProto, taken: set[str]) -> onnx.NodeProto:
    """Makes ``node`` write another tensor, and returns the node that computes its former output from that."""
    output, name = node.output[0], fresh(f"{node.name}_squeeze", taken)
    node.output[0] = fresh(f"{output}_column", taken)
    if opset(model) < _AXES_ARE_INPUTS:
        return onnx.helper.make_node("Squeeze", [node.output[0]], [output], name=name, axes=[-1])
    axes = onnx.numpy_helper.from_array(np.array([-1]), fresh(f"{name}_axes", taken))
    model.graph.initializer.append(axes)
    return onnx.helper.make_node("Squeeze", [node.output[0], axes.name], [output], name=name)


def ranks(model: onnx.ModelProto) -> Mapping[str, int]:
    """Returns the number of dimensions of tensors, where it is known."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    return {
        value.name: len(value.type.tensor_type.shape.dim)
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.tensor_type.HasField("shape")
    }
