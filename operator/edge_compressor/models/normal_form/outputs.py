"""Outputs of the model that are also an inner tensor, an input or a stored tensor."""

import onnx

from edge_compressor.models.graph import fresh, reads, rename_reads, set_nodes, taken_names
from edge_compressor.models.onnx_model import nodes


def separate_outputs(model: onnx.ModelProto) -> list[str]:
    """Gives each such output an Identity of its own, so that a quantized inner tensor does not reach callers.

    Runtimes drop the Identity if nothing needs it.
    """
    graph, taken, counts = model.graph, taken_names(model), reads(model)
    makers = {output: node for node in graph.node for output in node.output}
    inputs = {given.name for given in graph.input}
    computing = [node for node in nodes(graph) if node.op_type != "Identity"]
    before: list[onnx.NodeProto] = []
    after: list[onnx.NodeProto] = []
    renamed: dict[str, str] = {}
    for name in dict.fromkeys(output.name for output in graph.output):
        if counts[name] == sum(output.name == name for output in graph.output) and name in makers:
            continue
        if name in inputs and not any(name in node.input for node in computing):
            continue
        inner = renamed[name] = fresh(f"{name}_inner", taken)
        label = fresh(f"{name}_apart", taken)
        if name in inputs:
            before.append(onnx.helper.make_node("Identity", [name], [inner], name=label))
            continue
        if name in makers:
            outputs = makers[name].output
            outputs[list(outputs).index(name)] = inner
        for tensor in graph.initializer:
            tensor.name = inner if tensor.name == name else tensor.name
        after.append(onnx.helper.make_node("Identity", [inner], [name], name=label))
    if renamed:
        rename_reads(graph, renamed)
        set_nodes(graph, [*before, *graph.node, *after])
    return []
