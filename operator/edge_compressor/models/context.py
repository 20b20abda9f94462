"""The context of a decoder: how many tokens it reads at most, as its graph says."""

from pathlib import Path

from edge_compressor.models.weight_files import load_graph


def context_tokens(path: Path) -> int | None:
    """Returns the number of tokens for which the graph has rotations (the tables of cosines of its attention); None if
    it has no such table."""
    graph = load_graph(path).graph
    sizes = {tensor.name: tensor.dims[0] for tensor in graph.initializer if tensor.dims}
    tables = [node.input[_COSINES] for node in graph.node if node.op_type == _ATTENTION and len(node.input) > _COSINES]
    found = [sizes[name] for name in tables if name in sizes]
    return int(min(found)) if found else None


_ATTENTION = "GroupQueryAttention"
_COSINES = 7
