"""Small graphs, each with one trait of what exporters write, and their answers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edge_compressor.models.normal_form import Pass

Array = NDArray[Any]
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def weight(name: str, *shape: int, kind: Any = np.float32) -> onnx.TensorProto:
    """Returns seeded numbers, different for each name."""
    random = np.random.default_rng(sum(map(ord, name)))
    return numpy_helper.from_array(np.asarray(random.standard_normal(shape) / 2).astype(kind), name)


def stored(name: str, values: Any, kind: Any = None) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, dtype=kind), name)


def value(name: str, shape: Sequence[Any], kind: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[onnx.ValueInfoProto],
    weights: Sequence[onnx.TensorProto] = (),
    *,
    opset: int = 17,
    ir: int = 8,
    domains: Mapping[str, int] | Sequence[tuple[str, int]] = (),
    functions: Sequence[onnx.FunctionProto] = (),
) -> onnx.ModelProto:
    pairs = list(domains.items()) if isinstance(domains, Mapping) else list(domains)
    table = [helper.make_opsetid(*one) for one in pairs or [("", opset)]]
    graph = helper.make_graph(list(nodes), "small", list(inputs), list(outputs), list(weights))
    return helper.make_model(graph, opset_imports=table, ir_version=ir, functions=list(functions))


def product(**options: Any) -> onnx.ModelProto:
    """Returns a model from x (n, 4) to y (n, 3): MatMul with w, then Add with b."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"], "product"),
        helper.make_node("Add", ["m", "b"], ["y"], "sum"),
    ]
    return model(nodes, [value("x", ["n", 4])], [value("y", ["n", 3])], [weight("w", 4, 3), weight("b", 3)], **options)


def answers(proto: onnx.ModelProto, feeds: Mapping[str, Array]) -> list[Any]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    found: list[Any] = ort.InferenceSession(proto.SerializeToString(), options).run(None, dict(feeds))
    return found


def inputs(*shape: int, name: str = "x", kind: Any = np.float32) -> dict[str, Array]:
    return {name: np.random.default_rng(7).standard_normal(shape).astype(kind)}


def changed_by(
    one: Pass, given: onnx.ModelProto, feeds: Mapping[str, Array], *, tolerance: float = 1e-6
) -> tuple[onnx.ModelProto, list[str]]:
    """Returns the model after the pass, and the pass's sentences; its answers are the same, and a second run changes
    nothing."""
    made = onnx.ModelProto()
    made.CopyFrom(given)
    said = one(made)
    onnx.checker.check_model(made)
    for before, after in zip(answers(given, feeds), answers(made, feeds), strict=True):
        assert before.dtype == after.dtype
        np.testing.assert_allclose(after, before, rtol=tolerance, atol=tolerance)
    again = onnx.ModelProto()
    again.CopyFrom(made)
    assert one(again) == []
    assert again == made
    return made, said


def operators(proto: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in proto.graph.node]


def stored_names(proto: onnx.ModelProto) -> set[str]:
    return {tensor.name for tensor in proto.graph.initializer}
