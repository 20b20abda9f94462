"""Constants that exporters write as nodes: Constant, and Identity of a stored tensor."""

from collections.abc import Iterable

import numpy as np
import onnx
import onnx.numpy_helper

from edge_compressor.models.graph import graphs, reads, rename_reads, set_nodes
from edge_compressor.models.normal_form.refusal import counted
from edge_compressor.models.normal_form.sparse import dense

_MIN_VALUES = 64
"""The size below which a moved constant is not reported."""


def store_constants(model: onnx.ModelProto) -> list[str]:
    """Stores the contents of Constant nodes as initializers of their graph, the only weights that readers find.

    Readers of an Identity of an initializer, which stands for a weight that layers share, read the initializer. Outputs
    of a graph stay as they are.
    """
    large, aliases = 0, list[str]()
    for graph in reversed(list(graphs(model.graph))):  # inner ones first: set_nodes copies nodes
        found, names = _store(graph)
        large += found
        aliases += names
    changes = [f"{counted(large, 'weight')} in Constant nodes became initializers"] if large else []
    if aliases:
        used = set(reads(model))
        shared = sum(name in used for name in aliases)
        if shared:
            changes.append(f"{counted(shared, 'reader')} of shared weights read them without an Identity between")
    return changes


def _store(graph: onnx.GraphProto) -> tuple[int, Iterable[str]]:
    """Returns the number of large constants, and the initializers that an Identity stood for."""
    outputs = {output.name for output in graph.output}
    stored = {tensor.name for tensor in graph.initializer}
    kept, large = [], 0
    aliases: dict[str, str] = {}
    for node in graph.node:
        if node.op_type == "Identity" and node.output[0] not in outputs:
            of = aliases.get(node.input[0], node.input[0])
            if of in stored:
                aliases[node.output[0]] = of
                continue
        tensor = _tensor(node) if node.output and node.output[0] not in outputs else None
        if tensor is None:
            kept.append(node)
            continue
        graph.initializer.append(tensor)
        stored.add(tensor.name)
        large += int(np.prod(tensor.dims)) >= _MIN_VALUES
    if len(kept) == len(graph.node):
        return 0, ()
    rename_reads(graph, aliases)
    set_nodes(graph, kept)
    return large, aliases.values()


def _tensor(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """Returns the contents of a Constant node, under the name of its output; None for another node, or for texts."""
    if node.op_type != "Constant" or node.domain:
        return None
    tensor = onnx.TensorProto()
    for attribute in node.attribute:
        if attribute.name == "value":
            tensor.CopyFrom(attribute.t)
        elif attribute.name in ("value_float", "value_floats"):
            values = attribute.f if attribute.name == "value_float" else list(attribute.floats)
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.array(values, dtype=np.float32)))
        elif attribute.name in ("value_int", "value_ints"):
            whole = attribute.i if attribute.name == "value_int" else list(attribute.ints)
            tensor.CopyFrom(onnx.numpy_helper.from_array(np.array(whole, dtype=np.int64)))
        elif attribute.name == "sparse_value":
            values = dense(attribute.sparse_tensor)
            if values is None:
                return None
            tensor.CopyFrom(onnx.numpy_helper.from_array(values))
        else:
            return None
        tensor.name = node.output[0]
        return tensor
    return None
