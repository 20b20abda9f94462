"""The passes over the frame of a model: its table of operator sets, versions, functions, order and names."""

import onnx
import pytest
from onnx import helper

from edge_compressor.models.normal_form.domains import drop_unused_domains, order_domains
from edge_compressor.models.normal_form.functions import inline_functions
from edge_compressor.models.normal_form.ir_version import set_ir_version
from edge_compressor.models.normal_form.names import name_nodes
from edge_compressor.models.normal_form.old_opsets import convert_old_opset
from edge_compressor.models.normal_form.order import sort_nodes
from edge_compressor.models.normal_form.outputs import separate_outputs
from edge_compressor.models.normal_form.refusal import OutOfOrder
from edge_compressor.models.normal_form.shapes import declare_shapes, drop_wrong_shapes
from edge_compressor.models.normal_form.suffixes import free_suffixes
from tests.unit.edge_compressor.normal_form.graphs import (
    answers,
    changed_by,
    inputs,
    model,
    operators,
    product,
    stored,
    value,
    weight,
)

X = inputs(5, 4)


def table(proto: onnx.ModelProto) -> dict[str, int]:
    assert len({item.domain for item in proto.opset_import}) == len(proto.opset_import)
    return {item.domain: int(item.version) for item in proto.opset_import}


class TestDomains:
    @pytest.mark.parametrize(
        ("given", "version"),
        [([("ai.onnx", 17)], 17), ([("", 13), ("ai.onnx", 13)], 13), ([("", 13), ("", 17)], 17)],
        ids=["alias", "both", "twice"],
    )
    def test_the_default_domain_has_one_entry_under_its_empty_name(
        self, given: list[tuple[str, int]], version: int
    ) -> None:
        made, said = changed_by(order_domains, product(domains=given), X)
        assert table(made) == {"": version}
        assert len(said) == 1

    @pytest.mark.parametrize("given", [[("", 11), ("ai.onnx", 17)], [("ai.onnx", 17), ("", 11)]])
    def test_of_two_versions_the_one_counts_that_onnxruntime_takes(self, given: list[tuple[str, int]]) -> None:
        axes_as_input = helper.make_node("Unsqueeze", ["x", "axes"], ["y"])
        axes = stored("axes", [0])
        proto = model([axes_as_input], [value("x", [4])], [value("y", [1, 4])], [axes], domains=given)
        try:
            answers(proto, inputs(4))
            wanted = 17
        except Exception:  # operator set 11 takes its axes as an attribute
            wanted = 11
        order_domains(proto)
        assert table(proto) == {"": wanted}

    def test_nodes_may_name_the_alias(self) -> None:
        proto = product()
        proto.graph.node[0].domain = "ai.onnx"
        order_domains(proto)
        onnx.checker.check_model(proto)
        assert proto.graph.node[0].domain == ""

    def test_a_domain_without_an_entry_gets_one(self) -> None:
        nodes = [helper.make_node("Normalizer", ["x"], ["n"], domain="ai.onnx.ml", norm="L2")]
        nodes.append(helper.make_node("Gelu", ["n"], ["y"], domain="com.microsoft"))
        proto = model(nodes, [value("x", ["n", 4])], [value("y", ["n", 4])])
        said = order_domains(proto)
        onnx.checker.check_model(proto)
        assert table(proto)["com.microsoft"] == 1
        assert "'ai.onnx.ml'" in said[0]
        assert answers(proto, X)[0].shape == (5, 4)

    def test_a_version_of_the_future_is_named_with_the_cure(self) -> None:
        newest = onnx.defs.onnx_opset_version()
        with pytest.raises(
            OutOfOrder, match=rf"operator set {newest + 1} of ai.onnx .* operator set {newest} or lower"
        ):
            order_domains(product(opset=newest + 1))

    def test_entries_that_no_node_uses_go(self) -> None:
        made, said = changed_by(drop_unused_domains, product(domains=[("", 17), ("pkg.torch", 1)]), X)
        assert table(made) == {"": 17}
        assert said == ["the table of operator sets named 'pkg.torch' 1, which no node uses"]

    def test_a_table_in_order_stays(self) -> None:
        for one in (
            order_domains,
            drop_unused_domains,
            set_ir_version,
            inline_functions,
            sort_nodes,
            convert_old_opset,
        ):
            proto = product()
            assert one(proto) == []
            assert proto == product()


class TestVersions:
    @pytest.mark.parametrize(("given", "wanted"), [(3, 4), (99, onnx.IR_VERSION)])
    def test_the_files_version_is_one_that_libraries_read(self, given: int, wanted: int) -> None:
        proto = product(ir=given)
        assert set_ir_version(proto) == [f"the file's IR version was {given}, now {wanted}"]
        assert answers(proto, X)[0].shape == (5, 3)


class TestFunctions:
    def test_bodies_are_put_where_they_are_called(self) -> None:
        body = [helper.make_node("MatMul", ["a", "b"], ["t"]), helper.make_node("Relu", ["t"], ["o"])]
        dense = helper.make_function("own", "Dense", ["a", "b"], ["o"], body, [helper.make_opsetid("", 17)])
        node = helper.make_node("Dense", ["x", "w"], ["y"], domain="own")
        proto = model(
            [node],
            [value("x", ["n", 4])],
            [value("y", ["n", 3])],
            [weight("w", 4, 3)],
            domains={"": 17, "own": 1},
            functions=[dense],
        )
        made, said = changed_by(inline_functions, proto, X)
        assert operators(made) == ["MatMul", "Relu"]
        assert said == ["1 function of the model's own became plain nodes"]


class TestOrder:
    def test_nodes_are_sorted_by_what_they_read(self) -> None:
        proto = product()
        nodes = list(proto.graph.node)[::-1]
        del proto.graph.node[:]
        proto.graph.node.extend(nodes)
        made, said = changed_by(sort_nodes, proto, X)
        assert operators(made) == ["MatMul", "Add"]
        assert len(said) == 1

    def test_what_a_branch_reads_counts(self) -> None:
        bodies = {
            name: helper.make_graph([helper.make_node(kind, ["m"], ["o"])], name, [], [value("o", ["n", 3])])
            for name, kind in (("then_branch", "Relu"), ("else_branch", "Neg"))
        }
        nodes = [
            helper.make_node("If", ["yes"], ["y"], **bodies),
            helper.make_node("MatMul", ["x", "w"], ["m"]),
        ]
        yes = stored("yes", True)
        proto = model(nodes, [value("x", ["n", 4])], [value("y", ["n", 3])], [weight("w", 4, 3), yes])
        made, _ = changed_by(sort_nodes, proto, X)
        assert operators(made) == ["MatMul", "If"]


class TestNames:
    def test_nameless_nodes_are_named_silently(self) -> None:
        proto = product()
        for node in proto.graph.node:
            node.name = ""
        made, said = changed_by(name_nodes, proto, X)
        assert [node.name for node in made.graph.node] == ["MatMul_0", "Add_1"]
        assert said == []

    def test_of_nodes_with_one_name_the_first_keeps_it(self) -> None:
        proto = product()
        for node in proto.graph.node:
            node.name = "linear"
        assert name_nodes(proto) == ["1 node had the name of another, and got one of their own"]
        assert [node.name for node in proto.graph.node] == ["linear", "linear_1"]
        assert answers(proto, X)[0].shape == (5, 3)


class TestShapes:
    def test_outputs_get_the_shape_that_can_be_inferred(self) -> None:
        proto = product()
        proto.graph.output[0].type.tensor_type.ClearField("shape")
        made, said = changed_by(declare_shapes, proto, X)
        assert [dim.dim_param or dim.dim_value for dim in made.graph.output[0].type.tensor_type.shape.dim] == ["n", 3]
        assert said == ["1 output had no shape, which was inferred: y"]

    def test_an_input_without_a_shape_is_named_with_the_cure(self) -> None:
        proto = product()
        proto.graph.input[0].type.tensor_type.ClearField("shape")
        with pytest.raises(OutOfOrder, match=r"^input 'x' has no shape, .*: export the model with one"):
            declare_shapes(proto)

    def test_an_output_of_unknown_rank_is_named_with_the_cure(self) -> None:
        nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
        output = value("y", [1])
        output.type.tensor_type.ClearField("shape")
        given = [value("x", ["n", 4]), value("shape", [None], onnx.TensorProto.INT64)]
        with pytest.raises(OutOfOrder, match=r"^output 'y' has no shape, and .*: export the model with the shapes"):
            declare_shapes(model(nodes, given, [output]))

    def test_declared_shapes_that_are_not_so_are_dropped(self) -> None:
        proto = product()
        proto.graph.value_info.extend([value("m", [7, 99]), value("gone", [2])])
        made, said = changed_by(drop_wrong_shapes, proto, X)
        assert not made.graph.value_info
        assert said == ["2 declared shapes of tensors between nodes were not what the graph gives"]

    def test_right_ones_stay(self) -> None:
        proto = product()
        proto.graph.value_info.append(value("m", ["n", 3]))
        assert changed_by(drop_wrong_shapes, proto, X) == (proto, [])


class TestOutputs:
    def test_an_output_that_nodes_read_is_one_of_its_own(self) -> None:
        proto = product()
        proto.graph.output.append(value("m", ["n", 3]))
        made, _ = changed_by(separate_outputs, proto, X)
        assert [list(node.input) for node in made.graph.node] == [["x", "w"], ["m_inner", "b"], ["m_inner"]]

    def test_inputs_and_weights_that_are_outputs_too_are_read_apart(self) -> None:
        proto = product()
        proto.graph.output.extend([value("x", ["n", 4]), value("w", [4, 3])])
        made, _ = changed_by(separate_outputs, proto, X)
        assert operators(made) == ["Identity", "MatMul", "Add", "Identity"]


class TestSuffixes:
    @pytest.mark.parametrize("name", ["x_scale", "x_quantized", "x_QuantizeLinear_Output", "w_zero_point"])
    def test_inner_tensors_are_renamed(self, name: str) -> None:
        proto = product()
        proto.graph.node[0].output[0] = proto.graph.node[1].input[0] = name
        made, said = changed_by(free_suffixes, proto, X)
        assert made.graph.node[0].output[0] == f"{name}_own"
        assert said == ["1 tensor had names that quantizers give to theirs, and got others"]

    def test_an_input_with_such_a_name_keeps_it(self) -> None:
        nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Mul", ["m", "x_scale"], ["y"])]
        given = [value("x", ["n", 4]), value("x_scale", [1])]
        proto = model(nodes, given, [value("y", ["n", 3])], [weight("w", 4, 3)])
        made, _ = changed_by(free_suffixes, proto, {**X, **inputs(1, name="x_scale")})
        assert [list(node.input) for node in made.graph.node] == [["x"], ["x_own", "w"], ["m", "x_scale"]]
