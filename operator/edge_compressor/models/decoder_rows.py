"""The rows of logits that a decoder computes: all, or as many as its caller asks for.

Whoever continues a text needs the logits after the last token of a prompt alone, and the product that makes them, the
head, is a fifth of a small model's work. So a decoder gets an optional input, ROWS_INPUT: the number of tokens, from
the last one backwards. Its default, 0, is all of them, so that nobody has to know it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edge_compressor.models.graph import fresh, set_nodes, taken_names
from edge_compressor.models.weight_files import load_graph
from edge_runtime.decoder import LOGITS, ROWS_INPUT
from edge_runtime.weight_files import has_operator

_PAST: Final = "past_key_values.0.key"
_HEADS: Final = ("FusedMatMul", "MatMul", "MatMulNBits")
_ELEMENTWISE: Final = frozenset({"Add", "Cast", "Div", "Identity", "Mul", "Tanh"})
"""The operators between the head and the logits."""
_LAID_OPEN: Final = frozenset({"Cast", "Identity", "Transpose"})
"""The operators between a stored matrix and the head."""
_END: Final = np.iinfo(np.int64).max


def with_rows(path: Path) -> Path:
    """Returns the graph of the decoder at ``path`` with the choice of rows, in a new file beside it and its weights;
    ``path`` itself for another model, and for a decoder that has the choice or whose head is not known."""
    if not has_operator(path, _PAST):
        return path
    model = load_graph(path)
    if not choose_rows(model):
        return path
    to = path.with_name(f"{path.stem}-with-rows.onnx")
    onnx.save(model, to)
    return to


def choose_rows(model: onnx.ModelProto) -> bool:
    """Adds the input, and a Slice before the head, to a decoder; returns whether there was one whose head is known."""
    graph = model.graph
    if any(value.name == ROWS_INPUT for value in graph.input) or not _is_decoder(graph):
        return False
    head = _head(graph)
    if head is None:
        return False
    taken = taken_names(model)
    nodes = []
    for node in graph.node:
        if head in node.output:
            given = fresh(f"{node.input[0]}_rows", taken)
            nodes += _choice(graph, node.input[0], given, taken)
            node.input[0] = given
        nodes.append(node)
    set_nodes(graph, nodes)
    graph.input.append(helper.make_tensor_value_info(ROWS_INPUT, TensorProto.INT64, []))
    graph.initializer.append(numpy_helper.from_array(np.array(0, np.int64), ROWS_INPUT))
    (logits,) = [value for value in graph.output if value.name == LOGITS]
    if len(logits.type.tensor_type.shape.dim) == _LOGITS_RANK:
        logits.type.tensor_type.shape.dim[1].dim_param = "rows"
    del graph.value_info[:]  # shapes behind the choice are others
    return True


_LOGITS_RANK: Final = 3


def _choice(graph: onnx.GraphProto, given: str, result: str, taken: set[str]) -> list[onnx.NodeProto]:
    """Returns the nodes that take the last rows of ``given``, (batch, tokens, values); counted from the end, 0 is the
    first."""
    constants = {}
    for what, values in (("one", [1]), ("end", [_END]), ("axis", [1])):
        constants[what] = fresh(f"{ROWS_INPUT}_{what}", taken)
        graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), constants[what]))
    flat, start = (fresh(f"{ROWS_INPUT}_{what}", taken) for what in ("flat", "start"))
    return [
        helper.make_node("Reshape", [ROWS_INPUT, constants["one"]], [flat], name=flat),
        helper.make_node("Neg", [flat], [start], name=start),
        helper.make_node("Slice", [given, start, constants["end"], constants["axis"]], [result], name=result),
    ]


def _is_decoder(graph: onnx.GraphProto) -> bool:
    inputs, outputs = ({value.name for value in values} for values in (graph.input, graph.output))
    return _PAST in inputs and LOGITS in outputs


def _head(graph: onnx.GraphProto) -> str | None:
    """Returns the result of the product with a stored matrix that, changed value by value at most, is the logits."""
    makers = {output: node for node in graph.node for output in node.output if output}
    stored = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    node = makers.get(LOGITS)
    while node is not None:
        if node.op_type in _HEADS:
            return str(node.output[0]) if _is_matrix(node, stored, makers) else None
        varying = [name for name in node.input if name and name not in stored]
        node = makers.get(varying[0]) if node.op_type in _ELEMENTWISE and len(varying) == 1 else None
    return None


def _is_matrix(head: onnx.NodeProto, stored: Mapping[str, list[int]], makers: Mapping[str, onnx.NodeProto]) -> bool:
    """Returns whether ``head`` multiplies its first input, row by row, with a stored matrix."""
    if head.op_type == "MatMulNBits":
        return True
    if any(one.name == "transA" and one.i for one in head.attribute):
        return False
    name = head.input[1]
    while name not in stored:
        node = makers.get(name)
        if node is None or node.op_type not in _LAID_OPEN:
            return False
        name = node.input[0]
    return len(stored[name]) == 2
