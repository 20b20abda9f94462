"""The order of nodes: each after those whose outputs it reads."""

import onnx

from edge_compressor.models.graph import graphs, set_nodes
from edge_compressor.models.onnx_model import nodes, subgraphs


def sort_nodes(model: onnx.ModelProto) -> list[str]:
    """Sorts graphs whose nodes are not in an order in which they can run; the order of others stays."""
    moved = False
    for graph in reversed(list(graphs(model.graph))):  # inner ones first: sorting copies nodes
        moved = _sort(graph) or moved
    return ["nodes were not in the order in which they can run, and were sorted"] if moved else []


def _sort(graph: onnx.GraphProto) -> bool:
    """Returns False for a sorted graph, and for one with a cycle, which the checker refuses."""
    made_here = {output for node in graph.node for output in node.output if output}
    waiting = [(node, _needs(node) & made_here) for node in graph.node]
    made: set[str] = set()
    if _in_order(waiting, made):
        return False
    readers: dict[str, list[int]] = {}
    missing = []
    for number, (_, needs) in enumerate(waiting):
        missing.append(len(needs))
        for name in needs:
            readers.setdefault(name, []).append(number)
    ready = [number for number, count in enumerate(missing) if not count]
    ordered = []
    for number in ready:  # grows while it runs
        node = waiting[number][0]
        ordered.append(node)
        for name in node.output:
            for reader in readers.get(name, []):
                missing[reader] -= 1
                if not missing[reader]:
                    ready.append(reader)
    if len(ordered) < len(waiting):
        return False
    set_nodes(graph, ordered)
    return True


def _in_order(waiting: list[tuple[onnx.NodeProto, set[str]]], made: set[str]) -> bool:
    for node, needs in waiting:
        if not needs <= made:
            return False
        made |= set(node.output)
    return True


def _needs(node: onnx.NodeProto) -> set[str]:
    """Returns the tensors that ``node`` reads, including in its subgraphs."""
    inner = [name for graph in subgraphs(node) for one in nodes(graph) for name in one.input]
    outputs = [output.name for graph in subgraphs(node) for one in graphs(graph) for output in one.output]
    return {*node.input, *inner, *outputs}
