"""``type: LowRank``: replaces weight matrices and kernels with low-rank factors, which need fewer multiplications.

A MatMul or Gemm becomes two (truncated singular value decomposition). A Conv becomes up to three: a 1x1 that reduces
the input channels, the kernel on fewer channels, a 1x1 that restores the output channels (Tucker-2 by HOSVD:
Kim et al. 2016, "Compression of deep convolutional neural networks for fast and low power mobile applications"). Of
both 1x1 or one alone, the step takes the form with the fewest multiplications. It leaves a node unchanged if no form
has fewer than the node itself, and grouped convolutions, whose channels are few already.

Ranks are rounded up to whole blocks of channels: with other ranks, three convolutions took longer than the original
one, however few their multiplications (0.7 of the speed, for a Fashion-MNIST classifier at 98 % of the energy). The
rounding also protects a last layer with few classes, where nothing is to be saved. With blocks, that classifier at
90 % has 1.2 times the speed, two thirds of the size, and 0.3 points less accuracy; at 80 % it loses 4 points. Magika,
whose one large kernel has nearly full rank, loses 1 to 2 points at 95 % and 15 at 90 %: hence the cautious default.

Kim et al. retrain afterwards, which an ONNX file does not allow, so this step can remove less.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import prod
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.shape_inference

from edge_compressor.models import weight_files
from edge_compressor.models.graph import drop_unread, fresh, taken_names
from edge_compressor.step_interface.step_type import EXCLUDE_NODES, StepContext, StepType, failed, op_types
from edge_compressor.steps.weights import Weight, find_weights, load_float
from edge_runtime.datatypes import Array
from edgemodel.compression_request import ONNX
from edgemodel.setting_kinds import Fraction, Settings, Whole

OP_TYPES: Final = ("Conv", "Gemm", "MatMul")

BLOCK: Final = 16
"""The number of channels that onnxruntime's kernels process at once: 16 with AVX-512 and on arm64, 8 with AVX2."""


@dataclass(frozen=True)
class Factorization:
    """The replacement of a node: nodes and weights, in the order in which they run."""

    nodes: tuple[onnx.NodeProto, ...]
    weights: tuple[onnx.TensorProto, ...]
    before: float
    """The number of multiplications per row, or per output position of a Conv."""
    after: float


def apply(model: Path, settings: Settings, context: StepContext) -> Path:
    """Raises Stalled(StepFailed) if no node would need fewer multiplications."""
    graph = load_float(model, context)
    weights = find_weights(graph, settings, context, default=OP_TYPES, can="factorised", types=OP_TYPES)
    positions, taken = _positions(graph), taken_names(graph)
    plans: dict[str, Factorization] = {}
    for number, weight in enumerate(weights):
        context.progress.count("factorising", number, len(weights), "weights")
        found = {node.name: _plan(node, weight, settings, positions, taken) for node in weight.readers}
        if None not in found.values():  # otherwise the original weight would be stored as well
            plans |= {name: plan for name, plan in found.items() if plan is not None}
    if not plans:
        message = f"nothing was factorised: none of {len(weights)} weights takes fewer multiplications as a product"
        raise failed(context.name, f"{message}; lower energyPercent or rankPercent, or leave the step out")
    context.notes["factorised"] = {name: round(plan.after / plan.before, 3) for name, plan in plans.items()}
    result = context.folder / "low-rank.onnx"
    weight_files.save(_with(graph, plans), result)
    return result


def basis(unfolded: Array, settings: Settings) -> Array:
    """Returns the leading left singular vectors of ``unfolded``, (size, n), as an orthonormal (size, rank) matrix.

    ``settings`` determine the rank, which is rounded up to a multiple of BLOCK and at most full. The
    vectors are the eigenvectors of the Gram matrix, which is (size, size) for every n.
    """
    energies, vectors = np.linalg.eigh(unfolded @ unfolded.T)
    energies, vectors = np.maximum(energies[::-1], 0), vectors[:, ::-1]
    if settings["rankPercent"]:
        rank = -(-min(unfolded.shape) * settings["rankPercent"] // 100)
    else:
        kept = np.cumsum(energies) / max(float(energies.sum()), np.finfo(float).tiny)
        rank = int(np.searchsorted(kept, float(Decimal(settings["energyPercent"]) / 100))) + 1
    rank = -(-max(rank, 1) // BLOCK) * BLOCK
    return np.asarray(vectors[:, : min(rank, *unfolded.shape)])


def _plan(
    node: onnx.NodeProto, weight: Weight, settings: Settings, positions: Mapping[str, int], taken: set[str]
) -> Factorization | None:
    values, attributes = weight.values.astype(np.float64), _attributes(node)
    if node.op_type == "Conv":
        if attributes.get("group", 1) != 1:
            return None
        return _conv(node, values, attributes, settings, positions, _Maker(node, weight, taken))
    if values.ndim != 2 or node.input[1] != weight.tensor.name or attributes.get("transA"):
        return None
    return _product(node, values, attributes, settings, _Maker(node, weight, taken))


class _Maker:
    """Makes the nodes that replace ``node``: the last takes its name and outputs, the others have derived names."""

    def __init__(self, node: onnx.NodeProto, weight: Weight, taken: set[str]) -> None:
        self._node, self._weight, self._taken = node, weight, taken
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def add(self, op_type: str, values: Array, *, last: bool, bias: Iterable[str] = (), **attributes: Any) -> None:
        kind = self._weight.values.dtype
        name = self._node.name if last else fresh(f"{self._node.name}_thin{len(self.nodes)}", self._taken)
        given = self.nodes[-1].output[0] if self.nodes else self._node.input[0]
        stored = fresh(f"{self._weight.tensor.name}_factor{len(self.nodes)}", self._taken)
        self.weights.append(onnx.numpy_helper.from_array(np.ascontiguousarray(values, dtype=kind), stored))
        made = self._node.output[0] if last else fresh(f"{name}_out", self._taken)
        self.nodes.append(onnx.helper.make_node(op_type, [given, stored, *bias], [made], name=name, **attributes))

    def plan(self, before: float, after: float) -> Factorization:
        return Factorization(tuple(self.nodes), tuple(self.weights), before, after)


def _product(
    node: onnx.NodeProto, values: Array, attributes: dict[str, Any], settings: Settings, maker: _Maker
) -> Factorization | None:
    matrix = values.T if attributes.get("transB") else values
    rows, columns = matrix.shape
    if rows <= columns:
        left = basis(matrix, settings)
        right = left.T @ matrix
    else:
        right = basis(matrix.T, settings).T
        left = matrix @ right.T
    rank = left.shape[1]
    before, after = rows * columns, rank * (rows + columns)
    if after >= before:
        return None
    maker.add("MatMul", left, last=False)
    second = right.T if attributes.get("transB") else right
    maker.add(node.op_type, second, last=True, bias=node.input[2:], **attributes)
    return maker.plan(before, after)


def _conv(
    node: onnx.NodeProto,
    values: Array,
    attributes: dict[str, Any],
    settings: Settings,
    positions: Mapping[str, int],
    maker: _Maker,
) -> Factorization | None:
    outputs, inputs, *window = values.shape
    outer = basis(values.reshape(outputs, -1), settings)
    inner = basis(np.moveaxis(values, 1, 0).reshape(inputs, -1), settings)
    ratio = _input_ratio(node, attributes, positions)

    def cost(by_inner: bool, by_outer: bool) -> float:
        few_in, few_out = inner.shape[1] if by_inner else inputs, outer.shape[1] if by_outer else outputs
        thinning, restoring = inputs * few_in * ratio if by_inner else 0, few_out * outputs if by_outer else 0
        return float(thinning + few_in * few_out * prod(window) + restoring)

    choices = [(False, True), (True, False), (True, True)]
    by_inner, by_outer = min(choices, key=lambda choice: cost(*choice))
    before, after = cost(False, False), cost(by_inner, by_outer)
    if after >= before:
        return None
    core, ones = values, [1] * len(window)
    if by_inner:
        core = np.moveaxis(np.tensordot(core, inner, axes=(1, 0)), -1, 1)
        first = inner.T.reshape(-1, inputs, *ones)
        maker.add("Conv", first, last=False, kernel_shape=ones)
    if by_outer:
        core = np.tensordot(outer.T, core, axes=(1, 0))
    bias = list(node.input[2:])
    maker.add("Conv", core, last=not by_outer, bias=[] if by_outer else bias, **attributes)
    if by_outer:
        last = outer.reshape(outputs, -1, *ones)
        maker.add("Conv", last, last=True, bias=bias, kernel_shape=ones)
    return maker.plan(before, after)


def _input_ratio(node: onnx.NodeProto, attributes: dict[str, Any], positions: Mapping[str, int]) -> float:
    """Returns the input positions of a Conv per output position; from its strides if sizes are unknown."""
    given, made = positions.get(node.input[0]), positions.get(node.output[0])
    if given and made:
        return given / made
    ratio: float = prod(attributes.get("strides", []))
    return ratio


def _positions(model: onnx.ModelProto) -> dict[str, int]:
    """Returns, by tensor, the number of positions of a channel, if all dimensions after the second are known."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    found = {}
    for item in (*graph.input, *graph.value_info, *graph.output):
        dims = item.type.tensor_type.shape.dim[2:]
        if dims and all(dim.dim_value > 0 for dim in dims):
            found[item.name] = prod(dim.dim_value for dim in dims)
    return found


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}


def _with(model: onnx.ModelProto, plans: Mapping[str, Factorization]) -> onnx.ModelProto:
    """Replaces the nodes in ``model`` by their plans; nodes that shared a weight share its factors."""
    known: dict[bytes, str] = {}
    for plan in plans.values():
        for node, tensor in zip(plan.nodes, plan.weights, strict=True):
            node.input[1] = known.setdefault(f"{tensor.dims}".encode() + tensor.raw_data, tensor.name)
            if node.input[1] == tensor.name:
                model.graph.initializer.append(tensor)
    nodes = [new for node in model.graph.node for new in (plans[node.name].nodes if node.name in plans else (node,))]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    drop_unread(model)
    return model


STEP = StepType(
    "LowRank",
    "Replaces weight matrices and kernels with products of low-rank factors wherever that needs fewer multiplications.",
    {
        "energyPercent": Fraction(
            "95",
            "Share of the sum of squared singular values that each weight keeps, in percent; a decimal string, 1 to "
            "99.9999. Lower values make the model smaller, faster and less accurate; ranks are rounded up to a "
            "multiple of 16. Ignored unless rankPercent is 0. Default: 95.",
            minimum="1",
            maximum="99.9999",
        ),
        "rankPercent": Whole(
            0,
            "Rank that each weight keeps, in percent of its full rank, rounded up to a multiple of 16; 1 to 99. With "
            "0, energyPercent determines the rank. Default: 0.",
            minimum=0,
            maximum=99,
        ),
        "opTypes": op_types(
            "ONNX operator types to factorise: Conv, Gemm, MatMul; at most 64. Default: all of these.",
        ),
        "excludeNodes": EXCLUDE_NODES,
    },
    {ONNX: apply},
)
