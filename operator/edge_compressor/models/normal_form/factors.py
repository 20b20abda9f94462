"""The factors of Gemm, which quantizers lose."""

from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper

from edge_compressor.models.graph import drop_unread, fresh, taken_names
from edge_compressor.models.normal_form.refusal import counted


def fold_factors(model: onnx.ModelProto) -> list[str]:
    """Multiplies alpha and beta of a Gemm into its stored weight and bias.

    A factor of a tensor that is not stored stays; quantizers leave such a node in float (``has_factors``).
    """
    graph, taken = model.graph, taken_names(model)
    stored = {tensor.name: tensor for tensor in graph.initializer}
    folded = 0
    for node in graph.node:
        if node.op_type != "Gemm" or node.domain:
            continue
        attributes = {one.name: one for one in node.attribute}
        for factor, places in (("alpha", (1, 0)), ("beta", (2,))):
            value = attributes[factor].f if factor in attributes else 1.0
            place = next((one for one in places if len(node.input) > one and node.input[one] in stored), None)
            if value == 1.0 or place is None or not _is_float32(stored[node.input[place]]):
                continue
            scaled = _scaled(stored[node.input[place]], value, fresh(f"{node.input[place]}_{factor}", taken))
            graph.initializer.append(scaled)
            stored[scaled.name] = scaled
            node.input[place] = scaled.name
            attributes[factor].f = 1.0
            folded += 1
    if not folded:
        return []
    drop_unread(model)
    return [f"{counted(folded, 'factor')} of Gemm (alpha, beta) multiplied into weights and biases"]


def has_factors(node: onnx.NodeProto) -> bool:
    """Returns True for a Gemm with a factor other than 1 on an existing input."""
    factors = {one.name: one.f for one in node.attribute if one.name in ("alpha", "beta")}
    third = len(node.input) > 2 and bool(node.input[2])
    return factors.get("alpha", 1.0) != 1.0 or (third and factors.get("beta", 1.0) != 1.0)


def _is_float32(tensor: onnx.TensorProto) -> bool:
    return bool(tensor.data_type == onnx.TensorProto.FLOAT)


def _scaled(tensor: onnx.TensorProto, factor: float, name: str) -> Any:
    values = onnx.numpy_helper.to_array(tensor) * np.float32(factor)
    return onnx.numpy_helper.from_array(np.asarray(values, dtype=np.float32), name)
