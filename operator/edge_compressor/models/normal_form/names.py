"""The names of nodes, by which users exclude them and libraries distinguish them."""

import onnx

from edge_compressor.models.graph import fresh, graphs
from edge_compressor.models.normal_form.refusal import counted
from edge_compressor.models.onnx_model import nodes


def name_nodes(model: onnx.ModelProto) -> list[str]:
    """Gives each node a name that no other of its graph has.

    Nameless ones become ``<operator>_<position>``; of several with one name, the first keeps it.
    """
    taken = {node.name for node in nodes(model.graph)}
    for graph in graphs(model.graph):
        for position, node in enumerate(graph.node):
            if not node.name:
                node.name = fresh(f"{node.op_type}_{position}", taken)
    repeated = sum(_tell_apart(graph, taken) for graph in graphs(model.graph))
    return [f"{counted(repeated, 'node')} had the name of another, and got one of their own"] if repeated else []


def _tell_apart(graph: onnx.GraphProto, taken: set[str]) -> int:
    seen: set[str] = set()
    changed = 0
    for position, node in enumerate(graph.node):
        if node.name and node.name in seen:
            node.name = fresh(f"{node.name}_{position}", taken)
            changed += 1
        seen.add(node.name)
    return changed
