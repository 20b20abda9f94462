"""``type: QuantizeStatic``: quantizes weights and activations to int8, with ranges from the calibration set.

The result is in QDQ form with uint8 activations and int8 weights, which use 7 bits by default (``reduceRange``):
with 8 bits, x86 processors without VNNI overflow 16-bit sums, and their outputs differ from those of the processor of
the evaluation. This is the fastest form for convolutions.
"""

import contextlib
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.version_converter
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from edge_compressor.datasets import Dataset
from edge_compressor.models import normal_form, weight_files
from edge_compressor.models.graph import graphs, inner_nodes
from edge_compressor.models.graph import opset as opset_of
from edge_compressor.models.normal_form.gemm import order_operands
from edge_compressor.models.normal_form.outputs import separate_outputs
from edge_compressor.models.normal_form.suffixes import free_suffixes
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
from edge_compressor.steps.quantizable import because, kept_in_float, load_quantizable, note_kept
from edge_compressor.steps.spread import far_apart, measure, whole_ranges
from edge_runtime.datatypes import Array
from edgemodel.compression_request import ONNX
from edgemodel.error_words import in_words
from edgemodel.errors import Stalled
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

MIN_VALUES: Final = 2048
"""The minimum number of values for a histogram: 16 for each of its 128 bins."""
MANY_NODES: Final = 1000
"""The number of nodes beyond which the user is told that the step takes minutes."""
_SAMPLES_MEASURED: Final = 4
"""The number of samples by which values that lie too far apart are detected."""

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
    positions = context.calibration.spread(settings["calibrationSamples"])
    reader = _Reader(context.calibration, positions, context.progress)
    graph = normal_form.load(prepared)
    kept = {**kept_in_float(graph, types), **_lost_bounds(graph, types)}
    feeds = list(reader.first(_SAMPLES_MEASURED))
    values = measure(prepared, types, feeds)
    kept = kept | {name: why for name, why in far_apart(prepared, types, values).items() if name not in kept}
    kept = {name: why for name, why in kept.items() if name not in excluded}
    inner = _in_bodies(graph, types)
    note_kept(kept | inner, context)
    if not any(node.op_type in types and node.name not in excluded | kept.keys() for node in graph.graph.node):
        raise _nothing(settings, kept, inner, context)
    samples = len(feeds) * max(1, context.calibration.batch)
    overrides = _one_scale(graph, settings) | _unclipped(prepared, settings, reader, values, samples)
    overrides |= _without_numbers(graph, values)
    result = context.folder / "static.onnx"
    if len(graph.graph.node) > MANY_NODES:
        slow = "onnxruntime's quantizer takes minutes for so many, since its time grows with the square of their number"
        context.progress.say(f"step {context.name}: {len(graph.graph.node)} nodes: {slow}")
    with warnings.catch_warnings(), _no_histogram(lambda: _nothing(settings, kept, inner, context)):
        warnings.simplefilter("ignore", RuntimeWarning)  # numpy's warnings about ranges of tensors that stay in float
        quantize_static(
            prepared,
            result,
            reader,
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=METHODS[settings["calibrationMethod"]],
            op_types_to_quantize=sorted(types),
            nodes_to_exclude=sorted(excluded | kept.keys()),
            per_channel=settings["perChannel"],
            reduce_range=settings["reduceRange"],
            extra_options={
                # One feed at a time is reduced to ranges: all activations of all samples would not fit memory.
                "CalibStridedMinMax": 1,
                # Types that cannot be inferred are those behind operators of onnxruntime's own.
                "DefaultTensorType": onnx.TensorProto.FLOAT,
                "TensorQuantOverrides": overrides,
            },
        )
    normal_form.sort_file(result)
    quantized = _quantizers(result) > _quantizers(prepared)
    prepared.unlink()
    if not quantized:
        raise _nothing(settings, kept, inner, context)
    return result


@contextlib.contextmanager
def _no_histogram(nothing: Callable[[], Stalled]) -> Iterator[None]:
    """Raises ``nothing()`` where onnxruntime finds no tensor of a known type, of which it could make a histogram."""
    try:
        yield
    except ValueError as error:
        if "Histogram has not been collected" not in str(error):
            raise
        raise nothing() from error


def _nothing(settings: Settings, kept: Mapping[str, str], inner: Mapping[str, str], context: StepContext) -> Stalled:
    wanted = ", ".join(settings["opTypes"]) or "operator that can be"
    cure = "use QuantizeDynamic for bodies of If, Loop and Scan" if inner else "change opTypes or excludeNodes"
    return failed(context.name, f"nothing was quantized: no {wanted} is left{because(kept)}; {cure}")


def _in_bodies(model: onnx.ModelProto, types: set[str]) -> dict[str, str]:
    """Returns the nodes with stored weights in bodies of If, Loop and Scan, with the reason to leave them in float."""
    stored = {tensor.name for graph in graphs(model.graph) for tensor in graph.initializer}
    return {
        node.name: "in bodies of If, Loop and Scan no ranges are measured; QuantizeDynamic needs none"
        for node in inner_nodes(model)
        if node.op_type in types & {*COMPUTING} and not stored.isdisjoint(node.input)
    }


def _lost_bounds(model: onnx.ModelProto, types: set[str]) -> dict[str, str]:
    """Returns the Clips that quantization would drop although they bound more than a range of int8 does.

    Such a range always contains 0, so that it replaces bounds below and above 0, but no others. Bounds that are not
    stored are not known.
    """
    if "Clip" not in types:
        return {}
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    kept = {}
    for node in model.graph.node:
        if node.op_type != "Clip":
            continue
        bounds = {one.name: one.f for one in node.attribute}
        for key, name in zip(("min", "max"), node.input[1:], strict=False):
            if name:
                bounds[key] = float(onnx.numpy_helper.to_array(stored[name]).item()) if name in stored else np.nan
        lower, upper = bounds.get("min", -np.inf), bounds.get("max", np.inf)
        if not (lower <= 0 <= upper):
            kept[node.name] = f"its bounds, {lower:g} to {upper:g}, do not contain 0, as ranges of int8 do"
    return kept


def _one_scale(model: onnx.ModelProto, settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """Returns onnxruntime's overrides for weights without a channel axis that it knows: they get one scale each.

    These are stacks of matrices, matrices on the left of a MatMul, and weights of a grouped ConvTranspose.
    """
    if not settings["perChannel"]:
        return {}
    stored = {tensor.name: tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT}
    override = {"quant_type": QuantType.QInt8, "symmetric": True, "reduce_range": settings["reduceRange"]}
    found: dict[str, list[dict[str, Any]]] = {}
    for node in model.graph.node:
        names = []
        if node.op_type == "MatMul":
            names = [name for place, name in enumerate(node.input) if place == 0 or len(_dims(stored, name)) != 2]
        elif node.op_type == "ConvTranspose" and any(one.name == "group" and one.i > 1 for one in node.attribute):
            names = [node.input[1]]
        found |= {name: [override] for name in names if name in stored}
    return found


def _unclipped(
    model: Path, settings: Settings, reader: "_Reader", values: Mapping[str, Array], samples: int
) -> dict[str, list[dict[str, Any]]]:
    """Returns onnxruntime's overrides for tensors that Entropy and Percentile must not clip, with their whole range.

    Nothing makes up for a clipped output of the model, and a histogram of few values does not say which are rare.
    ``values`` are those of ``samples`` samples.
    """
    if settings["calibrationMethod"] == "MinMax":
        return {}
    few = {name for name, found in values.items() if found.size * len(reader.positions) < MIN_VALUES * samples}
    outputs = {output.name for output in normal_form.load(model).graph.output}
    return {
        name: [{"rmin": np.float32(lowest), "rmax": np.float32(highest)}]
        for name, (lowest, highest) in whole_ranges(model, few | outputs, reader.all()).items()
        if np.isfinite([lowest, highest]).all() and lowest < highest
    }


def _without_numbers(model: onnx.ModelProto, values: Mapping[str, Array]) -> dict[str, list[dict[str, Any]]]:
    """Returns overrides with any range for tensors that are NaN throughout, whose nodes stay in float: onnxruntime
    computes a scale for every tensor."""
    stored = {tensor.name for tensor in model.graph.initializer}
    return {
        name: [{"rmin": np.float32(0), "rmax": np.float32(1)}]
        for name, found in values.items()
        if name not in stored and found.size and np.isnan(found).all()
    }


def _dims(stored: Mapping[str, onnx.TensorProto], name: str) -> Sequence[int]:
    return stored[name].dims if name in stored else ()


def _quantizers(model: Path) -> int:
    return sum(node.op_type == "QuantizeLinear" for node in normal_form.load(model).graph.node)


def _prepare(model: Path, settings: Settings, context: StepContext) -> tuple[Path, set[str], set[str]]:
    """Returns the graph as onnxruntime would fuse it, with shapes; the operator types to quantize; names to exclude."""
    named = load_quantizable(model, context)
    if settings["perChannel"] and opset_of(named) < PER_CHANNEL_OPSET:
        named = onnx.version_converter.convert_version(named, PER_CHANNEL_OPSET)
    check_selection(named, settings, context, can=OP_TYPES)
    given, prepared = context.folder / "named.onnx", context.folder / "prepared.onnx"
    weight_files.save(named, given)
    with tempfile.TemporaryDirectory(dir=context.folder) as scratch, contextlib.chdir(scratch):
        try:
            quant_pre_process(given, prepared, skip_symbolic_shape=False)
        except Exception as error:
            # Symbolic shape inference is only a help. For operators that it does not know it raises anything,
            # having written the model to the current directory, wherever that is.
            context.progress.say(f"step {context.name}: goes on without symbolic shapes ({in_words(error, 200)})")
            quant_pre_process(given, prepared, skip_symbolic_shape=True)
    given.unlink()
    ready = normal_form.load(prepared)
    order_operands(ready)
    separate_outputs(ready)
    free_suffixes(ready)
    weight_files.save(ready, prepared)
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

    def __init__(self, dataset: Dataset, positions: Array, progress: Progress) -> None:
        self._dataset, self._progress = dataset, progress
        self.positions = positions
        self._size = 8 if dataset.batch < 0 else dataset.batch
        self._range = range(len(self))

    def first(self, samples: int) -> Iterator[dict[str, Any]]:
        """Yields the feeds of that many samples, spread evenly; with a fixed batch, one feed for each."""
        chosen = self.positions[:: max(1, len(self.positions) // samples)][:samples]
        size = max(1, self._dataset.batch)
        for start in range(0, len(chosen), size):
            yield next(feeds for _, feeds in self._dataset.batches(chosen[start : start + size]))

    def all(self) -> Iterator[dict[str, Any]]:
        """Yields the feeds of all samples."""
        for start in range(0, len(self.positions), self._size):
            chosen = self.positions[start : start + self._size]
            yield next(feeds for _, feeds in self._dataset.batches(chosen))

    def __len__(self) -> int:
        return -(-len(self.positions) // self._size)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._range = range(start_index, min(end_index, len(self)))
        self._progress.count("calibrating", start_index * self._size, len(self.positions), "samples")

    def get_next(self) -> dict[str, Any] | None:
        if not self._range:
            return None
        start, self._range = self._range[0] * self._size, self._range[1:]
        positions = self.positions[start : start + self._size]
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
