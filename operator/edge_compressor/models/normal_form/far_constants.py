"""Constants that stand for infinity: the -inf of a padding or a mask, and the lowest number of its type."""

from typing import Final

import numpy as np
import onnx
import onnx.numpy_helper

from edge_compressor.models.normal_form.refusal import counted
from edge_compressor.models.onnx_model import nodes

FAR: Final = 1e9
"""No activation is as large; exp(-FAR) is 0, as exp(-inf) is."""
_TELL_INFINITY_APART: Final = frozenset({"Equal", "IsInf", "IsNaN"})
"""The operators that distinguish an infinite value from a large one."""
_FILL: Final = frozenset({"Add", "Concat", "ConstantOfShape", "Expand", "Max", "Min", "Pad", "ScatterND", "Where"})
"""The operators that put constants beside other values; a factor of 1e30 must stay, and so must a bound."""


def bring_constants_near(model: onnx.ModelProto) -> list[str]:
    """Reduces constants beyond FAR to FAR, because no range of values can be measured with an infinite one.

    Only those that stand beside other values; a model that tells infinity from large numbers keeps them all.
    """
    every = list(nodes(model.graph))
    if any(node.op_type in _TELL_INFINITY_APART for node in every):
        return []
    others = {name for node in every if node.op_type not in _FILL for name in node.input}
    changed = sum(_bring_near(tensor) for tensor in model.graph.initializer if tensor.name not in others)
    for node in every:
        if node.op_type == "ConstantOfShape" and node.output[0] not in others:
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
