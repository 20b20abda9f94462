"""Models whose weights are float16, bfloat16 or float64, since quantizers accept float32 only."""

from typing import Final

import numpy as np
import onnx
import onnx.numpy_helper

from edge_compressor.models.graph import fresh, graphs, rename_reads, set_nodes, taken_names
from edge_runtime.datatypes import Array

FLOAT: Final = onnx.TensorProto.FLOAT
OTHERS: Final = {
    onnx.TensorProto.FLOAT16: "float16",
    onnx.TensorProto.BFLOAT16: "bfloat16",
    onnx.TensorProto.DOUBLE: "float64",
}
_TYPE_ATTRIBUTES: Final = frozenset({"dtype", "output_dtype", "stash_type", "to"})
_LIMIT: Final = float(np.finfo(np.float32).max)


def widen_or_narrow(model: onnx.ModelProto) -> list[str]:
    """Makes a model with weights of another float type compute in float32; its inputs and outputs keep their types.

    float64 loses digits that int8 does not keep either. A value beyond float32, such as the lowest float64 of a mask,
    becomes the end of its range. A model without such weights stays as it is, whatever casts it has.
    """
    graph = model.graph
    found = {tensor.data_type for tensor in graph.initializer if len(tensor.dims) > 0 and tensor.data_type in OTHERS}
    if not found or not any(len(one.dims) > 1 and one.data_type in OTHERS for one in graph.initializer):
        return []
    for inner in graphs(graph):
        _convert_tensors(inner)
    for inner in list(graphs(graph))[1:]:
        for value in (*inner.input, *inner.output, *inner.value_info):
            if value.type.tensor_type.elem_type in OTHERS:
                value.type.tensor_type.elem_type = FLOAT
    del graph.value_info[:]  # types of tensors between nodes, which every reader infers again
    _cast_interface(model)
    names = " and ".join(sorted(OTHERS[kind] for kind in found))
    return [f"weights and computations in {names} became float32; inputs and outputs keep their types"]


def _convert_tensors(graph: onnx.GraphProto) -> None:
    for tensor in graph.initializer:
        _convert(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.INT and attribute.name in _TYPE_ATTRIBUTES:
                attribute.i = FLOAT if attribute.i in OTHERS else attribute.i
            if attribute.HasField("t"):
                _convert(attribute.t)
            for tensor in attribute.tensors:
                _convert(tensor)


def _convert(tensor: onnx.TensorProto) -> None:
    if tensor.data_type not in OTHERS:
        return
    values: Array = np.asarray(onnx.numpy_helper.to_array(tensor))
    if tensor.data_type == onnx.TensorProto.DOUBLE:
        finite = np.isfinite(values)
        values = np.where(finite, np.clip(values, -_LIMIT, _LIMIT), values)
    tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float32), tensor.name))


def _cast_interface(model: onnx.ModelProto) -> None:
    """Puts a Cast behind each input and before each output of another type."""
    graph, taken = model.graph, taken_names(model)
    before, after, renamed = [], [], {}
    for given in graph.input:
        if given.type.tensor_type.elem_type in OTHERS:
            renamed[given.name] = fresh(f"{given.name}_float32", taken)
            before.append(_cast(given.name, renamed[given.name], FLOAT, taken))
    rename_reads(graph, renamed)
    made = {output: node for node in graph.node for output in node.output}
    stored = {tensor.name: tensor for tensor in graph.initializer}
    inner_names: dict[str, str] = {}
    for output in graph.output:
        kind = output.type.tensor_type.elem_type
        if kind not in OTHERS or output.name in inner_names:
            continue
        if output.name in renamed:  # an input that is an output as well: it keeps its type
            continue
        inner = inner_names[output.name] = fresh(f"{output.name}_float32", taken)
        if output.name in made:
            node = made[output.name]
            node.output[list(node.output).index(output.name)] = inner
        elif output.name in stored:
            stored[output.name].name = inner
        after.append(_cast(inner, output.name, kind, taken))
    rename_reads(graph, inner_names)
    set_nodes(graph, [*before, *graph.node, *after])


def _cast(given: str, made: str, to: int, taken: set[str]) -> onnx.NodeProto:
    return onnx.helper.make_node("Cast", [given], [made], name=fresh(f"{made}_cast", taken), to=to)
