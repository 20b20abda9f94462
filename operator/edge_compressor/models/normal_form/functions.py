"""The functions in a model, as PyTorch's exporter writes them."""

import onnx
import onnx.inliner

from edge_compressor.models.normal_form.refusal import counted


def inline_functions(model: onnx.ModelProto) -> list[str]:
    """Inlines the model's own functions, whose contents steps could not see otherwise.

    A model whose functions cannot be inlined stays as it is, and is served with them.
    """
    if not model.functions:
        return []
    number = len(model.functions)
    try:
        inlined = onnx.inliner.inline_local_functions(model, convert_version=True)
    except Exception:  # the C++ inliner raises anything; functions are not an error
        return []
    if inlined.functions:
        return []
    model.CopyFrom(inlined)
    return [f"{counted(number, 'function')} of the model's own became plain nodes"]
