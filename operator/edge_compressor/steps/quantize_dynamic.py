"""``type: QuantizeDynamic``: quantizes weights to int8 in advance, and activations to uint8 at run time by their range.

The step needs no data. It suits models with large matrix products (transformers, recurrent networks): MiniLM becomes
4 times smaller and twice as fast. It leaves convolutions in float unless ``opTypes`` names them, because quantizing
their input in each run costs more than it saves (0.2 to 0.5 of the speed). Bodies of If, Loop and Scan are quantized as
the main graph is, but for products with stacks of matrices and with vectors.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from edge_compressor.models import normal_form, weight_files
from edge_compressor.models.graph import fresh, graphs, inner_nodes, rename_reads, taken_names
from edge_compressor.models.onnx_model import nodes
from edge_compressor.step_interface.step_type import (
    EXCLUDE_NODES,
    PER_CHANNEL,
    REDUCE_RANGE,
    StepContext,
    StepType,
    check_selection,
    failed,
    op_types,
)
from edge_compressor.steps.quantizable import because, kept_in_float, load_quantizable, note_kept
from edgemodel.compression_request import ONNX
from edgemodel.setting_kinds import Settings

DEFAULT_OP_TYPES: Final = ("Attention", "EmbedLayerNormalization", "Gather", "Gemm", "LSTM", "MatMul")
OP_TYPES: Final = (*DEFAULT_OP_TYPES, "Conv", "Transpose")


def apply(model: Path, settings: Settings, context: StepContext) -> Path:
    """Raises Stalled(StepFailed) if ``opTypes`` or ``excludeNodes`` match nothing, the model is quantized already, or
    nothing is quantized."""
    named = load_quantizable(model, context)
    check_selection(named, settings, context, can=OP_TYPES)
    types = set(settings["opTypes"] or DEFAULT_OP_TYPES)
    kept = kept_in_float(named, types) | _stacks_in_bodies(named, types)
    note_kept(kept, context)
    excluded = _excluded(nodes(named.graph), types, set(settings["excludeNodes"])) | kept.keys()
    given, result = context.folder / "named.onnx", context.folder / "dynamic.onnx"
    weight_files.save(named, given)
    before = _int8_weights(named)
    types |= {"MatMul"} if "Gemm" in types else set()
    stacks = _stacks(named, excluded) if settings["perChannel"] else []
    if stacks:
        _quantize(given, result, settings, types, set(), only=stacks)
        weight_files.save(_with_new_names(normal_form.load(result), taken_names(named)), given)
    _quantize(given, result, settings, types, excluded)
    given.unlink()
    normal_form.sort_file(result)
    if _int8_weights(normal_form.load(result)) <= before:
        message = f"nothing was quantized: no {', '.join(sorted(types))} with constant weights is left"
        raise failed(
            context.name, f"{message}{because(kept)}; name other opTypes, or use QuantizeStatic for convolutions"
        )
    return result


def _quantize(
    given: Path, result: Path, settings: Settings, types: set[str], excluded: set[str], *, only: Iterable[str] = ()
) -> None:
    """Quantizes the nodes of ``types``; with ``only``, these alone, with one scale for each weight tensor."""
    quantize_dynamic(
        given,
        result,
        op_types_to_quantize=sorted(types),
        nodes_to_quantize=sorted(only),
        nodes_to_exclude=sorted(excluded),
        per_channel=settings["perChannel"] and not only,
        reduce_range=settings["reduceRange"],
        weight_type=QuantType.QInt8,
        # Types that cannot be inferred are those behind operators of onnxruntime's own; weights are float32 all.
        extra_options={"EnableSubgraph": True, "DefaultTensorType": onnx.TensorProto.FLOAT},
    )


def _stacks(model: onnx.ModelProto, excluded: set[str]) -> list[str]:
    """Returns the MatMuls whose weight is a stack of matrices: onnxruntime runs those with one scale only."""
    stacks = {tensor.name for tensor in model.graph.initializer if len(tensor.dims) > 2}
    return [
        node.name
        for node in model.graph.node
        if node.op_type == "MatMul" and node.input[1] in stacks and node.name not in excluded
    ]


def _stacks_in_bodies(model: onnx.ModelProto, types: set[str]) -> dict[str, str]:
    """Returns the MatMuls in bodies of If, Loop and Scan whose weight is no matrix, with the reason to leave them in
    float."""
    if "MatMul" not in types:
        return {}
    others = {tensor.name for graph in graphs(model.graph) for tensor in graph.initializer if len(tensor.dims) != 2}
    return {
        node.name: "its weight is no matrix, and it is in the body of an If, a Loop or a Scan"
        for node in inner_nodes(model)
        if node.op_type == "MatMul" and not others.isdisjoint(node.input)
    }


def _with_new_names(model: onnx.ModelProto, before: set[str]) -> onnx.ModelProto:
    """Renames tensors that are not in ``before``, since a second quantization uses the same names for the same
    tensors."""
    taken = taken_names(model)
    new = {name: fresh(f"{name}_stacked", taken) for name in sorted(taken - before)}
    rename_reads(model.graph, new)
    for tensor in model.graph.initializer:
        tensor.name = new.get(tensor.name, tensor.name)
    for node in model.graph.node:
        node.name = new.get(node.name, node.name)
        for position, name in enumerate(node.output):
            node.output[position] = new.get(name, name)
    return model


def _excluded(every: Iterable[onnx.NodeProto], types: set[str], names: set[str]) -> set[str]:
    """Returns the names to exclude. onnxruntime renames a Gemm to ``<name>_MatMul`` before it selects nodes."""
    excluded = set(names)
    for node in every:
        if node.op_type == "Gemm" and (node.name in names or "Gemm" not in types):
            excluded |= {node.name, f"{node.name}_MatMul"}
        elif node.op_type == "MatMul" and "MatMul" not in types:
            excluded.add(node.name)
    return excluded


def _int8_weights(model: onnx.ModelProto) -> int:
    return sum(
        tensor.data_type == onnx.TensorProto.INT8 for graph in graphs(model.graph) for tensor in graph.initializer
    )


STEP = StepType(
    "QuantizeDynamic",
    "Quantizes weights to int8, and activations at run time; needs no data.",
    {
        "opTypes": op_types(
            "ONNX operator types to quantize, for example MatMul, Gemm, Conv; at most 64. Default: types whose "
            "weights dominate: MatMul, Gemm, LSTM, Attention, Gather. Conv is not among them because it would become "
            "slower.",
        ),
        "excludeNodes": EXCLUDE_NODES,
        "perChannel": PER_CHANNEL,
        "reduceRange": REDUCE_RANGE,
    },
    {ONNX: apply},
)
