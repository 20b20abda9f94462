"""The passes over weights: where and how they are stored."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_compressor.models.normal_form.constants import store_constants
from edge_compressor.models.normal_form.declared_weights import undeclare_weights
from edge_compressor.models.normal_form.sparse import make_dense
from edge_compressor.models.normal_form.stored import lay_weights_open
from edge_compressor.models.normal_form.tied import untie_weights
from tests.unit.edge_compressor.normal_form.graphs import (
    Array,
    changed_by,
    inputs,
    model,
    operators,
    product,
    stored,
    stored_names,
    value,
    weight,
)

X = inputs(5, 4)
IN, OUT = [value("x", ["n", 4])], [value("y", ["n", 3])]


class TestConstants:
    def test_constants_become_initializers(self) -> None:
        nodes = [
            helper.make_node("Constant", [], ["w"], value=weight("inner", 4, 32)),
            helper.make_node("MatMul", ["x", "w"], ["m"]),
            helper.make_node("Constant", [], ["scale"], value_float=2.0),
            helper.make_node("Mul", ["m", "scale"], ["s"]),
            helper.make_node("Constant", [], ["shift"], value_floats=[0.5] * 32),
            helper.make_node("Add", ["s", "shift"], ["a"]),
            helper.make_node("Constant", [], ["shape"], value_ints=[-1, 2, 16]),
            helper.make_node("Reshape", ["a", "shape"], ["y"]),
        ]
        made, said = changed_by(store_constants, model(nodes, IN, [value("y", ["n", 2, 16])]), X)
        assert operators(made) == ["MatMul", "Mul", "Add", "Reshape"]
        assert stored_names(made) == {"w", "scale", "shift", "shape"}
        assert said == ["1 weight in Constant nodes became initializers"]

    def test_a_constant_that_is_an_output_stays(self) -> None:
        nodes = [
            helper.make_node("Constant", [], ["w"], value=weight("inner", 4, 3)),
            helper.make_node("MatMul", ["x", "w"], ["y"]),
        ]
        made, _ = changed_by(store_constants, model(nodes, IN, [*OUT, value("w", [4, 3])]), X)
        assert operators(made) == ["Constant", "MatMul"]

    def test_layers_that_share_a_weight_through_identities_read_it(self) -> None:
        nodes = [
            helper.make_node("Identity", ["w"], ["w_alias"]),
            helper.make_node("Identity", ["w_alias"], ["w_again"]),
            helper.make_node("MatMul", ["x", "w_again"], ["m"]),
            helper.make_node("MatMul", ["m", "w"], ["y"]),
        ]
        made, said = changed_by(store_constants, model(nodes, IN, [value("y", ["n", 4])], [weight("w", 4, 4)]), X)
        assert [list(node.input) for node in made.graph.node] == [["x", "w"], ["m", "w"]]
        assert said == ["2 readers of shared weights read them without an Identity between"]

    def test_a_branch_reads_the_weight_itself(self) -> None:
        bodies = {
            name: helper.make_graph([helper.make_node("MatMul", ["x", alias], ["o"])], name, [], [value("o", ["n", 3])])
            for name, alias in (("then_branch", "alias"), ("else_branch", "w"))
        }
        nodes = [helper.make_node("Identity", ["w"], ["alias"]), helper.make_node("If", ["yes"], ["y"], **bodies)]
        made, _ = changed_by(store_constants, model(nodes, IN, OUT, [weight("w", 4, 3), stored("yes", True)]), X)
        assert operators(made) == ["If"]


class TestDeclared:
    def test_stored_tensors_are_not_inputs(self) -> None:
        proto = product()
        proto.graph.input.extend([value("w", [4, 3]), value("b", [3])])
        made, said = changed_by(undeclare_weights, proto, X)
        assert [given.name for given in made.graph.input] == ["x"]
        assert said == ["2 stored tensors were declared as inputs too, which no caller can set"]


class TestSparse:
    @pytest.mark.parametrize("indices", [[1, 5, 11], [[0, 1], [1, 2], [3, 2]]], ids=["linear", "by-axis"])
    def test_sparse_weights_become_dense(self, indices: list[object]) -> None:
        values = stored("w", [1.0, -2.0, 3.0], np.float32)
        sparse = helper.make_sparse_tensor(values, stored("", indices, np.int64), [4, 3])
        proto = model([helper.make_node("MatMul", ["x", "w"], ["y"])], IN, OUT)
        proto.graph.sparse_initializer.append(sparse)
        made, said = changed_by(make_dense, proto, X)
        expected = np.zeros((4, 3), np.float32)
        expected.ravel()[[1, 5, 11]] = [1.0, -2.0, 3.0]
        assert (numpy_helper.to_array(made.graph.initializer[0]) == expected).all()
        assert not made.graph.sparse_initializer
        assert said == ["1 sparse weight became dense"]


class TestStoredOtherwise:
    @staticmethod
    def laid_open(nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto]) -> onnx.ModelProto:
        proto = model([*nodes, helper.make_node("MatMul", ["x", "w"], ["y"])], IN, OUT, weights)
        made, _ = changed_by(lay_weights_open, proto, X)
        return made

    @pytest.mark.parametrize(
        ("nodes", "weights"),
        [
            ([helper.make_node("Transpose", ["t"], ["w"], perm=[1, 0])], [weight("t", 3, 4)]),
            ([helper.make_node("Transpose", ["t"], ["w"])], [weight("t", 3, 4)]),
            ([helper.make_node("Reshape", ["t", "s"], ["w"])], [weight("t", 12), stored("s", [4, -1])]),
            ([helper.make_node("Squeeze", ["t", "a"], ["w"])], [weight("t", 1, 4, 3), stored("a", [0])]),
            ([helper.make_node("Cast", ["t"], ["w"], to=1)], [weight("t", 4, 3, kind=np.float16)]),
            (
                [helper.make_node("Cast", ["t"], ["i"], to=6), helper.make_node("Gather", ["book", "i"], ["w"])],
                [stored("t", [[0, 1, 2]] * 4, np.uint8), weight("book", 3)],
            ),
            (
                [helper.make_node("Cast", ["t"], ["f"], to=1), helper.make_node("Mul", ["f", "scale"], ["w"])],
                [stored("t", [[1, -2, 3]] * 4, np.int8), weight("scale", 1, 3)],
            ),
        ],
        ids=["transposed", "reversed", "flat", "squeezed", "float16", "codebook", "int8"],
    )
    def test_weights_are_computed_from_what_is_stored(
        self, nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto]
    ) -> None:
        made = self.laid_open(nodes, weights)
        assert operators(made) == ["MatMul"]
        assert stored_names(made) == {"w"}

    def test_an_expansion_stays_computed(self) -> None:
        nodes = [
            helper.make_node("Gather", ["t", "many"], ["w"]),
            helper.make_node("MatMul", ["x", "w"], ["y"]),
        ]
        many = stored("many", np.arange(4096) % 2, np.uint8)
        cast = helper.make_node("Cast", ["small"], ["many"], to=TensorProto.INT64)
        many.name = "small"
        proto = model([cast, *nodes], [value("x", ["n", 4096])], [value("y", ["n", 64])], [many, weight("t", 2, 64)])
        made, _ = changed_by(lay_weights_open, proto, inputs(2, 4096), tolerance=1e-4)
        assert "Gather" in operators(made)


class TestTied:
    def test_readers_that_need_other_scales_get_a_copy(self) -> None:
        nodes = [
            helper.make_node("Gather", ["table", "ids"], ["e"]),
            helper.make_node("MatMul", ["e", "table"], ["m"]),
            helper.make_node("Gemm", ["m", "table"], ["g"], transB=1),
            helper.make_node("MatMul", ["g", "table"], ["y"]),
        ]
        ids: dict[str, Array] = {"ids": np.array([0, 3, 2])}
        proto = model(nodes, [value("ids", ["n"], TensorProto.INT64)], [value("y", ["n", 4])], [weight("table", 4, 4)])
        made, said = changed_by(untie_weights, proto, ids)
        assert stored_names(made) == {"table", "table_matmul", "table_gemm_transposed"}
        assert [node.input[1] for node in made.graph.node] == [
            "ids",
            "table_matmul",
            "table_gemm_transposed",
            "table_matmul",
        ]
        assert said == ["2 copies of shared weights, for scales of their own"]

    def test_readers_of_one_kind_share(self) -> None:
        nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("MatMul", ["m", "w"], ["y"])]
        made, said = changed_by(untie_weights, model(nodes, IN, [value("y", ["n", 4])], [weight("w", 4, 4)]), X)
        assert (stored_names(made), said) == ({"w"}, [])
