"""Operator sets without kernels: old forms of operators become new ones, with open sizes too."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from edge_compressor.models.normal_form.old_opsets import convert_old_opset
from edge_compressor.models.normal_form.refusal import OutOfOrder
from tests.unit.edge_compressor.normal_form.graphs import answers, inputs, model, product, stored, value, weight

X = inputs(5, 4)


def old(kind: str, read: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, read.split(), ["y"], **attributes)


CHANNELS = [0.5, -1.0, 2.0]
OLD_WEIGHTS = [
    stored("c", CHANNELS, np.float32),
    stored("c11", np.reshape(CHANNELS, (3, 1, 1)), np.float32),
    stored("positive", np.abs(CHANNELS), np.float32),
    weight("last", 4),
    weight("one", 1),
    weight("k", 3, 3, 1, 1),
]
OLD_NODES: dict[str, tuple[int, list[onnx.NodeProto], list[onnx.NodeProto]]] = {
    "along an axis": (6, [old("Add", "x c", broadcast=1, axis=1)], [old("Add", "x c11")]),
    "along an axis from the end": (6, [old("Mul", "x c", broadcast=1, axis=-3)], [old("Mul", "x c11")]),
    "along the last axis": (6, [old("Sub", "x last", broadcast=1)], [old("Sub", "x last")]),
    "along a named last axis": (6, [old("Div", "x last", broadcast=1, axis=3)], [old("Div", "x last")]),
    "one value": (6, [old("Mul", "x one", broadcast=1, axis=1)], [old("Mul", "x one")]),
    "along what is computed": (
        6,
        [helper.make_node("Neg", ["c"], ["d"]), old("Add", "x d", broadcast=1, axis=1)],
        [helper.make_node("Neg", ["c11"], ["d"]), old("Add", "x d")],
    ),
    "behind another": (
        6,
        [
            helper.make_node("Add", ["x", "c"], ["h"], broadcast=1, axis=1),
            helper.make_node("Conv", ["h", "k"], ["g"]),
            old("Mul", "g c", broadcast=1, axis=1),
        ],
        [
            helper.make_node("Add", ["x", "c11"], ["h"]),
            helper.make_node("Conv", ["h", "k"], ["g"]),
            old("Mul", "g c11"),
        ],
    ),
    "of one shape": (6, [old("Add", "x x")], [old("Add", "x x")]),
    "slope by channel": (6, [old("PRelu", "x c")], [old("PRelu", "x c11")]),
    "one slope": (6, [old("PRelu", "x one")], [old("PRelu", "x one")]),
    "normalization": (
        6,
        [old("BatchNormalization", "x c c c positive", is_test=1)],
        [old("BatchNormalization", "x c c c positive")],
    ),
    "normalization of the first version": (
        5,
        [old("BatchNormalization", "x c c c positive", is_test=1, consumed_inputs=[0, 0, 0, 1, 1])],
        [old("BatchNormalization", "x c c c positive")],
    ),
    "dropout": (6, [old("Dropout", "x", is_test=1, ratio=0.5)], [old("Identity", "x")]),
    "inputs in place": (5, [old("Relu", "x", consumed_inputs=[1])], [old("Relu", "x")]),
    "a shape in the node": (
        4,
        [helper.make_node("Reshape", ["x"], ["h"], shape=[0, 3, -1]), old("Reshape", "h", shape=[0, 3, 4, 4])],
        [old("Identity", "x")],
    ),
    "a type by its name": (
        5,
        [helper.make_node("Cast", ["x"], ["i"], to="INT32"), old("Cast", "i", to="FLOAT")],
        [helper.make_node("Cast", ["x"], ["i"], to=6), old("Cast", "i", to=1)],
    ),
    "padding": (
        1,
        [old("Pad", "x", paddings=[0, 0, 1, 1, 0, 0, 1, 1])],
        [old("Pad", "x", pads=[0, 0, 1, 1, 0, 0, 1, 1])],
    ),
    "joined along channels": (3, [old("Concat", "x x")], [old("Concat", "x x", axis=1)]),
    "enlarged": (
        6,
        [old("Upsample", "x", height_scale=2.0, width_scale=3.0)],
        [old("Upsample", "x", scales=[1.0, 1.0, 2.0, 3.0])],
    ),
}
"""Each old form of an operator: its operator set, its nodes, and the same in operator set 7."""


def test_an_operator_set_without_kernels_is_converted() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["y"], broadcast=1),
    ]
    proto = model(nodes, [value("x", [5, 4])], [value("y", [5, 3])], [weight("w", 4, 3), weight("b", 3)], opset=6)
    said = convert_old_opset(proto)
    assert said == ["operator set 6 is older than what nodes run, and was converted to 7"]
    assert (answers(proto, X)[0] == answers(product(), X)[0]).all()


@pytest.mark.parametrize("batch", ["n", 2])
@pytest.mark.parametrize("case", OLD_NODES)
def test_old_forms_of_operators_become_new_ones(case: str, batch: Any) -> None:
    version, old, new = OLD_NODES[case]
    old_proto, new_proto = (
        model(nodes, [value("x", [batch, 3, 4, 4])], [value("y", [None] * 4)], OLD_WEIGHTS, opset=number)
        for nodes, number in ((old, version), (new, 7))
    )
    (said,) = convert_old_opset(old_proto)
    assert said == f"operator set {version} is older than what nodes run, and was converted to 7"
    onnx.checker.check_model(old_proto)
    feeds = inputs(2, 3, 4, 4)
    np.testing.assert_array_equal(answers(old_proto, feeds)[0], answers(new_proto, feeds)[0])
    assert convert_old_opset(old_proto) == []


@pytest.mark.parametrize("batch", ["n", 1])
def test_what_cannot_be_converted_is_named_with_the_cure(batch: Any) -> None:
    nodes = [helper.make_node("Tile", ["x", "twice", "axis"], ["y"])]
    constants = [stored("twice", 2.0, np.float32), stored("axis", 0.0, np.float32)]
    proto = model(nodes, [value("x", [batch, 1])], [value("y", [None, 1])], constants, opset=5)
    named = r"^operator set 5 is older .*\(Tile of operator set 5; onnx: .*: export the model with operator set 13"
    with pytest.raises(OutOfOrder, match=named):
        convert_old_opset(proto)
