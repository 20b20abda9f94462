"""The common part of quantizers: the models that they accept, and the nodes that they must leave in float."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnx.numpy_helper

from edge_compressor.models import normal_form
from edge_compressor.models.graph import graphs
from edge_compressor.models.normal_form.factors import has_factors
from edge_compressor.models.onnx_model import nodes
from edge_compressor.step_interface.step_type import StepContext, failed

DOMAINS: Final = {"Attention": "com.microsoft", "EmbedLayerNormalization": "com.microsoft"}
"""The domain of each operator type that quantizers know by its name alone; that of all others is the default one."""

_QUANTIZED: Final = frozenset({
    "ConvInteger", "GatherBlockQuantized", "MatMulBnb4", "MatMulInteger", "MatMulIntegerToFloat", "MatMulNBits",
    "QAttention", "QEmbedLayerNormalization", "QGemm", "QMoE",
})  # fmt: skip
_QUANTIZED_BEGIN: Final = ("DequantizeLinear", "DynamicQuantize", "QLinear", "QuantizeLinear")


def quantized_node(model: onnx.ModelProto) -> onnx.NodeProto | None:
    """Returns the first node that shows that ``model`` is quantized; None if it is not."""
    return next((node for node in nodes(model.graph) if _is_quantized(node.op_type)), None)


def refuse_quantized(model: onnx.ModelProto, context: StepContext, cure: str) -> None:
    """Raises Stalled(StepFailed), naming a quantized node and ``cure``, for a model that is quantized already."""
    if (node := quantized_node(model)) is not None:
        raise failed(context.name, f"the model is quantized already ({node.name} is a {node.op_type}): {cure}")


def load_quantizable(path: Path, context: StepContext) -> onnx.ModelProto:
    """Returns the model as quantizers need it, and notes what had to change.

    Raises Stalled(StepFailed) for a model that is quantized already.
    """
    model, changes = normal_form.load_float32(path)
    refuse_quantized(model, context, "give the model that it was made of, or put all operator types into one step")
    for change in changes:
        note(context, change)
    return model


def note(context: StepContext, text: str) -> None:
    """Writes ``text`` to the log, and keeps it for the report."""
    context.progress.say(f"step {context.name}: {text}")
    context.notes.setdefault("changes", []).append(text)


def kept_in_float(model: onnx.ModelProto, types: Iterable[str]) -> dict[str, str]:
    """Returns the nodes of ``types`` that quantizers would break, with the reasons."""
    wanted, kept = set(types), {}
    bad = _not_finite(model)
    for node in nodes(model.graph):
        if node.op_type not in wanted:
            continue
        if node.domain != DOMAINS.get(node.op_type, ""):
            kept[node.name] = f"{node.op_type} of the domain {node.domain or 'ai.onnx'} is another operator"
        elif node.op_type == "Gemm" and has_factors(node):
            kept[node.name] = "its factors (alpha, beta) are on tensors that are not stored"
        elif name := next((name for name in node.input if name in bad), None):
            kept[node.name] = f"its weight {name!r} holds NaN or infinite values"
    return kept


def _not_finite(model: onnx.ModelProto) -> set[str]:
    """Returns the stored floats of one dimension or more that are not finite; a bound may be infinite."""
    return {
        tensor.name
        for graph in graphs(model.graph)
        for tensor in graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
        and tensor.dims
        and not np.isfinite(onnx.numpy_helper.to_array(tensor)).all()
    }


def note_kept(kept: dict[str, str], context: StepContext) -> None:
    """Reports the nodes that stay in float, with the reasons."""
    by_reason: dict[str, list[str]] = {}
    for name, why in kept.items():
        by_reason.setdefault(why, []).append(name)
    for why, names in by_reason.items():
        shown = ", ".join(names[:_NAMES_SHOWN]) + (f" and {len(names) - _NAMES_SHOWN} more" if len(names) > 6 else "")
        note(context, f"{shown}: left in float: {why}")


def because(kept: Mapping[str, str]) -> str:
    """Returns the reason of the first node that stays in float, in brackets, for messages; empty without one."""
    return next((f" ({name} stays in float: {why})" for name, why in kept.items()), "")


_NAMES_SHOWN: Final = 6


def _is_quantized(op_type: str) -> bool:
    return op_type in _QUANTIZED or op_type.startswith(_QUANTIZED_BEGIN)
