"""onnx's checker, for graphs with operators that only onnxruntime has in the default domain."""

from pathlib import Path
from typing import Final

import onnx

from edge_compressor.models.weight_files import load_graph
from edgemodel.error_words import in_words

OF_ONNXRUNTIME: Final = frozenset({"SimplifiedLayerNormalization"})
"""The operators that onnxruntime has registered in the default domain, as exporters of decoders write them."""


def complaint(path: Path) -> str:
    """Returns what onnx's checker has against the model at ``path``; empty if it has nothing.

    The operators OF_ONNXRUNTIME are no complaint. A graph that has some is checked without its stored weights.
    """
    try:
        onnx.checker.check_model(str(path))
    except (onnx.checker.ValidationError, ValueError) as error:
        if any(f"No Op registered for {name} " in str(error) for name in OF_ONNXRUNTIME):
            return _complaint_about_the_graph(path)
        return in_words(error)
    return ""


def _complaint_about_the_graph(path: Path) -> str:
    model = load_graph(path)
    declared = {value.name for value in model.graph.input}
    for tensor in model.graph.initializer:
        if tensor.name not in declared:
            model.graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    del model.graph.initializer[:]
    for node in model.graph.node:
        if node.op_type in OF_ONNXRUNTIME and not node.domain:
            node.domain = "com.microsoft"
    if all(item.domain != "com.microsoft" for item in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        return in_words(error)
    return ""
