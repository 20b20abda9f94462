"""Shared operations on ONNX graphs: names, reads and replacements of nodes."""

from collections import Counter
from collections.abc import Iterable, Iterator

import onnx

from edge_compressor.models.onnx_model import nodes, subgraphs


def graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Yields ``graph`` and the bodies of If, Loop and Scan in it, at any depth."""
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from graphs(inner)


def inner_nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Yields the nodes of all bodies of If, Loop and Scan."""
    for graph in list(graphs(model.graph))[1:]:
        yield from graph.node


def reads(model: onnx.ModelProto) -> Counter[str]:
    """Counts how often each tensor is read, subgraphs and the model's outputs included."""
    inner = [output.name for graph in graphs(model.graph) for output in graph.output]
    return Counter([name for node in nodes(model.graph) for name in node.input] + inner)


def taken_names(model: onnx.ModelProto) -> set[str]:
    """Returns the names of all nodes and tensors, which new ones must not use."""
    names = {item.name for item in (*model.graph.input, *model.graph.output, *model.graph.initializer)}
    for node in nodes(model.graph):
        names |= {node.name, *node.input, *node.output}
    return names


def fresh(name: str, taken: set[str]) -> str:
    """Returns ``name``, extended if it is taken, and marks it as taken."""
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def rename_reads(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    """Makes every node, including those of subgraphs, read the tensors under their new ``names``."""
    for node in nodes(graph):
        for position, name in enumerate(node.input):
            if name in names:
                node.input[position] = names[name]
    for inner in (inner for node in graph.node for inner in subgraphs(node)):
        for each in graphs(inner):
            for output in each.output:
                output.name = names.get(output.name, output.name)


def set_nodes(graph: onnx.GraphProto, kept: Iterable[onnx.NodeProto]) -> None:
    """Replaces the nodes of ``graph``; ``kept`` may contain nodes of it."""
    copies = []
    for node in kept:
        copies.append(onnx.NodeProto())
        copies[-1].CopyFrom(node)
    del graph.node[:]
    graph.node.extend(copies)


def drop_unread(model: onnx.ModelProto) -> None:
    """Removes casts and initializers that nothing reads any more."""
    graph = model.graph
    used = set(reads(model))
    for node in [node for node in graph.node if node.op_type == "Cast" and node.output[0] not in used]:
        graph.node.remove(node)
    used = set(reads(model))
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in used]:
        graph.initializer.remove(tensor)


def opset(model: onnx.ModelProto) -> int:
    """Returns the version of the default domain; 1 if the model names none."""
    return next((int(item.version) for item in model.opset_import if item.domain in ("", "ai.onnx")), 1)
