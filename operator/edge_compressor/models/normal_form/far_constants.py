"""Constants that stand for infinity: the -inf of a padding or a mask, and the lowest number of its type."""

from typing import Final

import numpy as np
import onnx
import onnx.numpy_helper

from edge_compressor.models.graph import graphs
from edge_compressor.models.normal_form.refusal import counted

FAR: Final = 1e9
"""No activation is as large; exp(-FAR) is 0, as exp(-inf) is."""
_TELL_INFINITY_APART: Final = frozenset({"Clip", "Equal", "IsInf", "IsNaN"})
"""The operators to which an infinite value is another value than a large one; a Clip's is no bound at all."""


def bring_constants_near(model: onnx.ModelProto) -> list[str]:
    """Makes constants beyond FAR as large as FAR: no range of values can be measured where one is infinite.

    A model that tells infinity from large numbers keeps its constants, and so do the bounds of Clip.
    """
    graph = model.graph
    kinds = {node.op_type for node in graph.node}
    if kinds & _TELL_INFINITY_APART - {"Clip"}:
        return []
    bounds = {name for node in graph.node if node.op_type == "Clip" for name in node.input[1:]}
    changed = sum(_bring_near(tensor) for tensor in graph.initializer if tensor.name not in bounds)
    for inner in graphs(graph):
        for node in inner.node:
            if node.op_type == "ConstantOfShape":
                changed += sum(_bring_near(one.t) for one in node.attribute if one.HasField("t"))
    return [f"{counted(changed, 'constant')} beyond {FAR:g} became {FAR:g} in magnitude"] if changed else []


def _bring_near(tensor: onnx.TensorProto) -> bool:
    if tensor.data_type != onnx.TensorProto.FLOAT:
        return False
    values = np.asarray(onnx.numpy_helper.to_array(tensor))
    if not (np.abs(values) > FAR).any():
        return False
    near = np.where(np.isnan(values), values, np.clip(values, -FAR, FAR)).astype(np.float32)
    tensor.CopyFrom(onnx.numpy_helper.from_array(near, tensor.name))
    return True
