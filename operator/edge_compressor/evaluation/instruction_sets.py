"""The check whether the artifact answers alike on processors with other instruction sets, from the file alone.

x86 processors without VNNI multiply uint8 activations by int8 weights two at a time and keep each sum in 16 bits
(VPMADDUBSW): 255 x 127 + 255 x 127 exceeds them, so that sums saturate and answers differ from those of the machine
that evaluated. Weights of 7 bits, -64 to 64, cannot: 2 x 255 x 64 = 32,640 is below 32,768.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import onnx
import onnx.numpy_helper

from edge_compressor.models import normal_form, weight_files
from edge_compressor.models.model_file import ModelFile
from edge_compressor.models.onnx_model import nodes
from edgemodel.artifact import ONNX_RUNTIME

SEVEN_BITS: Final = 64

_WEIGHT_INPUT: Final = {
    "ConvInteger": 1, "DynamicQuantizeMatMul": 1, "MatMulInteger": 1, "MatMulIntegerToFloat": 1, "QAttention": 1,
    "QGemm": 3, "QLinearConv": 3, "QLinearMatMul": 3,
}  # fmt: skip
"""The input that holds int8 weights, for operators that multiply whole numbers themselves."""
_FLOAT_PRODUCTS: Final = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""The operators that run on whole numbers between a DequantizeLinear of weights and one of activations."""


@dataclass(frozen=True)
class WeightRange:
    """The range of the int8 weights that are multiplied with uint8 activations."""

    weights: int
    """The number of tensors; 0: nothing is quantized that way."""
    full_range: int
    """The number of those with a value beyond -64 to 64."""

    def to_json(self) -> dict[str, Any]:
        """Returns the form in which the report stores it."""
        return {"quantizedWeights": self.weights, "beyondSevenBits": self.full_range}


def weight_range(model: ModelFile) -> WeightRange:
    """Returns the range of the model's int8 weights; for a runtime other than ONNX Runtime, nothing is known."""
    if model.runtime != ONNX_RUNTIME:
        return WeightRange(0, 0)
    graph = normal_form.load_shapes(model.path).graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}
    found = set()
    for node in nodes(graph):
        if node.op_type in _WEIGHT_INPUT:
            place = _WEIGHT_INPUT[node.op_type]
            found |= set(node.input[place : place + 1])
        elif node.op_type in _FLOAT_PRODUCTS:
            found |= _behind(node, makers, stored)
    weights = [stored[name] for name in sorted(found) if name in stored and _is_int8(stored[name])]
    wide = sum(_largest(one, model.path.parent) > SEVEN_BITS for one in weights)
    return WeightRange(len(weights), wide)


def warning(found: WeightRange, steps: list[dict[str, Any]]) -> str | None:
    """Returns a warning for the report, which names the setting to change; None if the artifact answers alike.
    ``steps`` are those of the manifest."""
    if not found.full_range:
        return None
    guilty = [step["name"] for step in steps if step["settings"].get("reduceRange") is False]
    cure = "they are in the source already: quantize the model it was made of, with reduceRange"
    if guilty:
        cure = f"set reduceRange: true in step {', '.join(guilty)}, unless all nodes have VNNI or are arm64"
    return (
        f"{found.full_range} of {found.weights} quantized weights use all 8 bits beside uint8 activations: x86 "
        f"processors without VNNI saturate, and give other answers than measured here; {cure}"
    )


def _behind(node: onnx.NodeProto, makers: dict[str, onnx.NodeProto], stored: dict[str, onnx.TensorProto]) -> set[str]:
    """Returns the weights of a product whose other side is uint8."""
    sides = [makers.get(name) for name in node.input[:2]]
    if any(side is None or side.op_type != "DequantizeLinear" for side in sides):
        return set()
    names = [side.input[0] for side in sides if side is not None]
    kinds = [_zero_point(side, stored) for side in sides if side is not None]
    return {name for name in names if name in stored} if onnx.TensorProto.UINT8 in kinds else set()


def _zero_point(node: onnx.NodeProto, stored: dict[str, onnx.TensorProto]) -> int:
    """Returns the input type of a DequantizeLinear, which is that of its zero point; uint8 without one."""
    if len(node.input) < 3 or not node.input[2]:
        return int(onnx.TensorProto.UINT8)
    return int(stored[node.input[2]].data_type) if node.input[2] in stored else int(onnx.TensorProto.UNDEFINED)


def _largest(tensor: onnx.TensorProto, folder: Path) -> int:
    """Returns the largest magnitude of a weight."""
    values = onnx.numpy_helper.to_array(weight_files.read(tensor, folder))
    return max(int(values.max(initial=0)), -int(values.min(initial=0)))


def _is_int8(tensor: onnx.TensorProto) -> bool:
    return bool(tensor.data_type == onnx.TensorProto.INT8)
