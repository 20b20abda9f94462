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
N_OPEN = "n"
BODIES = ("If", "Loop", "Scan")


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


def with_body(kind: str, *, as_nodes: bool = False, gemm: bool = False, outer: bool = False) -> onnx.ModelProto:
    """Returns a model from x (n, 8) to y (n, 8) whose products are in the bodies of ``kind``: If, Loop or Scan.

    The weights are initializers of the bodies (both branches of If give theirs the same names), Constants with
    ``as_nodes``, or initializers of the main graph with ``outer``. With ``gemm`` the products are Gemms.
    """
    read = {"If": "x", "Loop": "state", "Scan": "state"}[kind]

    def body(name: str, before: Sequence[onnx.ValueInfoProto], passed: Sequence[str]) -> onnx.GraphProto:
        weights = [weight(f"{name}{one}", *shape) for one, shape in (("w", (8, 16)), ("v", (8, 16)), ("b", (16,)))]
        for tensor, short in zip(weights, "wvb", strict=True):
            tensor.name = short if kind == "If" and not outer else tensor.name
        w, v, b = (tensor.name for tensor in weights)
        made = [
            helper.make_node("Gemm", [read, w, b], [f"{name}h"])
            if gemm
            else helper.make_node("MatMul", [read, w], [f"{name}h"]),
            helper.make_node("Tanh", [f"{name}h"], [f"{name}t"]),
            helper.make_node("Gemm", [f"{name}t", v], [f"{name}y"], transB=1)
            if gemm
            else helper.make_node("MatMul", [f"{name}t", f"{name}vt"], [f"{name}y"]),
        ]
        if not gemm:
            weights[1] = numpy_helper.from_array(numpy_helper.to_array(weights[1]).T.copy(), f"{name}vt")
        stored_here = [] if as_nodes or outer else weights
        if outer:
            main.extend(weights)
        constants = [helper.make_node("Constant", [], [one.name], value=one) for one in weights] if as_nodes else []
        copies = [helper.make_node("Identity", [given], [f"{given}_out"]) for given in passed]
        outputs = [value(f"{given}_out", [], TensorProto.BOOL) for given in passed] + [value(f"{name}y", [N_OPEN, 8])]
        if kind == "Scan":
            made.append(helper.make_node("Add", [f"{name}y", "row"], ["each"]))
            outputs.append(value("each", [N_OPEN, 8]))
        return helper.make_graph([*constants, *copies, *made], name, before, outputs, stored_here)

    main: list[onnx.TensorProto] = []
    state = value("state", [N_OPEN, 8])
    if kind == "If":
        main += [stored("zero", 0.0, np.float32)]
        nodes = [
            helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
            helper.make_node("Greater", ["sum", "zero"], ["positive"]),
            helper.make_node(
                "If", ["positive"], ["y"], then_branch=body("then", [], []), else_branch=body("else", [], [])
            ),
        ]
    elif kind == "Loop":
        main += [stored("times", 3), stored("go", True)]
        given = [value("i", [], INT64), value("on", [], TensorProto.BOOL), state]
        nodes = [helper.make_node("Loop", ["times", "go", "x"], ["y"], body=body("body", given, ["on"]))]
    else:
        main += [stored("axis", [0])]
        given = [state, value("row", [N_OPEN, 8])]
        nodes = [
            helper.make_node("Unsqueeze", ["x", "axis"], ["rows"]),
            helper.make_node("Scan", ["x", "rows"], ["y", "all"], body=body("body", given, []), num_scan_inputs=1),
        ]
    return model(nodes, [value("x", [N_OPEN, 8])], [value("y", [N_OPEN, 8])], main)


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
