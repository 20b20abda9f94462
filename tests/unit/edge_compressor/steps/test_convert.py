from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import pytest

from edge_compressor.models.graph import graphs
from tests.unit.edge_compressor import models
from tests.unit.edge_compressor.bench import Bench, agreement, distance, operators, weights, weights_by_type
from tests.unit.edge_compressor.models import Files
from tests.unit.edge_compressor.normal_form.graphs import BODIES, answers, inputs, with_body

FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


def opset(path: Path) -> int:
    return int(onnx.load(path).opset_import[0].version)


@pytest.mark.parametrize("kind", ["residual", "perceptron", "thin"])
@pytest.mark.parametrize("precision", ["FP16", "FP16Weights"])
def test_half_precision_halves_the_file_and_keeps_interface_and_answers(
    kind: str, precision: str, bench: Bench, request: pytest.FixtureRequest
) -> None:
    files: Files = request.getfixturevalue(kind)
    result = bench.apply("Convert", files, precision=precision)
    assert weights_by_type(result).keys() == {HALF}
    if kind == "thin":
        assert result.stat().st_size < 0.52 * files.model.stat().st_size
    assert distance(files.model, result) < 0.03
    assert agreement(files.model, result) >= 0.98


def test_stored_halves_are_rounded_weights_and_nothing_else(perceptron: Files, bench: Bench, tmp_path: Path) -> None:
    def round_weights(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if np.prod(tensor.dims) >= 64:
                rounded = onnx.numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
                tensor.CopyFrom(onnx.numpy_helper.from_array(rounded, tensor.name))

    expected = models.edited(perceptron.model, tmp_path / "rounded.onnx", round_weights)
    assert distance(expected, bench.apply("Convert", perceptron, precision="FP16Weights")) == 0


def test_computation_is_half_from_the_first_node_to_the_last(residual: Files, bench: Bench) -> None:
    graph = onnx.load(bench.apply("Convert", residual, precision="FP16")).graph
    casts = [node for node in graph.node if node.op_type == "Cast"]
    assert [(list(node.input), list(node.output)) for node in casts] == [(["x"], ["x_fp16"]), (["y_fp16"], ["y"])]


def test_excluded_nodes_and_types_stay_in_32_bits(residual: Files, bench: Bench) -> None:
    kept = weights(bench.apply("Convert", residual, precision="FP16", excludeNodes=["conv_a1"], floatOpTypes=["Gemm"]))
    assert kept["w_a1"].dtype == kept["w_head"].dtype == np.float32
    assert kept["w_a0_fp16"].dtype == np.float16
    stored = weights(bench.apply("Convert", residual, precision="FP16Weights", excludeNodes=["conv_a1"]))
    assert stored["w_a1"].dtype == np.float32


def test_what_overflows_easily_stays_in_32_bits(bench: Bench, tmp_path: Path) -> None:
    net = models.Builder()
    product = net.node("MatMul", ["x", net.weight("w", 16, 10)], "product_out")
    large = net.node("Mul", [product, net.constant("large", np.float32([100]))], "large_out")
    squares = net.node("Pow", [large, net.constant("two", np.float32([2]))], "pow_out")
    net.node("Div", [squares, net.node("ReduceSum", [squares, net.constant("axis", np.array([1]))], "sum_out")], "y")
    model = net.save(tmp_path / "softmax.onnx", [16])
    files = Files(model, models.write_calibration(tmp_path / "c.npz", model), tmp_path)
    result = bench.apply("Convert", files, precision="FP16", floatOpTypes=["Div"])
    assert operators(result)["Cast"] == 2
    assert distance(model, result) < 0.02


@pytest.mark.parametrize("precision", ["FP16", "FP16Weights"])
def test_values_beyond_float16_are_refused_by_name(
    precision: str, residual: Files, bench: Bench, tmp_path: Path
) -> None:
    def enlarge(model: onnx.ModelProto) -> None:
        tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "w_b1")
        values = onnx.numpy_helper.to_array(tensor).copy()
        values.flat[0] = -70000
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))

    large = replace(residual, model=models.edited(residual.model, tmp_path / "large.onnx", enlarge))
    message = bench.refusal("Convert", large, precision=precision)
    assert "'w_b1' holds 70000 in magnitude, and float16 ends at 65504: add the nodes that read it" in message
    assert weights(bench.apply("Convert", large, precision=precision, excludeNodes=["conv_b1"]))["w_b1"].min() == -70000


def test_bounds_may_be_infinite(bench: Bench, tmp_path: Path) -> None:
    net = models.Builder()
    bounds = [net.constant("least", np.array(0, np.float32)), net.constant("most", np.array(np.inf, np.float32))]
    net.node("Clip", [net.node("MatMul", ["x", net.weight("w", 16, 10)], "product_out"), *bounds], "y")
    model = net.save(tmp_path / "clip.onnx", [16])
    files = Files(model, models.write_calibration(tmp_path / "c.npz", model), tmp_path)
    result = bench.apply("Convert", files, precision="FP16")
    assert weights(result)["most_fp16"] == np.inf
    assert distance(model, result) < 0.02


@pytest.mark.parametrize("version", [18, 21])
def test_a_newer_opset_keeps_the_answers(version: int, residual: Files, bench: Bench) -> None:
    result = bench.apply("Convert", residual, opset=version)
    assert opset(result) == version
    assert distance(residual.model, result) == 0
    half = bench.apply("Convert", residual, opset=version, precision="FP16")
    assert (opset(half), weights_by_type(half).keys()) == (version, {HALF})


def test_an_older_opset_is_refused_where_an_operator_has_no_older_form(residual: Files, bench: Bench) -> None:
    assert distance(residual.model, bench.apply("Convert", residual, opset=15)) == 0
    message = bench.refusal("Convert", residual, opset=9)
    assert "opset 17 cannot be converted to 9: No Adapter From Version $15 for BatchNormalization" in message
    assert "choose another opset, or export the model with it" in message


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "nothing to convert: the model has opset 17, opset is 0, which keeps it, and precision is Keep"),
        ({"opset": 17}, "nothing to convert: the model has opset 17, opset is 17 and precision is Keep"),
        ({"opset": 999}, "opset is 999, and onnx "),
        (
            {"precision": "FP16", "floatOpTypes": ["Gemm", "Relu"]},
            "weight of 64 values or more is read by a node that could compute in float16",
        ),
        ({"precision": "FP16", "floatOpTypes": ["Erf"]}, "floatOpTypes Erf match no node; the model has Gemm, Relu"),
        ({"precision": "FP16Weights", "floatOpTypes": ["Gemm"]}, "no float32 weight of 64 values or more is left"),
        ({"precision": "FP16", "excludeNodes": ["heed"]}, "excludeNodes 'heed' match no node"),
        ({"precision": "FP8"}, "convert.precision is 'FP8', want Keep, FP16 or FP16Weights"),
    ],
)
def test_a_mistake_or_nothing_to_do_is_refused(
    settings: dict[str, Any], told: str, perceptron: Files, bench: Bench
) -> None:
    assert told in bench.refusal("Convert", perceptron, **settings)


@pytest.mark.parametrize("precision", ["FP16", "FP16Weights"])
def test_a_model_that_computes_in_halves_is_refused(precision: str, perceptron: Files, bench: Bench) -> None:
    half = replace(perceptron, model=bench.apply("Convert", perceptron, precision="FP16"))
    assert "nothing to convert: no " in bench.refusal("Convert", half, precision=precision)


def test_a_model_with_functions_of_its_own_is_converted_with_them(
    perceptron: Files, bench: Bench, tmp_path: Path
) -> None:
    def add_function(model: onnx.ModelProto) -> None:
        model.functions.append(
            onnx.helper.make_function("own", "Twice", ["a"], ["b"], [onnx.helper.make_node("Add", ["a", "a"], ["b"])],
                                      [onnx.helper.make_opsetid("", 17)])
        )  # fmt: skip
        model.opset_import.append(onnx.helper.make_opsetid("own", 1))
        output = model.graph.node[-1]
        output.output[0] = "once"
        model.graph.node.append(onnx.helper.make_node("Twice", ["once"], ["y"], domain="own", name="twice"))

    own = replace(perceptron, model=models.edited(perceptron.model, tmp_path / "own.onnx", add_function))
    result = bench.apply("Convert", own, opset=18)
    assert opset(result) == 18
    assert agreement(own.model, result) == 1.0
    assert distance(own.model, bench.apply("Convert", own, precision="FP16")) < 0.03


@pytest.mark.parametrize("precision", ["FP16", "FP16Weights"])
@pytest.mark.parametrize("as_nodes", [True, False])
@pytest.mark.parametrize("kind", BODIES)
def test_weights_of_bodies_become_half_and_their_computation_stays(
    kind: str, as_nodes: bool, precision: str, bench: Bench, tmp_path: Path
) -> None:
    proto = with_body(kind, as_nodes=as_nodes)
    onnx.save(proto, tmp_path / "m.onnx")
    np.savez(tmp_path / "calibration.npz", allow_pickle=False, **inputs(16, 8))
    files = Files(tmp_path / "m.onnx", tmp_path / "calibration.npz", tmp_path / "none")
    result = onnx.load(bench.apply("Convert", files, precision=precision))
    bodies = list(graphs(result.graph))[1:]
    large = [tensor.data_type for body in bodies for tensor in body.initializer if len(tensor.dims) == 2]
    assert large == [HALF] * 2 * len(bodies)
    for feeds in (inputs(5, 8), {"x": -inputs(5, 8)["x"]}):
        np.testing.assert_allclose(answers(result, feeds)[0], answers(proto, feeds)[0], atol=0.01)


def test_counts_in_floats_are_exact(bench: Bench, tmp_path: Path) -> None:
    """A size that is computed in floats and becomes a whole number may exceed float16's exact numbers."""
    net = models.Builder()
    size = net.node("Cast", [net.node("Shape", ["x"], "shape_out")], "size_out", to=FLOAT)
    scaled = net.node("Mul", [size, net.constant("ones", np.float32([1, 1]))], "scaled_out")
    again = net.node("Reshape", ["x", net.node("Cast", [scaled], "whole_out", to=onnx.TensorProto.INT64)], "again_out")
    net.node("MatMul", [again, net.weight("w", 3001, 10)], "y", name="head")
    model = net.save(tmp_path / "counts.onnx", [3001])
    files = Files(model, models.write_calibration(tmp_path / "c.npz", model), tmp_path)
    result = bench.apply("Convert", files, precision="FP16")
    assert distance(model, result) < 0.05
