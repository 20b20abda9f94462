"""Quantizers on exporters' models: the result is int8, and its answers match the source's; or the remedy is named."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_compressor.models.graph import graphs
from tests.unit.edge_compressor.bench import Bench
from tests.unit.edge_compressor.models import Files
from tests.unit.edge_compressor.normal_form.graphs import (
    BODIES,
    Array,
    answers,
    model,
    stored,
    value,
    weight,
    with_body,
)

QUANTIZERS = ("QuantizeDynamic", "QuantizeStatic")
both = pytest.mark.parametrize("kind", QUANTIZERS)
N = "n"


def files(proto: onnx.ModelProto, folder: Path, **arrays: Array) -> Files:
    """Writes a model with its calibration set ``arrays``; random x by default."""
    shape = [dim.dim_value for dim in proto.graph.input[0].type.tensor_type.shape.dim[1:]]
    arrays = arrays or {proto.graph.input[0].name: samples(*shape)}
    onnx.save(proto, folder / "m.onnx")
    np.savez(folder / "calibration.npz", allow_pickle=False, **arrays)
    return Files(folder / "m.onnx", folder / "calibration.npz", folder / "none")


def samples(*shape: int, count: int = 32) -> Array:
    return np.random.default_rng(3).standard_normal((count, *shape)).astype(np.float32)


def int8(path: Path) -> int:
    kinds = (TensorProto.INT8, TensorProto.UINT8)
    return sum(one.data_type in kinds and len(one.dims) > 1 for one in onnx.load(path).graph.initializer)


def error(before: onnx.ModelProto, after: Path, feeds: dict[str, Array]) -> float:
    """Returns the largest difference of an answer, relative to the largest answer, over all outputs."""
    right, got = answers(before, feeds), answers(onnx.load(after), feeds)
    assert [one.dtype for one in right] == [one.dtype for one in got]
    return max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in zip(right, got, strict=True))


def check(
    kind: str, bench: Bench, folder: Path, proto: onnx.ModelProto, *, weights: int = 1, **settings: Any
) -> list[str]:
    """Quantizes ``proto`` to at least that many int8 weights with nearly the same answers; returns the notes of the
    step."""
    given = files(proto, folder)
    result = bench.apply(kind, given, **settings)
    assert int8(result) >= weights
    with np.load(given.calibration) as arrays:
        assert error(proto, result, {name: array[:4] for name, array in arrays.items()}) < 0.1
    notes: list[str] = bench.notes.get("changes", [])
    return notes


def net(
    nodes: Sequence[onnx.NodeProto], shape: Sequence[Any], made: Any, *weights: onnx.TensorProto, **more: Any
) -> Any:
    """Returns a net from x of ``shape`` to y of the shape ``made``; nodes are named by their outputs."""
    for node in nodes:
        node.name = node.name or f"node_{node.output[0]}"
    return model(nodes, [value("x", [N, *shape])], [value("y", made)], weights, **more)


def node(kind: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), [output], **attributes)


class TestWeights:
    @both
    def test_a_product_with_a_stack_of_matrices(self, kind: str, bench: Bench, tmp_path: Path) -> None:
        nodes = [
            node("MatMul", "x w", "h"),
            node("MatMul", "h v", "g"),
            node("MatMul", "x v2", "k"),
            node("Add", "g k", "y"),
        ]
        weights = [weight("w", 3, 8, 6), weight("v", 6, 5), weight("v2", 8, 5)]
        check(kind, bench, tmp_path, net(nodes, [3, 4, 8], [N, 3, 4, 5], *weights), weights=3)

    @both
    def test_a_product_with_a_vector(self, kind: str, bench: Bench, tmp_path: Path) -> None:
        nodes = [node("MatMul", "x w", "h"), node("MatMul", "h v", "y")]
        check(kind, bench, tmp_path, net(nodes, [8], [N], weight("w", 8, 6), weight("v", 6)), weights=2)

    @both
    def test_a_table_that_is_the_last_layer_too(self, kind: str, bench: Bench, tmp_path: Path) -> None:
        nodes = [
            node("Gather", "table ids", "e"),
            node("MatMul", "e w", "h"),
            node("Transpose", "table", "t", perm=[1, 0]),
            node("MatMul", "h t", "y"),
        ]
        weights = [weight("table", 20, 8), weight("w", 8, 8)]
        proto = model(nodes, [value("ids", [N, 3], TensorProto.INT64)], [value("y", [N, 3, 20])], weights)
        ids = np.random.default_rng(0).integers(0, 20, (32, 3))
        given = files(proto, tmp_path, ids=ids)
        result = bench.apply(kind, given)
        assert error(proto, result, {"ids": ids[:8]}) < 0.1
        assert int8(result) >= 2

    @both
    def test_a_table_that_is_square_and_read_both_ways(self, kind: str, bench: Bench, tmp_path: Path) -> None:
        nodes = [node("Gather", "table ids", "e"), node("MatMul", "e table", "y")]
        values = numpy_helper.to_array(weight("table", 8, 8)) * np.logspace(-1, 1, 8, dtype=np.float32)
        table = numpy_helper.from_array(values, "table")
        proto = model(nodes, [value("ids", [N, 3], TensorProto.INT64)], [value("y", [N, 3, 8])], [table])
        ids = np.random.default_rng(0).integers(0, 8, (32, 3))
        result = bench.apply(kind, files(proto, tmp_path, ids=ids))
        assert error(proto, result, {"ids": ids[:8]}) < 0.1

    @both
    def test_layers_that_share_a_weight_through_an_identity(self, kind: str, bench: Bench, tmp_path: Path) -> None:
        nodes = [
            node("Identity", "w", "w_shared"),
            node("MatMul", "x w", "h"),
            node("Relu", "h", "r"),
            node("MatMul", "r w_shared", "y"),
        ]
        check(kind, bench, tmp_path, net(nodes, [8], [N, 8], weight("w", 8, 8)))
        assert "Identity" not in [
            one.op_type for one in onnx.load(bench.folder / "step-1" / f"{_short(kind)}.onnx").graph.node
        ]

    @both
    @pytest.mark.parametrize("dtype", [np.float16, np.float64])
    def test_other_float_types_are_converted(self, kind: str, dtype: Any, bench: Bench, tmp_path: Path) -> None:
        onnx_type = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        nodes = [node("MatMul", "x w", "h"), node("Relu", "h", "r"), node("MatMul", "r v", "y")]
        weights = [weight("w", 8, 16, kind=dtype), weight("v", 16, 4, kind=dtype)]
        proto = model(nodes, [value("x", [N, 8], onnx_type)], [value("y", [N, 4], onnx_type)], weights)
        x = samples(8).astype(dtype)
        result = bench.apply(kind, files(proto, tmp_path, x=x))
        assert int8(result) == 2
        assert error(proto, result, {"x": x[:4]}) < 0.1
        assert bench.notes["changes"][0].endswith("became float32; inputs and outputs keep their types")

    @both
    def test_sparse_weights(self, kind: str, bench: Bench, tmp_path: Path) -> None:
        proto = net([node("MatMul", "x w", "y")], [8], [N, 6])
        values, indices = weight("w", 20), stored("", np.arange(20) * 2, np.int64)
        proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [8, 6]))
        check(kind, bench, tmp_path, proto)


class TestFactors:
    @both
    def test_factors_of_gemm(self, kind: str, bench: Bench, tmp_path: Path) -> None:
        nodes = [node("Gemm", "x w b", "h", transB=1, alpha=0.5, beta=3.0), node("Gemm", "h v", "y", alpha=2.0)]
        weights = [weight("w", 6, 8), weight("b", 6), weight("v", 6, 4)]
        check(kind, bench, tmp_path, net(nodes, [8], [N, 4], *weights), weights=2)

    def test_a_factor_of_what_is_computed_keeps_its_node_in_float(self, bench: Bench, tmp_path: Path) -> None:
        nodes = [node("MatMul", "x w", "h"), node("Gemm", "h v h", "y", beta=3.0)]
        proto = net(nodes, [8], [N, 8], weight("w", 8, 8), weight("v", 8, 8))
        notes = check("QuantizeStatic", bench, tmp_path, proto)
        assert notes == ["node_y: left in float: its factors (alpha, beta) are on tensors that are not stored"]


class TestQuantizedAlready:
    @pytest.mark.parametrize("first", QUANTIZERS)
    @pytest.mark.parametrize("second", [*QUANTIZERS, "PruneWeights"])
    def test_it_is_named(self, first: str, second: str, bench: Bench, perceptron: Files) -> None:
        done = replace(perceptron, model=bench.apply(first, perceptron))
        assert "the model is quantized already (" in bench.refusal(second, done)


class TestOtherDomains:
    @both
    def test_attention_of_the_standard_is_left_alone(self, kind: str, bench: Bench, tmp_path: Path) -> None:
        nodes = [
            node("MatMul", "x wq", "q"),
            node("MatMul", "x wk", "k"),
            node("Attention", "q k x", "a", q_num_heads=2, kv_num_heads=2),
            node("MatMul", "a wo", "y"),
        ]
        weights = [weight(name, 8, 8) for name in ("wq", "wk", "wo")]
        proto = net(nodes, [5, 8], [N, 5, 8], *weights, opset=23, ir=11)
        notes = check(kind, bench, tmp_path, proto, weights=3)
        if kind == "QuantizeDynamic":
            assert notes == ["node_a: left in float: Attention of the domain ai.onnx is another operator"]


class TestFarApart:
    """The tests of values that int8 cannot represent beside others: they stay in float, and the step says so."""

    CONVS = (weight("w", 8, 3, 3, 3), weight("v", 4, 8, 1, 1))

    @pytest.mark.parametrize(
        ("padding", "method"),
        [(-1e9, "MinMax"), (-np.inf, "Entropy"), (np.finfo(np.float32).min, "Percentile")],
    )
    @pytest.mark.parametrize("ceil", [0, 1], ids=["folded", "kept"])
    def test_a_padding_with_the_least_number(
        self, ceil: int, padding: float, method: str, bench: Bench, tmp_path: Path
    ) -> None:
        nodes = [
            node("Conv", "x w", "c"),
            node("Pad", "c pads least", "p"),
            node("MaxPool", "p", "m", kernel_shape=[2, 2], ceil_mode=ceil),
            node("Conv", "m v", "y"),
        ]
        constants = [stored("pads", [0, 0, 1, 1, 0, 0, 1, 1]), stored("least", padding, np.float32)]
        proto = net(nodes, [3, 8, 8], [N, 4, None, None], *self.CONVS, *constants)
        notes = check("QuantizeStatic", bench, tmp_path, proto, weights=2, calibrationMethod=method)
        kept, merged = "node_p, node_m: left in float: ", "1 padding with the lowest number became part of the MaxPool"
        assert notes[-1].startswith(kept if ceil else merged)
        assert not ceil or not any(note.startswith(merged) for note in notes)

    @pytest.mark.parametrize("least", [-1e9, -np.inf, -65504.0])
    def test_a_mask_before_a_softmax(self, least: float, bench: Bench, tmp_path: Path) -> None:
        nodes = [
            node("MatMul", "x wq", "q"),
            node("MatMul", "x wk", "k"),
            node("Transpose", "k", "t", perm=[0, 2, 1]),
            node("MatMul", "q t", "s"),
            node("Add", "s mask", "masked"),
            node("Softmax", "masked", "p", axis=-1),
            node("MatMul", "p x", "y"),
        ]
        mask = np.where(np.triu(np.ones((5, 5)), 1), least, 0)
        weights = [weight("wq", 8, 8), weight("wk", 8, 8), stored("mask", mask, np.float32)]
        notes = check("QuantizeStatic", bench, tmp_path, net(nodes, [5, 8], [N, 5, 8], *weights), weights=2)
        assert any("node_masked: left in float: " in one for one in notes)

    def test_boxes_beside_scores(self, bench: Bench, tmp_path: Path) -> None:
        nodes = [
            node("Conv", "x w", "c"),
            node("Conv", "c vb", "cb"),
            node("Conv", "c vs", "cs"),
            node("Sigmoid", "cb", "sb"),
            node("Sigmoid", "cs", "ss"),
            node("Mul", "sb size", "boxes"),
            node("Concat", "boxes ss", "j", axis=1),
            node("Transpose", "j", "y", perm=[0, 2, 3, 1]),
        ]
        weights = [weight("w", 8, 3, 3, 3), weight("vb", 4, 8, 1, 1), weight("vs", 3, 8, 1, 1)]
        proto = net(nodes, [3, 8, 8], [N, 6, 6, 7], *weights, stored("size", 640, np.float32))
        notes = check("QuantizeStatic", bench, tmp_path, proto, weights=3)
        assert any(one.startswith("node_j, node_y: left in float: it joins values up to ") for one in notes)
        x = samples(3, 8, 8)[:8]
        scores = answers(onnx.load(bench.folder / "step-1" / "static.onnx"), {"x": x})[0][..., 4:]
        assert np.abs(scores - answers(proto, {"x": x})[0][..., 4:]).max() < 0.05

    @pytest.mark.parametrize(("lower", "upper"), [(1, 6), (-6, -1)])
    def test_bounds_that_do_not_contain_zero(self, lower: float, upper: float, bench: Bench, tmp_path: Path) -> None:
        nodes = [node("Conv", "x w", "c"), node("Clip", "c low high", "k"), node("Conv", "k v", "y")]
        bounds = [stored("low", lower, np.float32), stored("high", upper, np.float32)]
        notes = check(
            "QuantizeStatic", bench, tmp_path, net(nodes, [3, 8, 8], [N, 4, 6, 6], *self.CONVS, *bounds), weights=2
        )
        assert notes == [
            f"node_k: left in float: its bounds, {lower} to {upper}, do not contain 0, as ranges of int8 do"
        ]

    def test_an_ordinary_net_is_quantized_as_a_whole(self, residual: Files, bench: Bench) -> None:
        bench.apply("QuantizeStatic", residual)
        assert bench.notes == {}


def _short(kind: str) -> str:
    return kind.removeprefix("Quantize").lower()


class TestNamesAndOutputs:
    """The tests of quantizers with names like theirs, outputs that are inner tensors, and bodies that read what they
    move."""

    @both
    def test_tensors_named_as_quantizers_name_theirs(self, kind: str, bench: Bench, tmp_path: Path) -> None:
        nodes = [
            node("MatMul", "x x_scale", "x_quantized"),
            node("Add", "x_quantized x_zero_point", "x_DequantizeLinear_Output"),
            node("MatMul", "x_DequantizeLinear_Output w_quantized", "h"),
            node("MatMul", "h w", "y"),
        ]
        weights = [weight("x_scale", 8, 6), weight("x_zero_point", 6), weight("w_quantized", 6, 6), weight("w", 6, 4)]
        check(kind, bench, tmp_path, net(nodes, [8], [N, 4], *weights), weights=3)

    @both
    def test_outputs_that_are_inner_tensors_inputs_and_weights(self, kind: str, bench: Bench, tmp_path: Path) -> None:
        nodes = [node("Gemm", "x w b", "e"), node("Relu", "e", "r"), node("Gemm", "r v", "y")]
        weights = [weight("w", 8, 6), weight("b", 6), weight("v", 6, 4)]
        outputs = [value("e", [N, 6]), value("r", [N, 6]), value("y", [N, 4]), value("x", [N, 8]), value("v", [6, 4])]
        for one in nodes:
            one.name = f"node_{one.output[0]}"
        check(kind, bench, tmp_path, model(nodes, [value("x", [N, 8])], outputs, weights))

    @both
    def test_a_branch_that_reads_what_is_quantized(self, kind: str, bench: Bench, tmp_path: Path) -> None:
        bodies = {
            name: helper.make_graph([node(op, "h", name)], name, [], [value(name, [N, 6])])
            for name, op in (("then_branch", "Sigmoid"), ("else_branch", "Neg"))
        }
        nodes = [node("MatMul", "x w", "h"), node("If", "yes", "z", **bodies), node("Add", "h z", "y")]
        check(kind, bench, tmp_path, net(nodes, [8], [N, 6], weight("w", 8, 6), stored("yes", True)))

    @both
    def test_shapes_that_were_left_behind_by_an_edit(self, kind: str, bench: Bench, tmp_path: Path) -> None:
        proto = net(
            [node("MatMul", "x w", "h"), node("MatMul", "h v", "y")], [8], [N, 4], weight("w", 8, 6), weight("v", 6, 4)
        )
        proto.graph.value_info.append(value("h", [7, 99]))
        check(kind, bench, tmp_path, proto, weights=2)


class TestNotFinite:
    @both
    @pytest.mark.parametrize("value_", [np.nan, np.inf, -np.inf], ids=str)
    def test_a_weight_that_is_not_finite_stays_in_float_and_is_named(
        self, value_: float, kind: str, bench: Bench, tmp_path: Path
    ) -> None:
        table = np.array(numpy_helper.to_array(weight("table", 20, 8)))
        table[0] = value_  # a row that no sample reads
        nodes = [node("Gather", "table ids", "e"), node("MatMul", "e w", "y")]
        weights = [numpy_helper.from_array(table, "table"), weight("w", 8, 8)]
        proto = model(nodes, [value("ids", [N, 3], TensorProto.INT64)], [value("y", [N, 3, 8])], weights)
        for number, one in enumerate(proto.graph.node):
            one.name = f"node_{number}"
        ids = np.random.default_rng(0).integers(1, 20, (32, 3))
        given = files(proto, tmp_path, ids=ids)
        types = {"opTypes": ["Gather", "MatMul"]}
        result = bench.apply(kind, given, **types)
        assert bench.notes["changes"] == ["node_0: left in float: its weight 'table' holds NaN or infinite values"]
        assert int8(result) == 1
        assert error(proto, result, {"ids": ids[:8]}) < 0.1

    @both
    def test_a_model_of_which_nothing_is_left_is_refused_with_the_weight(
        self, kind: str, bench: Bench, tmp_path: Path
    ) -> None:
        bad = np.full((8, 8), np.nan, np.float32)
        proto = net(
            [node("MatMul", "x v", "h"), node("Relu", "h", "y")], [8], [N, 8], numpy_helper.from_array(bad, "v")
        )
        message = bench.refusal(kind, files(proto, tmp_path))
        assert "(node_h stays in float: its weight 'v' holds NaN or infinite values)" in message

    @pytest.mark.parametrize("columns", [3, slice(None)], ids=["one channel", "all"])
    def test_activations_without_a_number_stay_in_float(
        self, columns: int | slice, bench: Bench, tmp_path: Path
    ) -> None:
        bad = np.array(numpy_helper.to_array(weight("v", 8, 8)))
        bad[:, columns] = np.nan
        nodes = [node("MatMul", "x w", "y"), node("MatMul", "x v", "h"), node("Relu", "h", "z")]
        proto = net(nodes, [8], [N, 8], weight("w", 8, 8), numpy_helper.from_array(bad, "v"))
        proto.graph.output.append(value("z", [N, 8]))
        bench.apply("QuantizeStatic", files(proto, tmp_path))
        assert [note.partition(": left")[0] for note in bench.notes["changes"]] == ["node_h", "node_z"]


class TestBodies:
    @pytest.mark.parametrize("traits", [{}, {"as_nodes": True}, {"outer": True}, {"gemm": True}], ids=str)
    @pytest.mark.parametrize("kind", BODIES)
    def test_weights_in_bodies_become_int8(
        self, kind: str, traits: dict[str, bool], bench: Bench, tmp_path: Path
    ) -> None:
        proto = with_body(kind, **traits)
        result = onnx.load(bench.apply("QuantizeDynamic", files(proto, tmp_path)))
        kinds = [one.data_type for each in graphs(result.graph) for one in each.initializer if len(one.dims) == 2]
        assert kinds == [TensorProto.INT8] * (4 if kind == "If" else 2)
        for x in (samples(8)[:4], -samples(8)[:4]):
            right, got = answers(proto, {"x": x})[0], answers(result, {"x": x})[0]
            assert np.abs(right - got).max() < 0.1 * np.abs(right).max()

    def test_a_stack_or_a_vector_in_a_body_stays_in_float(self, bench: Bench, tmp_path: Path) -> None:
        def branch(name: str) -> onnx.GraphProto:
            inner = [
                node("MatMul", "x w", "h"),
                node("MatMul", "h stack", "g"),
                node("MatMul", "g vector", name),
            ]
            weights = [weight("w", 8, 8), weight("stack", 3, 8, 6), weight("vector", 6)]
            return helper.make_graph(inner, name, [], [value(name, None)], weights)  # type: ignore[arg-type]

        nodes = [node("If", "yes", "y", then_branch=branch("a"), else_branch=branch("b"))]
        notes = check(
            "QuantizeDynamic", bench, tmp_path, net(nodes, [3, 4, 8], [N, 3, 4], stored("yes", True)), weights=0
        )
        assert "its weight is no matrix, and it is in the body of an If" in notes[0]

    @pytest.mark.parametrize("method", ["MinMax", "Entropy", "Percentile"])
    def test_ranges_in_bodies_are_not_measured_and_that_is_said(
        self, method: str, bench: Bench, tmp_path: Path
    ) -> None:
        given = files(with_body("Loop"), tmp_path)
        message = bench.refusal("QuantizeStatic", given, calibrationMethod=method)
        assert "use QuantizeDynamic for bodies of If, Loop and Scan" in message
        proto = with_body("Loop")
        proto.graph.node.append(node("MatMul", "y w", "z"))
        proto.graph.initializer.append(weight("w", 8, 8))
        proto.graph.output[0].name = "z"
        assert "QuantizeDynamic needs none" in check("QuantizeStatic", bench, tmp_path, proto)[0]

    def test_a_recurrent_layer_in_a_body(self, bench: Bench, tmp_path: Path) -> None:
        inner = [
            node("Transpose", "state", "t", perm=[1, 0, 2]),
            helper.make_node("LSTM", ["t", "W", "R"], ["s"], hidden_size=8),
            node("Squeeze", "s axis", "q"),
            node("Transpose", "q", "state_out", perm=[1, 0, 2]),
            node("Identity", "on", "on_out"),
        ]
        given = [value("i", [], TensorProto.INT64), value("on", [], TensorProto.BOOL), value("state", [N, 4, 8])]
        made = [value("on_out", [], TensorProto.BOOL), value("state_out", [N, 4, 8])]
        weights = [weight("W", 1, 32, 8), weight("R", 1, 32, 8), stored("axis", [1])]
        body = helper.make_graph(inner, "body", given, made, weights)
        proto = net(
            [node("Loop", "times go x", "y", body=body)], [4, 8], [N, 4, 8], stored("times", 2), stored("go", True)
        )
        check("QuantizeDynamic", bench, tmp_path, proto, weights=0)

    def test_a_node_of_a_body_can_be_excluded(self, bench: Bench, tmp_path: Path) -> None:
        proto = with_body("Loop")
        inner = next(one for one in proto.graph.node if one.op_type == "Loop").attribute[0].g
        inner.node[1].name = "first"
        result = onnx.load(bench.apply("QuantizeDynamic", files(proto, tmp_path), excludeNodes=["first"]))
        assert sum(one.op_type == "MatMul" for each in graphs(result.graph) for one in each.node) == 1


class TestUnknownTypes:
    @both
    def test_products_behind_operators_whose_types_onnx_does_not_infer(
        self, kind: str, bench: Bench, tmp_path: Path
    ) -> None:
        nodes = [
            node("MatMul", "x w", "h"),
            helper.make_node("QuickGelu", ["h"], ["g"], domain="com.microsoft"),
            node("MatMul", "g v", "y"),
        ]
        domains = {"": 17, "com.microsoft": 1}
        check(
            kind,
            bench,
            tmp_path,
            net(nodes, [8], [N, 4], weight("w", 8, 6), weight("v", 6, 4), domains=domains),
            weights=2,
        )


class TestOperands:
    @pytest.mark.parametrize("bias", [(), (1,), (1, 6), (4, 1), (4, 6)])
    def test_biases_of_every_shape(self, bias: tuple[int, ...], bench: Bench, tmp_path: Path) -> None:
        proto = model(
            [helper.make_node("Gemm", ["x", "w", "b"], ["y"], "gemm")],
            [value("x", [4, 8])], [value("y", [4, 6])], [weight("w", 8, 6), weight("b", *bias)],
        )  # fmt: skip
        check("QuantizeStatic", bench, tmp_path, proto)

    def test_a_transposed_convolution_in_groups(self, bench: Bench, tmp_path: Path) -> None:
        nodes = [node("ConvTranspose", "x w b", "y", group=2)]
        proto = net(nodes, [4, 5, 5], [N, 6, 7, 7], weight("w", 4, 3, 3, 3), weight("b", 6))
        check("QuantizeStatic", bench, tmp_path, proto)

    def test_a_padding_of_some_axes_between_convolutions(self, bench: Bench, tmp_path: Path) -> None:
        nodes = [
            node("Conv", "x w", "c"),
            helper.make_node("Pad", ["c", "pads", "", "axes"], ["p"]),
            node("Conv", "p v", "y"),
        ]
        constants = [stored("pads", [1, 1, 1, 1]), stored("axes", [2, 3])]
        weights = [weight("w", 8, 3, 3, 3), weight("v", 4, 8, 1, 1)]
        proto = net(nodes, [3, 8, 8], [N, 4, 8, 8], *weights, *constants, opset=18)
        check("QuantizeStatic", bench, tmp_path, proto, weights=2)

    @pytest.mark.parametrize("method", ["Entropy", "Percentile"])
    def test_answers_and_tensors_of_few_values_keep_their_whole_range(
        self, method: str, bench: Bench, tmp_path: Path
    ) -> None:
        x = samples(8, count=64)
        x[5] *= 20
        product = net([node("MatMul", "x w", "y")], [8], [N, 6], weight("w", 8, 6))
        given = files(product, tmp_path, x=x)
        result = bench.apply("QuantizeStatic", given, calibrationMethod=method)
        stored_values = {one.name: numpy_helper.to_array(one) for one in onnx.load(result).graph.initializer}
        right = answers(product, {"x": x})[0]
        assert stored_values["y_scale"] * 255 == pytest.approx(right.max() - right.min(), rel=0.01)
        assert stored_values["x_scale"] * 255 == pytest.approx(x.max() - x.min(), rel=0.01)
