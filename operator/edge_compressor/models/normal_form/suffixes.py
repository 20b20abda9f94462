"""Names of tensors that quantizers would use for their own."""

from typing import Final

import onnx

from edge_compressor.models.graph import fresh, rename_reads, set_nodes, taken_names
from edge_compressor.models.normal_form.refusal import counted

SUFFIXES: Final = (
    "_DequantizeLinear", "_DequantizeLinear_Input", "_DequantizeLinear_Output", "_QuantizeLinear",
    "_QuantizeLinear_Input", "_QuantizeLinear_Output", "_dequantized", "_quantized", "_scale", "_zero_point",
)  # fmt: skip
"""The suffixes by which onnxruntime's quantizers name tensors and nodes after a tensor, even if such a name exists."""


def free_suffixes(model: onnx.ModelProto) -> list[str]:
    """Renames tensors between nodes, and weights, whose name is another tensor's with one of SUFFIXES.

    If callers know two tensors by such names, nodes read the shorter one through an Identity.
    """
    graph, taken = model.graph, taken_names(model)
    tensors = {name for node in graph.node for name in (*node.input, *node.output) if name}
    computed = {name for node in graph.node if node.op_type != "Identity" for name in (*node.input, *node.output)}
    public = {value.name for value in (*graph.input, *graph.output)}
    renamed: dict[str, str] = {}
    read_apart: dict[str, str] = {}
    for name in sorted(tensors):
        base = next((name[: -len(suffix)] for suffix in SUFFIXES if name.endswith(suffix)), "")
        if base not in computed or not base:
            continue
        if name not in public:
            renamed[name] = fresh(f"{name}_own", taken)
        elif base not in public:
            renamed[base] = fresh(f"{base}_own", taken)
        elif any(given.name == base for given in graph.input):
            read_apart[base] = fresh(f"{base}_own", taken)
    for tensor in graph.initializer:
        tensor.name = renamed.get(tensor.name, tensor.name)
    for node in graph.node:
        for position, name in enumerate(node.output):
            node.output[position] = renamed.get(name, name)
    rename_reads(graph, renamed | read_apart)
    for value in graph.value_info:
        value.name = renamed.get(value.name, value.name)
    copies = [
        onnx.helper.make_node("Identity", [name], [own], name=fresh(f"{own}_copy", taken))
        for name, own in read_apart.items()
    ]
    if copies:
        set_nodes(graph, [*copies, *graph.node])
    number = len(renamed) + len(read_apart)
    return [f"{counted(number, 'tensor')} had names that quantizers give to theirs, and got others"] if number else []
