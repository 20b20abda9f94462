"""The normal form in which the compressor works on ONNX graphs, whatever exporter wrote them.

Every graph is loaded by ``load``: a pass that all steps need is in PASSES, and nowhere else.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import onnx
import onnx.numpy_helper

from edge_compressor.models.onnx_model import nodes
from edge_runtime.datatypes import Array


def load(path: Path, *, weights_as_initializers: bool = False) -> onnx.ModelProto:
    """Returns the model at ``path`` in its normal form, which has the same outputs as the file.

    With ``weights_as_initializers``, weights that the graph computes from constants become initializers too, for steps
    that read weights.
    """
    model = onnx.load(path)
    for normalized in PASSES:
        model = normalized(model)
    return with_weights_as_initializers(model) if weights_as_initializers else model


def with_named_nodes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Gives each node a name, by which it can be excluded: nameless ones become ``<operator>_<position>``."""
    taken = {node.name for node in model.graph.node}
    for position, node in enumerate(model.graph.node):
        if not node.name:
            name = f"{node.op_type}_{position}"
            while name in taken:
                name += "_"
            node.name = name
            taken.add(name)
    return model


def with_weights_as_initializers(model: onnx.ModelProto) -> onnx.ModelProto:
    """Turns weights that the graph computes from constants into initializers, the only form that steps read.

    Some exporters write them as Constant nodes; Convert and ClusterWeights store them in a smaller form, behind a Cast
    from float16 or a Gather from a codebook.
    """
    graph = model.graph
    constants = [node for node in graph.node if node.op_type == "Constant" and node.attribute[0].name == "value"]
    for node in constants:
        graph.initializer.append(node.attribute[0].t)
        graph.initializer[-1].name = node.output[0]
        graph.node.remove(node)
    stored = {tensor.name: tensor for tensor in graph.initializer}
    indices: dict[str, onnx.TensorProto] = {}
    unpacked = []
    for node in graph.node:
        given = [indices.get(name) or stored.get(name) for name in node.input]
        if node.op_type not in ("Cast", "Gather") or not all(given):
            continue
        values = _unpack(node, [onnx.numpy_helper.to_array(tensor) for tensor in given])
        tensor = onnx.numpy_helper.from_array(values, node.output[0])
        if values.dtype.kind == "i":  # for the Gather that comes next
            indices[tensor.name] = tensor
        elif values.dtype.kind == "f":
            stored[tensor.name] = tensor
            unpacked.append(node)
    for node in unpacked:
        graph.node.remove(node)
        graph.initializer.append(stored[node.output[0]])
    if unpacked:
        drop_unread(model)
    return model


def _unpack(node: onnx.NodeProto, given: list[Array]) -> Array:
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    if node.op_type == "Cast":
        return given[0].astype(onnx.helper.tensor_dtype_to_np_dtype(attributes["to"]))
    return given[0].take(given[1], axis=attributes.get("axis", 0))


def drop_unread(model: onnx.ModelProto) -> None:
    """Removes casts and initializers that nothing reads any more."""
    graph = model.graph

    def read() -> set[str]:
        return {name for node in nodes(graph) for name in node.input} | {output.name for output in graph.output}

    used = read()
    for node in [node for node in graph.node if node.op_type == "Cast" and node.output[0] not in used]:
        graph.node.remove(node)
    used = read()
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)


PASSES: Final[tuple[Callable[[onnx.ModelProto], onnx.ModelProto], ...]] = (with_named_nodes,)
"""The passes over every graph that is loaded, in this order."""
