"""The passes that express the same computation differently: float types, factors, products, maps of scores."""

from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_compressor.models.normal_form.factors import fold_factors, has_factors
from edge_compressor.models.normal_form.far_constants import bring_constants_near
from edge_compressor.models.normal_form.float32 import widen_or_narrow
from edge_compressor.models.normal_form.gemm import order_operands
from edge_compressor.models.normal_form.maps import cut_off_maps
from edge_compressor.models.normal_form.padded_pools import fold_paddings
from edge_compressor.models.normal_form.paddings import pad_all_axes
from edge_compressor.models.normal_form.products import make_matrices
from edge_compressor.models.normal_form.refusal import OutOfOrder
from tests.unit.edge_compressor.normal_form.graphs import (
    FLOAT,
    answers,
    changed_by,
    inputs,
    model,
    operators,
    stored,
    value,
    weight,
)

KINDS: dict[str, tuple[int, Any, float]] = {
    "float16": (TensorProto.FLOAT16, np.float16, 2e-2),
    "float64": (TensorProto.DOUBLE, np.float64, 1e-5),
}


class TestFloat32:
    @pytest.mark.parametrize("name", KINDS)
    def test_a_model_of_another_float_type_computes_in_float32(self, name: str) -> None:
        kind, dtype, tolerance = KINDS[name]
        nodes = [
            helper.make_node("MatMul", ["x", "w"], ["m"]),
            helper.make_node("Cast", ["m"], ["c"], to=FLOAT),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("Cast", ["r"], ["back"], to=kind),
            helper.make_node("Add", ["back", "b"], ["y"]),
        ]
        proto = model(
            nodes,
            [value("x", ["n", 4], kind)],
            [value("y", ["n", 3], kind)],
            [weight("w", 4, 3, kind=dtype), weight("b", 3, kind=dtype)],
        )
        made, said = changed_by(widen_or_narrow, proto, inputs(5, 4, kind=dtype), tolerance=tolerance)
        assert {tensor.data_type for tensor in made.graph.initializer} == {FLOAT}
        assert said == [f"weights and computations in {name} became float32; inputs and outputs keep their types"]

    def test_bfloat16_too(self) -> None:
        nodes = [helper.make_node("MatMul", ["c", "w"], ["m"]), helper.make_node("Cast", ["m"], ["y"], to=FLOAT)]
        nodes.insert(0, helper.make_node("Cast", ["x"], ["c"], to=TensorProto.BFLOAT16))
        small = numpy_helper.from_array(np.ones((4, 3), dtype=ml_dtypes.bfloat16), "w")
        proto = model(nodes, [value("x", ["n", 4])], [value("y", ["n", 3])], [small])
        widen_or_narrow(proto)
        feeds = inputs(5, 4)
        np.testing.assert_allclose(answers(proto, feeds)[0][:, 0], feeds["x"].sum(1), rtol=1e-5)

    def test_branches_and_what_they_read_are_converted(self) -> None:
        kind = TensorProto.FLOAT16
        bodies = {
            name: helper.make_graph([helper.make_node(op, ["x", "w"], ["o"])], name, [], [value("o", ["n", 4], kind)])
            for name, op in (("then_branch", "MatMul"), ("else_branch", "Add"))
        }
        nodes = [helper.make_node("If", ["yes"], ["y"], **bodies)]
        weights = [weight("w", 4, 4, kind=np.float16), stored("yes", True)]
        proto = model(nodes, [value("x", ["n", 4], kind)], [value("y", ["n", 4], kind)], weights)
        changed_by(widen_or_narrow, proto, inputs(5, 4, kind=np.float16), tolerance=1e-2)

    def test_an_output_that_others_read_keeps_its_type(self) -> None:
        kind = TensorProto.FLOAT16
        nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Relu", ["h"], ["y"])]
        outputs = [value("y", ["n", 3], kind), value("h", ["n", 3], kind)]
        proto = model(nodes, [value("x", ["n", 4], kind)], outputs, [weight("w", 4, 3, kind=np.float16)])
        changed_by(widen_or_narrow, proto, inputs(5, 4, kind=np.float16), tolerance=1e-2)

    def test_the_lowest_float64_of_a_mask_stays_finite(self) -> None:
        nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Where", ["mask", "m", "low"], ["y"])]
        weights = [
            weight("w", 4, 2, kind=np.float64),
            stored("mask", [True, False]),
            stored("low", np.finfo(np.float64).min, np.float64),
        ]
        kind = TensorProto.DOUBLE
        proto = model(nodes, [value("x", ["n", 4], kind)], [value("y", ["n", 2], kind)], weights)
        widen_or_narrow(proto)
        assert np.isfinite(answers(proto, inputs(3, 4, kind=np.float64))[0]).all()

    def test_casts_of_a_float32_model_stay(self) -> None:
        nodes = [
            helper.make_node("MatMul", ["x", "w"], ["m"]),
            helper.make_node("Cast", ["m"], ["wide"], to=TensorProto.DOUBLE),
            helper.make_node("Mul", ["wide", "k"], ["y"]),
        ]
        weights = [weight("w", 4, 3), stored("k", 2.0, np.float64)]
        proto = model(nodes, [value("x", ["n", 4])], [value("y", ["n", 3], TensorProto.DOUBLE)], weights)
        made, said = changed_by(widen_or_narrow, proto, inputs(5, 4))
        assert (made, said) == (proto, [])


class TestFarConstants:
    @pytest.mark.parametrize("far", [-np.inf, np.finfo(np.float32).min])
    def test_a_mask_of_infinities_masks_with_a_large_number(self, far: float) -> None:
        nodes = [helper.make_node("Add", ["x", "mask"], ["m"]), helper.make_node("Softmax", ["m"], ["y"])]
        mask = stored("mask", [0, far, 0, far], np.float32)
        proto = model(nodes, [value("x", ["n", 4])], [value("y", ["n", 4])], [mask])
        made, said = changed_by(bring_constants_near, proto, inputs(5, 4))
        assert numpy_helper.to_array(made.graph.initializer[0]).tolist() == [0, -1e9, 0, -1e9]
        assert said == ["1 constant beyond 1e+09 became 1e+09 in magnitude"]

    def test_graphs_that_test_for_infinity_keep_it(self) -> None:
        nodes = [helper.make_node("Add", ["x", "mask"], ["m"]), helper.make_node("IsInf", ["m"], ["y"])]
        mask = stored("mask", [0, np.inf, 0, 0], np.float32)
        output = value("y", ["n", 4], TensorProto.BOOL)
        made, said = changed_by(
            bring_constants_near, model(nodes, [value("x", ["n", 4])], [output], [mask]), inputs(5, 4)
        )
        assert numpy_helper.to_array(made.graph.initializer[0])[1] == np.inf
        assert said == []

    def test_a_clip_without_bounds_has_none_afterwards(self) -> None:
        nodes = [helper.make_node("Clip", ["x", "low", "high"], ["y"])]
        bounds = [stored("low", -np.inf, np.float32), stored("high", np.finfo(np.float32).max, np.float32)]
        proto = model(nodes, [value("x", ["n", 4])], [value("y", ["n", 4])], bounds)
        made, said = changed_by(bring_constants_near, proto, inputs(5, 4))
        assert (made, said) == (proto, [])

    def test_a_large_factor_stays(self) -> None:
        nodes = [helper.make_node("Mul", ["x", "k"], ["y"])]
        proto = model(nodes, [value("x", ["n", 4])], [value("y", ["n", 4])], [stored("k", 1e30, np.float32)])
        assert changed_by(bring_constants_near, proto, inputs(5, 4)) == (proto, [])


class TestOperands:
    @pytest.mark.parametrize("shape", [(), (1,), (1, 3), (1, 1), (5, 1), (5, 3)])
    def test_a_bias_has_a_value_for_each_column(self, shape: tuple[int, ...]) -> None:
        nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"], "gemm")]
        weights = [weight("w", 4, 3), weight("b", *shape)]
        proto = model(nodes, [value("x", [5, 4])], [value("y", [5, 3])], weights)
        made, said = changed_by(order_operands, proto, inputs(5, 4))
        biases = [node.input[2] for node in made.graph.node if node.op_type == "Gemm" and len(node.input) > 2]
        dims = {tensor.name: list(tensor.dims) for tensor in made.graph.initializer}
        assert [dims[name] for name in biases] in ([], [[3]])
        assert said == ["1 operand of Gemm became what quantizers take: one bias a column, no transposed input"]

    def test_a_transposed_input_is_transposed_before(self) -> None:
        nodes = [helper.make_node("Gemm", ["x", "w"], ["y"], "gemm", transA=1)]
        proto = model(nodes, [value("x", [4, 5])], [value("y", [5, 3])], [weight("w", 4, 3)])
        made, _ = changed_by(order_operands, proto, inputs(4, 5))
        assert operators(made) == ["Transpose", "Gemm"]


class TestPaddings:
    def test_paddings_of_some_axes_become_those_of_all(self) -> None:
        nodes = [helper.make_node("Pad", ["x", "pads", "", "axes"], ["y"], "pad")]
        constants = [stored("pads", [1, 0, 2, 3]), stored("axes", [1, -1])]
        proto = model(nodes, [value("x", [2, 3, 4])], [value("y", [2, 6, 7])], constants, opset=18)
        made, said = changed_by(pad_all_axes, proto, inputs(2, 3, 4))
        assert numpy_helper.to_array(made.graph.initializer[0]).tolist() == [0, 1, 0, 0, 2, 3]
        assert said == ["1 padding of some axes became paddings of all"]


class TestPaddedPools:
    @staticmethod
    def pooled(padding: float, sizes: list[int], opset: int = 17, **pool: Any) -> onnx.ModelProto:
        constants = [stored("pads", sizes), stored("least", padding, np.float32)]
        pad = helper.make_node("Pad", ["x", "pads", "least"], ["p"])
        if opset < 11:
            pad, constants = helper.make_node("Pad", ["x"], ["p"], pads=sizes, value=padding), []
        nodes = [pad, helper.make_node("MaxPool", ["p"], ["y"], **{"kernel_shape": [3, 3], **pool})]
        return model(nodes, [value("x", ["n", 2, 7, 8])], [value("y", ["n", 2, None, None])], constants, opset=opset)

    @pytest.mark.parametrize("opset", [10, 17])
    @pytest.mark.parametrize("padding", [-np.inf, -1e9, -65504.0])
    @pytest.mark.parametrize(
        ("sizes", "pool", "whole"),
        [
            ([0, 0, 1, 1, 0, 0, 1, 1], {"strides": [2, 2]}, [1, 1, 1, 1]),
            ([0, 0, 2, 0, 0, 0, 0, 1], {}, [2, 0, 0, 1]),
            ([0, 0, 1, 0, 0, 0, 1, 1], {"pads": [1, 1, 0, 0]}, [2, 1, 1, 1]),
            ([0, 0, 1, 1, 0, 0, 1, 1], {"auto_pad": "VALID"}, [1, 1, 1, 1]),
        ],
    )
    def test_a_padding_becomes_that_of_the_pool(
        self, sizes: list[int], pool: dict[str, Any], whole: list[int], padding: float, opset: int
    ) -> None:
        made, said = changed_by(fold_paddings, self.pooled(padding, sizes, opset, **pool), inputs(2, 2, 7, 8))
        (node,) = made.graph.node
        assert next(list(one.ints) for one in node.attribute if one.name == "pads") == whole
        assert said == ["1 padding with the lowest number became part of the MaxPool after it"]

    @pytest.mark.parametrize(
        ("padding", "sizes", "pool"),
        [
            (0.0, [0, 0, 1, 1, 0, 0, 1, 1], {}),
            (-1e9, [0, 0, 3, 0, 0, 0, 0, 0], {}),
            (-1e9, [0, 1, 1, 0, 0, 0, 0, 0], {}),
            (-1e9, [0, 0, 1, -1, 0, 0, 0, 0], {}),
            (-1e9, [0, 0, 1, 1, 0, 0, 1, 1], {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
            (-1e9, [0, 0, 1, 1, 0, 0, 1, 1], {"ceil_mode": 1, "strides": [2, 2]}),
            (-1e9, [0, 0, 2, 2, 0, 0, 2, 2], {"dilations": [2, 2]}),
        ],
    )
    def test_what_would_answer_otherwise_stays(self, padding: float, sizes: list[int], pool: dict[str, Any]) -> None:
        proto = self.pooled(padding, sizes, **pool)
        assert fold_paddings(proto) == []
        assert proto == self.pooled(padding, sizes, **pool)


class TestFactors:
    def test_factors_are_multiplied_into_weight_and_bias(self) -> None:
        nodes = [
            helper.make_node("Gemm", ["x", "w", "b"], ["h"], alpha=0.5, beta=2.0, transB=1),
            helper.make_node("Gemm", ["h", "v", "b"], ["y"]),
        ]
        weights = [weight("w", 3, 4), weight("v", 3, 3), weight("b", 3)]
        made, said = changed_by(
            fold_factors, model(nodes, [value("x", ["n", 4])], [value("y", ["n", 3])], weights), inputs(5, 4)
        )
        assert not any(has_factors(node) for node in made.graph.node)
        assert made.graph.node[1].input[2] == "b"  # another node's bias stays as it is
        assert said == ["2 factors of Gemm (alpha, beta) multiplied into weights and biases"]

    def test_a_factor_of_what_is_not_stored_stays(self) -> None:
        nodes = [helper.make_node("Gemm", ["x", "w", "x"], ["y"], beta=2.0)]
        proto = model(nodes, [value("x", [4, 4])], [value("y", [4, 4])], [weight("w", 4, 4)])
        made, said = changed_by(fold_factors, proto, inputs(4, 4))
        assert has_factors(made.graph.node[0])
        assert said == []


class TestProducts:
    @pytest.mark.parametrize("opset", [11, 17])
    @pytest.mark.parametrize(("shape", "result"), [((4,), ["n"]), ((1, 4, 3), None)])
    def test_weights_become_matrices(self, shape: tuple[int, ...], result: Any, opset: int) -> None:
        given = ["n", 4] if result else ["n", 2, 4]
        proto = model(
            [helper.make_node("MatMul", ["x", "w"], ["y"], "head")],
            [value("x", given)],
            [value("y", result or ["n", 2, 3])],
            [weight("w", *shape)],
            opset=opset,
        )
        made, said = changed_by(make_matrices, proto, inputs(*([5, 4] if result else [5, 2, 4])))
        assert all(len(tensor.dims) == 2 for tensor in made.graph.initializer if tensor.data_type == FLOAT)
        assert said == ["1 weight of MatMul that were no matrices became matrices"]

    @pytest.mark.parametrize(("given", "shape"), [((5, 4), (1, 4, 3)), ((2, 5, 4), (2, 4, 3))])
    def test_a_weight_that_decides_the_shape_of_the_result_stays(
        self, given: tuple[int, ...], shape: tuple[int, ...]
    ) -> None:
        nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
        proto = model(nodes, [value("x", given)], [value("y", [None] * 3)], [weight("w", *shape)])
        made, said = changed_by(make_matrices, proto, inputs(*given))
        assert (made, said) == (proto, [])


class TestMaps:
    @staticmethod
    def classifier(**classes: Any) -> onnx.ModelProto:
        """Returns a classifier in skl2onnx's form: a label, and for each sample a map of class to score."""
        kinds = {"classlabels_ints": classes.get("classlabels_int64s", [0, 1, 2])}
        nodes = [
            helper.make_node(
                "LinearClassifier", ["x"], ["label", "scores"], domain="ai.onnx.ml", multi_class=1,
                coefficients=numpy_helper.to_array(weight("c", 12)).tolist(), intercepts=[0.0] * 3,
                post_transform="SOFTMAX", **kinds,
            ),
            helper.make_node("ZipMap", ["scores"], ["output_probability"], domain="ai.onnx.ml", **classes),
        ]  # fmt: skip
        maps = onnx.ValueInfoProto(name="output_probability")
        entry = maps.type.sequence_type.elem_type.map_type
        entry.key_type = TensorProto.STRING if "classlabels_strings" in classes else TensorProto.INT64
        entry.value_type.tensor_type.elem_type = FLOAT
        label = value("label", ["n"], TensorProto.INT64)
        return model(nodes, [value("x", ["n", 4])], [label, maps], domains={"": 12, "ai.onnx.ml": 1})

    @pytest.mark.parametrize(
        ("classes", "names"),
        [({"classlabels_int64s": [0, 1, 2]}, "0, 1, 2"), ({"classlabels_strings": ["red", "öl", "x"]}, "red, öl, x")],
    )
    def test_scores_are_a_tensor_again(self, classes: dict[str, Any], names: str) -> None:
        proto = self.classifier(**classes)
        feeds = inputs(5, 4)
        maps = answers(proto, feeds)[1]
        said = cut_off_maps(proto)
        onnx.checker.check_model(proto)
        scores = answers(proto, feeds)[1]
        keys = classes.get("classlabels_strings") or classes["classlabels_int64s"]
        assert scores.tolist() == [[one[key] for key in keys] for one in maps]
        assert said[0].endswith(f"a column for each of the classes {names}")
        assert cut_off_maps(proto) == []

    def test_other_values_than_tensors_are_named(self) -> None:
        sequence = onnx.ValueInfoProto(name="parts")
        sequence.type.sequence_type.elem_type.tensor_type.elem_type = FLOAT
        nodes = [helper.make_node("SplitToSequence", ["x"], ["parts"])]
        with pytest.raises(OutOfOrder, match=r"^output 'parts' is a sequence, .*: export the model with tensors only"):
            cut_off_maps(model(nodes, [value("x", ["n", 4])], [sequence]))
