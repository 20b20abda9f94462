"""Weights that are also declared as inputs, as all were before IR version 4."""

import onnx

from edge_compressor.models.normal_form.refusal import counted
from edge_runtime.decoder import ROWS_INPUT


def undeclare_weights(model: onnx.ModelProto) -> list[str]:
    """Removes stored tensors from the inputs: no server sets them, and runtimes cannot fold them while callers
    could. The choice of rows of a decoder stays, which servers set."""
    stored = {tensor.name for tensor in model.graph.initializer}
    declared = [given for given in model.graph.input if given.name in stored and given.name != ROWS_INPUT]
    for given in declared:
        model.graph.input.remove(given)
    if not declared:
        return []
    verb = "was" if len(declared) == 1 else "were"
    return [f"{counted(len(declared), 'stored tensor')} {verb} declared as inputs too, which no caller can set"]
