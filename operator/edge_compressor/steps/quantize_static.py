"""``type: QuantizeStatic``: quantizes weights and activations to int8, with ranges from the calibration set.

The result is in QDQ form with uint8 activations and int8 weights, which use 7 bits by default (``reduceRange``):
with 8 bits, x86 processors without VNNI overflow 16-bit sums, and their outputs differ from those of the processor of
the evaluation. This is the fastest form for convolutions.
"""

import contextlib
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import onnx
import onnx.numpy_helper
import onnx.version_converter
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from edge_compressor.datasets import Dataset
from edge_compressor.models import normalization
from edge_compressor.progress import Progress
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
from edgemodel.compression_request import ONNX
from edgemodel.error_words import in_words
from edgemodel.setting_kinds import Choice, Settings, Whole

COMPUTING: Final = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""The operators with weights, which take most of the time."""
PASSING: Final = (
    "Add", "AveragePool", "Clip", "Concat", "Flatten", "GlobalAveragePool", "MaxPool", "Mul", "Pad", "Relu",
    "Reshape", "Resize", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze",
)  # fmt: skip
"""The operators between those with weights. In float, each would convert its inputs to float and its output back to
int8: residual networks with float additions run at 0.6 of the speed of those with quantized additions."""
DEFAULT_OP_TYPES: Final = (*COMPUTING, *PASSING)
OP_TYPES: Final = (
    *DEFAULT_OP_TYPES, "ArgMax", "BatchNormalization", "Gather", "InstanceNormalization", "LayerNormalization",
    "LeakyRelu", "Sigmoid", "Softmax", "Where",
)  # fmt: skip

PER_CHANNEL_OPSET: Final = 13
"""The first operator set version in which a scale can have an axis."""

MIN_SAMPLES: Final = 8
"""The minimum number of samples: ranges from one or two inputs clip values that occur in others."""

METHODS: Final = {
    "MinMax": CalibrationMethod.MinMax,
    "Entropy": CalibrationMethod.Entropy,
    "Percentile": CalibrationMethod.Percentile,
}


def apply(model: Path, settings: Settings, context: StepContext) -> Path:
    """Raises Stalled(StepFailed) if the settings do not fit the model, or nothing is quantized."""
    assert context.calibration is not None
    if context.calibration.size < MIN_SAMPLES:
        message = f"{context.calibration.what}: {context.calibration.size} of at least {MIN_SAMPLES} samples"
        raise failed(context.name, f"{message}, by which ranges can be chosen; some hundred are good")
    prepared, types, excluded = _prepare(model, settings, context)
    result = context.folder / "static.onnx"
    quantize_static(
        prepared,
        result,
        _Reader(context.calibration, settings["calibrationSamples"], context.progress),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=METHODS[settings["calibrationMethod"]],
        op_types_to_quantize=sorted(types),
        nodes_to_exclude=sorted(excluded),
        per_channel=settings["perChannel"],
        reduce_range=settings["reduceRange"],
        # One feed at a time is reduced to ranges: all activations of all samples would not fit memory.
        extra_options={"CalibStridedMinMax": 1},
    )
    quantized = _quantizers(result) > _quantizers(prepared)
    prepared.unlink()
    if not quantized:
        wanted = ", ".join(settings["opTypes"]) or "operator that can be"
        raise failed(context.name, f"nothing was quantized: no {wanted} is left; change opTypes or excludeNodes")
    return result


def _quantizers(model: Path) -> int:
    return sum(node.op_type == "QuantizeLinear" for node in normalization.load(model).graph.node)


def _prepare(model: Path, settings: Settings, context: StepContext) -> tuple[Path, set[str], set[str]]:
    """Returns the graph as onnxruntime would fuse it, with shapes; the operator types to quantize; names to exclude."""
    named = normalization.load(model, weights_as_initializers=True)
    if settings["perChannel"] and any(
        not item.domain and item.version < PER_CHANNEL_OPSET for item in named.opset_import
    ):
        named = onnx.version_converter.convert_version(named, PER_CHANNEL_OPSET)
    check_selection(named, settings, context, can=OP_TYPES)
    given, prepared = context.folder / "named.onnx", context.folder / "prepared.onnx"
    onnx.save(named, given)
    with tempfile.TemporaryDirectory(dir=context.folder) as scratch, contextlib.chdir(scratch):
        try:
            quant_pre_process(given, prepared, skip_symbolic_shape=False)
        except Exception as error:
            # Symbolic shape inference is only a help. For operators that it does not know it raises anything,
            # having written the model to the current directory, wherever that is.
            context.progress.say(f"step {context.name}: goes on without symbolic shapes ({in_words(error, 200)})")
            quant_pre_process(given, prepared, skip_symbolic_shape=True)
    given.unlink()
    ready = normalization.load(prepared)
    _flatten_biases(ready.graph)
    onnx.save(ready, prepared)
    types, excluded = _selection(list(named.graph.node), list(ready.graph.node), settings)
    return prepared, types, excluded


def _selection(
    before: list[onnx.NodeProto], after: list[onnx.NodeProto], settings: Settings
) -> tuple[set[str], set[str]]:
    """Translates the settings, which refer to ``before``, to ``after``: returns (operator types, excluded names).

    MatMul and Add become a Gemm: it is quantized with MatMul, and so are no other Gemms.
    """
    types = set(settings["opTypes"] or DEFAULT_OP_TYPES)
    excluded = _same_nodes(before, after, settings["excludeNodes"])
    if "MatMul" in types and "Gemm" not in types:
        gemms = {node.name for node in after if node.op_type == "Gemm"}
        products = _same_nodes(before, after, [node.name for node in before if node.op_type == "MatMul"])
        if gemms & products:
            types.add("Gemm")
            excluded |= gemms - products
    return types, excluded


def _flatten_biases(graph: onnx.GraphProto) -> None:
    """Flattens biases of shape (1, n) from fused MatMul and Add; onnxruntime 1.32 cannot quantize them by channel."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        bias = stored.get(node.input[2]) if node.op_type == "Gemm" and len(node.input) > 2 else None
        if bias is not None and len(bias.dims) == 2 and bias.dims[0] == 1:
            flat = onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias)[0], f"{bias.name}_flat")
            if flat.name not in stored:
                graph.initializer.append(flat)
                stored[flat.name] = flat
            node.input[2] = flat.name


def _same_nodes(before: Iterable[onnx.NodeProto], after: list[onnx.NodeProto], names: list[str]) -> set[str]:
    """Returns the nodes of ``after`` that replace the nodes ``names`` of ``before``.

    Fusing drops names: Conv + BatchNormalization becomes one node with the output of the second. The
    function follows the outputs of a vanished node to the first tensor that still exists.
    """
    kept = {node.name for node in after}
    makers = {output: node.name for node in after for output in node.output}
    originals = {node.name: node for node in before}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in originals.values():
        for tensor in node.input:
            readers.setdefault(tensor, []).append(node)
    found = set()
    for name in names:
        if name in kept:
            found.add(name)
            continue
        tensors = list(originals[name].output)
        while tensors and not any(tensor in makers for tensor in tensors):
            tensors = [output for tensor in tensors for node in readers.get(tensor, []) for output in node.output]
        found |= {makers[tensor] for tensor in tensors if tensor in makers}
    return found


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """The reader feeds evenly spread samples, one ``set_range`` at a time."""

    def __init__(self, dataset: Dataset, samples: int, progress: Progress) -> None:
        self._dataset, self._progress = dataset, progress
        self._positions = dataset.spread(samples)
        self._size = 8 if dataset.batch < 0 else dataset.batch
        self._range = range(len(self))

    def __len__(self) -> int:
        return -(-len(self._positions) // self._size)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._range = range(start_index, min(end_index, len(self)))
        self._progress.count("calibrating", start_index * self._size, len(self._positions), "samples")

    def get_next(self) -> dict[str, Any] | None:
        if not self._range:
            return None
        start, self._range = self._range[0] * self._size, self._range[1:]
        positions = self._positions[start : start + self._size]
        return next(feeds for _, feeds in self._dataset.batches(positions))


STEP = StepType(
    "QuantizeStatic",
    "Quantizes weights and activations to int8 with ranges from datasets.calibration; fastest on CPUs.",
    {
        "calibrationSamples": Whole(
            256,
            "Number of samples of datasets.calibration that the step runs, spread evenly over the set; "
            f"{MIN_SAMPLES} to 100000. A smaller set is used completely. More samples take more time and memory "
            "(Entropy and Percentile keep histograms). Default: 256.",
            minimum=MIN_SAMPLES,
            maximum=100_000,
        ),
        "calibrationMethod": Choice(
            "MinMax",
            "How the step derives the range of an activation from the samples. MinMax: smallest and largest value. "
            "Entropy: the range that loses the least information. Percentile: excludes the outermost 0.001 % of "
            "values. Default: MinMax.",
            tuple(METHODS),
        ),
        "opTypes": op_types(
            "ONNX operator types to quantize, for example MatMul, Gemm, Conv; at most 64. Default: Conv, MatMul, "
            "Gemm, Add and the operators between them.",
        ),
        "excludeNodes": EXCLUDE_NODES,
        "perChannel": PER_CHANNEL,
        "reduceRange": REDUCE_RANGE,
    },
    {ONNX: apply},
    needs=("calibration",),
)
