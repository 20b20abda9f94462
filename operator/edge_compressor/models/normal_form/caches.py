"""The cache of a decoder, whose heads have a size that exporters may leave open, though the weights determine it."""

from collections.abc import Mapping
from typing import Final

import onnx
from onnx import helper

from edge_compressor.models.normal_form.refusal import counted

_ATTENTION: Final = "GroupQueryAttention"
_QUERY, _KEY, _PAST_KEY, _PAST_VALUE, _COSINES = 0, 1, 3, 4, 7
_SIZE: Final = 3
"""The axis of the size of a head, in the inputs and outputs of the cache."""


def fix_caches(model: onnx.ModelProto) -> list[str]:
    """Declares the size of the heads of each GroupQueryAttention whose cache is an input and an output of the model."""
    graph = model.graph
    makers = {output: node for node in graph.node for output in node.output}
    sizes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    declared = {value.name: value for value in (*graph.input, *graph.output)}
    fixed = 0
    for node in graph.node:
        if node.op_type != _ATTENTION or len(node.input) <= _PAST_VALUE or (size := _size(node, makers, sizes)) is None:
            continue
        for name in (*node.input[_PAST_KEY : _PAST_VALUE + 1], *node.output[1:3]):
            if name not in declared:
                continue
            shape = declared[name].type.tensor_type.shape.dim
            if len(shape) == _SIZE + 1 and not shape[_SIZE].HasField("dim_value"):
                shape[_SIZE].dim_value = size
                fixed += 1
    return [f"{counted(fixed, 'tensor')} of the cache left the size of a head open, which is fixed"] if fixed else []


def _size(node: onnx.NodeProto, makers: Mapping[str, onnx.NodeProto], sizes: Mapping[str, list[int]]) -> int | None:
    """Returns the size of a head; None if neither the weights before the node nor its rotations tell it."""
    attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    heads, of_keys = int(attributes.get("num_heads", 0)), int(attributes.get("kv_num_heads", 0))
    packed = not node.input[_KEY]
    width, heads = _width(node.input[_QUERY], makers, sizes), heads + 2 * of_keys if packed else heads
    if width is not None and heads > 0 and width % heads == 0:
        return width // heads
    cosines = sizes.get(node.input[_COSINES]) if len(node.input) > _COSINES else None
    return 2 * cosines[1] if cosines is not None and len(cosines) == 2 else None


def _width(name: str, makers: Mapping[str, onnx.NodeProto], sizes: Mapping[str, list[int]]) -> int | None:
    """Returns the last dimension of a tensor that a product makes, with a bias or without; None for another."""
    node = makers.get(name)
    if node is not None and node.op_type == "Add":
        node = next((makers[one] for one in node.input if one in makers), None)
    if node is None:
        return None
    if node.op_type == "MatMulNBits":
        return next((int(one.i) for one in node.attribute if one.name == "N"), None)
    weight = sizes.get(node.input[1]) if node.op_type == "MatMul" else None
    return weight[-1] if weight else None
