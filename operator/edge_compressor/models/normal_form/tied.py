"""Weights that several nodes share, and that quantizers would give scales along different axes."""

import onnx

from edge_compressor.models.graph import fresh, taken_names
from edge_compressor.models.normal_form.refusal import counted

_POSITIONS = {"Conv": 1, "ConvTranspose": 1, "Gather": 0, "Gemm": 1, "MatMul": 1}


def untie_weights(model: onnx.ModelProto) -> list[str]:
    """Gives readers that need other scales a copy of a shared weight, such as an embedding that is the last layer too.

    The copies are int8 afterwards, so that two of them take half the bytes of the original.
    """
    graph, taken = model.graph, taken_names(model)
    stored = {tensor.name: tensor for tensor in graph.initializer}
    copies: dict[tuple[str, str], str] = {}
    first: dict[str, str] = {}
    for node in graph.node:
        place = _POSITIONS.get(node.op_type) if not node.domain else None
        if place is None or len(node.input) <= place or node.input[place] not in stored:
            continue
        name, kind = node.input[place], _kind(node)
        tensor = stored[name]
        if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) < 2 or first.setdefault(name, kind) == kind:
            continue
        if (name, kind) not in copies:
            copy = graph.initializer.add()
            copy.CopyFrom(tensor)
            copy.name = copies[name, kind] = fresh(f"{name}_{kind}", taken)
        node.input[place] = copies[name, kind]
    return [f"{counted(len(copies), 'copy', 'copies')} of shared weights, for scales of their own"] if copies else []


def _kind(node: onnx.NodeProto) -> str:
    """Returns the way in which ``node`` reads its weight; readers of one kind have scales along one axis."""
    transposed = any(one.name == "transB" and one.i for one in node.attribute)
    return "gemm_transposed" if node.op_type == "Gemm" and transposed else node.op_type.lower()
