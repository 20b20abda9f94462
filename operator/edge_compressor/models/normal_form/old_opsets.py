"""Operator sets that are older than any kernel of onnxruntime."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.version_converter

from edge_compressor.models.graph import fresh, opset, set_nodes, taken_names
from edge_compressor.models.normal_form.products import ranks
from edge_compressor.models.normal_form.refusal import OutOfOrder
from edge_compressor.models.onnx_model import subgraphs
from edge_runtime.datatypes import Array
from edgemodel.error_words import in_words

OLDEST: Final = 7
"""The oldest operator set that onnxruntime has kernels for."""
CONVERTED: Final = 13
"""The operator set that onnx's converter gives to models that ``_Upgrade`` does not know."""

_BROADCASTING: Final = frozenset({
    "Add", "And", "Div", "Equal", "Greater", "Less", "Mul", "Or", "Pow", "PRelu", "Sub", "Xor",
})  # fmt: skip
"""The operators whose second input was aligned to an axis of the first, and is now aligned to the last axes."""
_DROPPED: Final[Mapping[str, frozenset[str]]] = {
    "BatchNormalization": frozenset({"is_test"}),
    "Dropout": frozenset({"is_test"}),
    "Gemm": frozenset({"broadcast"}),
    "GRU": frozenset({"output_sequence"}),
    "LSTM": frozenset({"output_sequence"}),
    "RNN": frozenset({"output_sequence"}),
} | dict.fromkeys(_BROADCASTING, frozenset({"axis", "broadcast"}))
"""The attributes that have no meaning in operator set OLDEST, where all models compute as they are served."""
_SAME: Final = frozenset({
    "Abs", "AveragePool", "Ceil", "Clip", "Elu", "Exp", "Floor", "HardSigmoid", "InstanceNormalization", "LeakyRelu",
    "Log", "Max", "Mean", "Min", "Neg", "Reciprocal", "Relu", "Selu", "Sigmoid", "Sqrt", "Sum", "Tanh",
})  # fmt: skip
"""The operators that only lost ``consumed_inputs``, or gained attributes whose default is the old behaviour."""


def convert_old_opset(model: onnx.ModelProto) -> list[str]:
    """Converts an operator set below OLDEST to it, or to CONVERTED by onnx's converter, which knows other operators.

    Raises OutOfOrder if neither can.
    """
    version = opset(model)
    if version >= OLDEST or not any(not node.domain for node in model.graph.node):
        return []
    upgraded = onnx.ModelProto()
    upgraded.CopyFrom(model)
    try:
        _Upgrade(upgraded, version).run()
        new = OLDEST
    except _NotKnown as unknown:
        try:
            upgraded, new = onnx.version_converter.convert_version(model, CONVERTED), CONVERTED
        except Exception as error:  # the converter raises anything for operators that it cannot convert
            message = f"operator set {version} is older than what nodes run ({OLDEST}), and cannot be converted"
            cause = f"{unknown}; onnx: {in_words(error, 200)}"
            raise OutOfOrder(f"{message} ({cause}): export the model with operator set {CONVERTED} or later") from error
    model.CopyFrom(upgraded)
    return [f"operator set {version} is older than what nodes run, and was converted to {new}"]


class _NotKnown(Exception):
    """The model has something whose form in operator set OLDEST is not known; the text names it."""


@dataclass
class _Upgrade:
    """A walk over a graph that gives its nodes the form that they have in operator set OLDEST.

    Sizes may be open, which onnx's converter does not accept.
    """

    model: onnx.ModelProto
    version: int
    made: list[onnx.NodeProto] = field(default_factory=list)

    def run(self) -> None:
        """Raises _NotKnown."""
        model = self.model
        self.taken = taken_names(model)
        self.stored = {tensor.name: tensor for tensor in model.graph.initializer}
        nodes = [self._renewed(node) for node in model.graph.node]
        for item in model.opset_import:
            item.version = OLDEST if not item.domain else item.version
        self.ranks = self._ranks(nodes)
        for node in nodes:
            if node.op_type in _BROADCASTING and not node.domain:
                self._lay_along(node)
            _drop(node, _DROPPED.get(node.op_type, ()))
            self.made.append(node)
        set_nodes(model.graph, self.made)
        try:
            onnx.checker.check_model(model)
        except onnx.checker.ValidationError as error:
            raise _NotKnown(in_words(error, 200)) from error

    def _renewed(self, given: onnx.NodeProto) -> onnx.NodeProto:
        """Returns a copy of ``given`` in the new form, but for the operands of _BROADCASTING."""
        node = onnx.NodeProto()
        node.CopyFrom(given)
        if node.domain:
            return node
        if any(subgraphs(node)):
            raise _NotKnown(f"{node.op_type} has a body")
        attributes = {one.name: one for one in node.attribute}
        kind = node.op_type
        if kind == "Reshape" and "shape" in attributes:
            self._store_input(node, "shape", np.array(attributes["shape"].ints, np.int64))
        elif kind == "Cast" and attributes["to"].s:
            number = onnx.TensorProto.DataType.Value(attributes["to"].s.decode().upper())
            attributes["to"].CopyFrom(onnx.helper.make_attribute("to", number))
        elif kind == "Pad" and "paddings" in attributes:
            attributes["paddings"].name = "pads"
        elif kind == "Concat" and "axis" not in attributes:
            node.attribute.append(onnx.helper.make_attribute("axis", 1))
        elif kind == "Upsample" and "height_scale" in attributes:
            scales = [1.0, 1.0, attributes["height_scale"].f, attributes["width_scale"].f]
            _drop(node, ("height_scale", "width_scale"))
            node.attribute.append(onnx.helper.make_attribute("scales", scales))
        elif kind not in _SAME | _DROPPED.keys() and not self._unchanged(kind):
            raise _NotKnown(f"{kind} of operator set {self.version}")
        _drop(node, ("consumed_inputs",))
        return node

    def _unchanged(self, kind: str) -> bool:
        try:
            before, after = (int(onnx.defs.get_schema(kind, one, "").since_version) for one in (self.version, OLDEST))
        except onnx.defs.SchemaError:
            return False
        return before == after

    def _store_input(self, node: onnx.NodeProto, attribute: str, values: Array) -> None:
        tensor = onnx.numpy_helper.from_array(values, fresh(f"{node.output[0]}_{attribute}", self.taken))
        self.model.graph.initializer.append(tensor)
        node.input.append(tensor.name)
        _drop(node, (attribute,))

    def _ranks(self, nodes: Iterable[onnx.NodeProto]) -> Mapping[str, int]:
        """Returns the known numbers of dimensions; the result of a node of _BROADCASTING has that of its first
        input."""
        scratch = onnx.ModelProto()
        scratch.CopyFrom(self.model)
        copies = []
        for node in nodes:
            copies.append(onnx.NodeProto())
            copies[-1].CopyFrom(node)
            _drop(copies[-1], _DROPPED.get(node.op_type, ()))
            if node.op_type in _BROADCASTING and not node.domain:
                copies[-1] = onnx.helper.make_node("Identity", [node.input[0]], [node.output[0]])
        set_nodes(scratch.graph, copies)
        return {**ranks(scratch), **{name: len(tensor.dims) for name, tensor in self.stored.items()}}

    def _lay_along(self, node: onnx.NodeProto) -> None:
        """Gives the second input of ``node`` as many trailing dimensions of 1 as the first has after it."""
        attributes = {one.name: one.i for one in node.attribute}
        is_slope = node.op_type == "PRelu"
        if "axis" not in attributes and not is_slope:
            return
        first, second = node.input
        if first not in self.ranks or second not in self.ranks:
            raise _NotKnown(f"the number of dimensions that {node.op_type} {node.output[0]!r} reads is not known")
        axis = 1 if is_slope else attributes["axis"]
        behind = self.ranks[first] - (axis % max(1, self.ranks[first])) - self.ranks[second]
        if behind <= 0 or (second in self.stored and np.prod(self.stored[second].dims) == 1):
            return
        name = fresh(f"{second}_along_{axis}", self.taken)
        if second in self.stored:
            values = np.asarray(onnx.numpy_helper.to_array(self.stored[second]))
            self.model.graph.initializer.append(
                onnx.numpy_helper.from_array(values.reshape(*values.shape, *[1] * behind), name)
            )
        else:
            axes = [self.ranks[second] + number for number in range(behind)]
            self.made.append(onnx.helper.make_node("Unsqueeze", [second], [name], name=name, axes=axes))
        node.input[1] = name


def _drop(node: onnx.NodeProto, names: Iterable[str]) -> None:
    """Removes attributes of ``node``."""
    for attribute in [one for one in node.attribute if one.name in names]:
        node.attribute.remove(attribute)
