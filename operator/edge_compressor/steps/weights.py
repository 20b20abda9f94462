"""The weights of a graph and the nodes that read them, for pruning, clustering and factorising.

A weight is a constant float tensor of two or more dimensions. A step changes it only if all its readers are selected:
a weight that an unselected node or a subgraph (If, Loop, Scan) also reads stays unchanged.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnx.numpy_helper

from edge_compressor.models import normal_form
from edge_compressor.models.graph import reads
from edge_compressor.step_interface.step_type import StepContext, check_selection, failed
from edge_compressor.steps.quantizable import refuse_quantized
from edge_runtime.datatypes import Array
from edgemodel.setting_kinds import Settings

POSITIONS: Final = {"Conv": (1,), "ConvTranspose": (1,), "Gather": (0,), "Gemm": (1,), "MatMul": (0, 1)}
"""Operator type -> the positions of weights among its inputs."""

FLOATS: Final = frozenset({onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE})


@dataclass(frozen=True)
class Weight:
    """A weight and all nodes that read it, at least one."""

    tensor: onnx.TensorProto
    """The tensor in the graph; changing it changes the model."""
    readers: tuple[onnx.NodeProto, ...]

    @property
    def values(self) -> Array:
        """The values of the weight, read-only."""
        return np.asarray(onnx.numpy_helper.to_array(self.tensor))

    def replace(self, values: Array) -> None:
        """Writes ``values``, which have the shape and type of the weight."""
        self.tensor.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(values), self.tensor.name))


def load_float(path: Path, context: StepContext, *, outside: bool = False) -> onnx.ModelProto:
    """Returns the model with named nodes, and with all weights as initializers that no caller can set.

    ``outside``: large weights in other files stay there.

    Raises Stalled(StepFailed) for a quantized model, whose float weights no longer exist.
    """
    model = normal_form.load_with_weights(path, outside=outside)
    refuse_quantized(model, context, "put this step before the quantization")
    return model


def find_weights(
    model: onnx.ModelProto,
    settings: Settings,
    context: StepContext,
    *,
    default: Iterable[str],
    can: str,
    types: Iterable[str] = POSITIONS,
) -> list[Weight]:
    """Returns the weights of the nodes that ``opTypes`` (or ``default``) and ``excludeNodes`` select, in graph order.

    ``can`` names the operation for messages, e.g. ``pruned``; ``types`` are the operators that support it.
    Raises Stalled(StepFailed) if a setting matches nothing, no weight is left, or a weight is not finite.
    """
    check_selection(model, settings, context, can=types, verb=can)
    wanted = set(settings["opTypes"] or default)
    excluded = set(settings["excludeNodes"])
    chosen = [node for node in model.graph.node if node.op_type in wanted and node.name not in excluded]
    stored = {tensor.name: tensor for tensor in model.graph.initializer if _is_weight(tensor)}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in chosen:
        for position in POSITIONS[node.op_type]:
            if node.input[position] in stored:
                readers.setdefault(node.input[position], []).append(node)
    counts = reads(model)
    found = [Weight(stored[name], tuple(by)) for name, by in readers.items() if counts[name] == len(by)]
    if not found:
        message = f"nothing is left to be {can}: no {' or '.join(sorted(wanted))} has a float weight of its own"
        hint = (
            "name other opTypes, exclude fewer nodes, or let CleanGraph fold what the weights are computed from; "
            "what subgraphs (If, Loop, Scan) hold or read is left alone"
        )
        raise failed(context.name, f"{message}; {hint}")
    for weight in found:
        check_finite(weight.tensor.name, weight.values, context)
    return found


def check_finite(name: str, values: Array, context: StepContext) -> None:
    """Raises Stalled(StepFailed) with the tensor's ``name`` for NaN or infinity."""
    bad = values.size - int(np.isfinite(values).sum())
    if bad:
        message = f"{bad} of {values.size} values of the weight {name!r} are NaN or infinite"
        raise failed(context.name, f"{message}: repair the source, or exclude the nodes that read it")


def _is_weight(tensor: onnx.TensorProto) -> bool:
    return tensor.data_type in FLOATS and len(tensor.dims) >= 2 and all(tensor.dims)
