"""Paddings with the lowest number before a MaxPool, which int8 cannot hold beside activations."""

from typing import Final

import numpy as np
import onnx
import onnx.numpy_helper

from edge_compressor.models.graph import drop_unread, reads, set_nodes
from edge_compressor.models.normal_form.refusal import counted

LEAST: Final = -65504.0
"""The lowest float16: a padding at or below it hides no activation."""


def fold_paddings(model: onnx.ModelProto) -> list[str]:
    """Makes such a Pad part of the MaxPool that alone reads it, whose own padding no window sees.

    The result is the same if each window holds a value that is no padding. A MaxPool that rounds its size up, or
    chooses its padding itself, keeps the Pad.
    """
    graph, counts = model.graph, reads(model)
    stored = {tensor.name: tensor for tensor in graph.initializer}
    pads = {node.output[0]: node for node in graph.node if node.op_type == "Pad" and not node.domain}
    folded: set[str] = set()
    for node in graph.node:
        pad = pads.get(node.input[0]) if node.op_type == "MaxPool" and not node.domain else None
        if pad is None or counts[pad.output[0]] != 1:
            continue
        padding = _padding(pad, stored)
        if padding is None or (whole := _added(node, padding)) is None:
            continue
        for attribute in [one for one in node.attribute if one.name in ("pads", "auto_pad")]:
            node.attribute.remove(attribute)
        node.attribute.append(onnx.helper.make_attribute("pads", whole))
        node.input[0] = pad.input[0]
        folded.add(pad.output[0])
    if not folded:
        return []
    set_nodes(graph, [node for node in graph.node if not folded & set(node.output)])
    drop_unread(model)
    return [f"{counted(len(folded), 'padding')} with the lowest number became part of the MaxPool after it"]


def _padding(pad: onnx.NodeProto, stored: dict[str, onnx.TensorProto]) -> list[int] | None:
    """Returns the sizes that ``pad`` adds at the beginning of each axis, then at the end of each.

    None unless they are known, and its value stands for minus infinity.
    """
    attributes = {one.name: onnx.helper.get_attribute_value(one) for one in pad.attribute}
    if attributes.get("mode", b"constant") != b"constant" or len(pad.input) > 3:
        return None
    if "pads" in attributes:  # before operator set 11
        sizes, value = list(attributes["pads"]), attributes.get("value", 0.0)
    else:
        if len(pad.input) < 3 or not all(name in stored for name in pad.input[1:]):
            return None
        arrays = [np.asarray(onnx.numpy_helper.to_array(stored[name])).ravel() for name in pad.input[1:]]
        sizes, value = arrays[0].tolist(), float(arrays[1][0])
    return [int(size) for size in sizes] if value <= LEAST else None


def _added(pool: onnx.NodeProto, padding: list[int]) -> list[int] | None:
    """Returns the paddings of ``pool`` with ``padding`` added; None if it cannot take them."""
    attributes = {one.name: onnx.helper.get_attribute_value(one) for one in pool.attribute}
    kernel = list(attributes["kernel_shape"])
    own = list(attributes.get("pads", [0] * 2 * len(kernel)))
    rank = len(kernel) + 2
    if (
        len(padding) != 2 * rank
        or any(padding[axis] for axis in (0, 1, rank, rank + 1))
        or attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID")
        or attributes.get("ceil_mode", 0)
        or any(dilation != 1 for dilation in attributes.get("dilations", []))
        or len(pool.output) > 1  # its indices would be other ones
    ):
        return None
    spatial = padding[2:rank] + padding[rank + 2 :]
    whole = [given + more for given, more in zip(own, spatial, strict=True)]
    fits = all(0 <= size < kernel[axis % len(kernel)] for axis, size in enumerate(whole))
    return whole if fits and min(spatial) >= 0 else None
