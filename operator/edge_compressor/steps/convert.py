"""``type: Convert``: converts to another version of the ONNX operator set, or to 16-bit weights.

FP16 computes in 16 bits, for processors that support it (arm64 with asimdhp); others convert each tensor to 32 bits
and back, and become slower. FP16Weights only stores weights in 16 bits: the file has half the size, and outputs differ
only by the rounding of the weights, on every processor; onnxruntime converts them to 32 bits once, when it loads the
model.

Inputs and outputs of the model do not change. CleanGraph would convert stored weights back to 32 bits, so it belongs
before this step.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import onnx.checker
import onnx.numpy_helper
import onnx.shape_inference
import onnx.version_converter

from edge_compressor.models import normal_form, weight_files
from edge_compressor.models.graph import drop_unread, fresh, graphs, set_nodes, taken_names
from edge_compressor.models.graph import opset as opset_of
from edge_compressor.models.normal_form.names import name_nodes
from edge_compressor.models.onnx_model import nodes, subgraphs
from edge_compressor.step_interface.step_type import (
    EXCLUDE_NODES,
    StepContext,
    StepType,
    check_excluded,
    check_op_types,
    failed,
    op_types,
)
from edge_compressor.steps.weights import check_finite, load_float
from edgemodel.compression_request import ONNX
from edgemodel.error_words import in_words
from edgemodel.setting_kinds import Choice, Settings, Whole

FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16

MAX_FLOAT16: Final = float(np.finfo(np.float16).max)

FLOAT_OP_TYPES: Final = frozenset({
    "Cast", "CumSum", "Exp", "InstanceNormalization", "LayerNormalization", "LogSoftmax", "Mod", "NonMaxSuppression",
    "Pow", "Range", "ReduceL2", "ReduceLogSumExp", "ReduceSum", "ReduceSumSquare", "RMSNormalization", "RoiAlign",
    "Softmax", "TopK",
})  # fmt: skip
"""Operator types that stay in 32 bits: sums and powers may exceed 65504, and counts must be exact beyond 2048."""

MIN_VALUES: Final = 64
"""The minimum number of values of a converted weight; for smaller ones, the Cast back would need more than it saves."""


def apply(model: Path, settings: Settings, context: StepContext) -> Path:
    """Raises Stalled(StepFailed) if there is nothing to convert, or the conversion fails."""
    precision = settings["precision"]
    given = normal_form.load(model) if precision == "Keep" else load_float(model, context, outside=True)
    outside = weight_files.has_outside(given)
    if settings["opset"] not in (0, opset_of(given)):  # the converter reads no other files
        normal_form.bring_inside(given, model.parent)
    converted = _to_opset(given, settings["opset"], context)
    if precision == "Keep" and converted is given:
        version = opset_of(given)
        wanted = f"opset is {settings['opset']}" if settings["opset"] else "opset is 0, which keeps it,"
        message = f"nothing to convert: the model has opset {version}, {wanted} and precision is Keep"
        raise failed(context.name, f"{message}; set one of them, or leave the step out")
    if precision != "Keep":
        name_nodes(converted)
        check_excluded(converted, settings, context)
        check_op_types(converted, settings, context, key="floatOpTypes")
        convert = _Halving.convert if precision == "FP16" else _store_as_half
        convert(converted, settings, context, model.parent)
        drop_unread(converted)
    result = context.folder / "model.onnx"
    weight_files.save(converted, result, folder=model.parent, max_inside_bytes=0 if outside else None)
    return result


def _to_opset(model: onnx.ModelProto, opset: int, context: StepContext) -> onnx.ModelProto:
    """Returns the converted model; ``model`` itself if it has that version, or ``opset`` is 0."""
    version, newest = opset_of(model), onnx.defs.onnx_opset_version()
    if opset in (0, version):
        return model
    if opset > newest:
        raise failed(context.name, f"opset is {opset}, and onnx {onnx.__version__} knows versions up to {newest}")
    if model.functions:
        message = f"the model has functions of its own ({model.functions[0].name}), which opset {opset} cannot be given"
        raise failed(context.name, f"{message}: export it anew with that opset")
    try:
        converted = onnx.version_converter.convert_version(model, opset)
        converted.ir_version = max(converted.ir_version, onnx.helper.find_min_ir_version_for(converted.opset_import))
        onnx.checker.check_model(converted)
    except (RuntimeError, ValueError, onnx.checker.ValidationError, onnx.version_converter.ConvertError) as error:
        cause = in_words(error, 1000).rpartition("failed: ")[2][:300]
        message = f"opset {version} cannot be converted to {opset}: {cause}"
        raise failed(context.name, f"{message}; choose another opset, or export the model with it") from error
    return converted


def _store_as_half(model: onnx.ModelProto, settings: Settings, context: StepContext, folder: Path) -> None:
    """Stores weights as float16 with a Cast back to float, so that the rest of the graphs does not change."""
    if not _store_in(graphs(model.graph), model, settings, context, folder):
        message = f"nothing to convert: no float32 weight of {MIN_VALUES} values or more is left to store as float16"
        raise failed(context.name, f"{message}; exclude fewer nodes, or leave the step out")


def _store_in(
    chosen: Iterable[onnx.GraphProto], model: onnx.ModelProto, settings: Settings, context: StepContext, folder: Path
) -> int:
    """Stores the weights of the ``chosen`` graphs of ``model``, which may lie in files of ``folder``, as float16, and
    returns their number.

    In a body of If, Loop or Scan the Cast runs once too, when the model is loaded.
    """
    kept = {name for node in nodes(model.graph) if _stays(node, settings) for name in node.input}
    kept |= {output.name for graph in graphs(model.graph) for output in graph.output}
    taken, count = taken_names(model), 0
    for graph in reversed(list(chosen)):  # inner ones first: set_nodes copies nodes
        casts = []
        for tensor in [tensor for tensor in graph.initializer if tensor.data_type == FLOAT]:
            if tensor.name not in kept and np.prod(tensor.dims) >= MIN_VALUES:
                half = fresh(f"{tensor.name}_fp16", taken)
                label = fresh(f"{half}_cast", taken)
                casts.append(onnx.helper.make_node("Cast", [half], [tensor.name], name=label, to=FLOAT))
                tensor.CopyFrom(_half(tensor, half, context, folder))
        if casts:
            set_nodes(graph, [*casts, *graph.node])
        count += len(casts)
    return count


def _half(tensor: onnx.TensorProto, name: str, context: StepContext, folder: Path) -> onnx.TensorProto:
    """Returns the tensor as float16. Raises Stalled(StepFailed) with its name for values that float16 cannot hold."""
    values = weight_files.values_of(tensor, folder)
    if values.size >= MIN_VALUES or np.isnan(values).any():  # a bound may be infinite, which float16 holds
        check_finite(tensor.name, values, context)
    finite = values if values.size >= MIN_VALUES else values[np.isfinite(values)]
    if (largest := float(max(finite.max(initial=0), -finite.min(initial=0)))) > MAX_FLOAT16:
        message = f"{tensor.name!r} holds {largest:g} in magnitude, and float16 ends at {MAX_FLOAT16:g}"
        raise failed(context.name, f"{message}: add the nodes that read it to excludeNodes")
    return onnx.numpy_helper.from_array(values.astype(np.float16), name)


@dataclass
class _Halving:
    """A walk over the graph, in its order, that converts operators to float16 where allowed.

    A tensor keeps its name for its float form and gets another for its half form; each form is made when it is
    first read.
    """

    model: onnx.ModelProto
    settings: Settings
    context: StepContext
    folder: Path
    """The folder of the files in which weights may lie."""
    types: dict[str, int]
    """The element types of tensors, as far as they can be inferred."""
    taken: set[str]
    made: list[onnx.NodeProto] = field(default_factory=list)
    halves: dict[str, str] = field(default_factory=dict)
    """Tensor -> the name of its half form."""
    floats_missing: set[str] = field(default_factory=set)
    """The tensors that exist in half form only."""
    weights: int = 0
    """The number of weights of MIN_VALUES or more that are in half form."""

    @classmethod
    def convert(cls, model: onnx.ModelProto, settings: Settings, context: StepContext, folder: Path) -> None:
        walk = cls(model, settings, context, folder, _types(model), taken_names(model))
        for node in model.graph.node:
            walk._visit(node)
        for output in model.graph.output:
            walk._as_float(output.name)
        set_nodes(model.graph, walk.made)
        inner = list(graphs(model.graph))[1:]
        if not walk.weights + _store_in(inner, model, settings, context, folder):
            message = (
                f"nothing to convert: no float32 weight of {MIN_VALUES} values or more is read by a node that could "
                "compute in float16"
            )
            raise failed(context.name, f"{message}; exclude fewer nodes and floatOpTypes, or leave the step out")
        del model.graph.value_info[:]  # types of tensors between nodes, which every reader infers again

    def _visit(self, node: onnx.NodeProto) -> None:
        node = _copy(node)
        slots = None if _stays(node, self.settings) else self._slots(node)
        if slots is None:
            for name in [*node.input, *(name for graph in subgraphs(node) for name in _read(graph))]:
                self._as_float(name)
            self.made.append(node)
            return
        inputs, outputs = slots
        for position, name in enumerate(node.input):
            if position in inputs:
                node.input[position] = self._as_half(name)
            else:
                self._as_float(name)
        for position in outputs:
            name = node.output[position]
            self.halves[name] = node.output[position] = fresh(f"{name}_fp16", self.taken)
            self.floats_missing.add(name)
        self.made.append(node)

    def _slots(self, node: onnx.NodeProto) -> tuple[set[int], set[int]] | None:
        """Returns the positions of the inputs and outputs that become half; None: the node stays in float32."""
        names = [name for name in (*node.input, *node.output) if name]
        if node.domain not in ("", "ai.onnx") or any(subgraphs(node)):  # bodies compute in float32
            return None
        if any(name not in self.types for name in names):
            return None
        schema = onnx.defs.get_schema(node.op_type, opset_of(self.model), "")
        allowed = {item.type_param_str: item.allowed_type_strs for item in schema.type_constraints}
        inputs, halved = set(), set()
        for position, name in enumerate(node.input):
            parameter = _parameter(schema.inputs, position)
            if name and self.types[name] == FLOAT and "tensor(float16)" in allowed.get(parameter, ()):
                inputs.add(position)
                halved.add(parameter)
        outputs = {
            position
            for position, name in enumerate(node.output)
            if name and self.types[name] == FLOAT and _parameter(schema.outputs, position) in halved
        }
        return (inputs, outputs) if inputs and outputs else None

    def _as_half(self, name: str) -> str:
        if name not in self.halves:
            half = self.halves[name] = fresh(f"{name}_fp16", self.taken)
            stored = next((tensor for tensor in self.model.graph.initializer if tensor.name == name), None)
            if stored is None:
                self.made.append(self._cast(name, half, HALF))
            else:
                self.model.graph.initializer.append(_half(stored, half, self.context, self.folder))
                self.weights += int(np.prod(stored.dims) >= MIN_VALUES)
        return self.halves[name]

    def _as_float(self, name: str) -> None:
        if name in self.floats_missing:
            self.floats_missing.remove(name)
            self.made.append(self._cast(self.halves[name], name, FLOAT))

    def _cast(self, given: str, made: str, to: int) -> onnx.NodeProto:
        return onnx.helper.make_node("Cast", [given], [made], name=fresh(f"{made}_cast", self.taken), to=to)


def _stays(node: onnx.NodeProto, settings: Settings) -> bool:
    return node.op_type in FLOAT_OP_TYPES | set(settings["floatOpTypes"]) or node.name in settings["excludeNodes"]


def _parameter(formal: list[onnx.defs.OpSchema.FormalParameter], position: int) -> str:
    """Returns the name of a parameter's type; the last parameter may be variadic."""
    return str(formal[min(position, len(formal) - 1)].type_str)


def _types(model: onnx.ModelProto) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(model).graph
    types = {
        item.name: item.type.tensor_type.elem_type
        for item in (*graph.input, *graph.value_info, *graph.output)
        if item.type.HasField("tensor_type") and item.type.tensor_type.elem_type
    }
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}


def _read(graph: onnx.GraphProto) -> Iterator[str]:
    for node in nodes(graph):
        yield from node.input
    yield from (output.name for output in graph.output)


def _copy(node: onnx.NodeProto) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy


STEP = StepType(
    "Convert",
    "Converts to another ONNX operator set version, or to 16-bit weights (and computation); inputs and outputs do not "
    "change.",
    {
        "opset": Whole(
            0,
            "Target version of the ONNX operator set, for runtimes that require an older or newer one; 0 keeps the "
            "version. Default: 0.",
            minimum=0,
            maximum=1000,
        ),
        "precision": Choice(
            "Keep",
            "Keep: does not change the precision. FP16Weights: stores weights in 16 bits, which halves the size, and "
            "computes in 32 bits. FP16: also computes in 16 bits, which is faster only on arm64 CPUs with float16 "
            "arithmetic and slower on x86; bodies of If, Loop and Scan compute in 32 bits. Default: Keep.",
            ("Keep", "FP16", "FP16Weights"),
        ),
        "floatOpTypes": op_types(
            "ONNX operator types that stay in 32 bits, in addition to types that overflow easily (Softmax, Exp, Pow, "
            "LayerNormalization, sums); at most 64. Default: none.",
        ),
        "excludeNodes": EXCLUDE_NODES,
    },
    {ONNX: apply},
    streams=True,
)
