"""Pairs of models, and whether callers of the first can use the second unchanged."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_compressor.models.onnx_model import check_model
from edgemodel.artifact import Tensor
from edgemodel.caller_signature import CallerSignature, breaking_changes
from edgemodel.report import MAX_BYTES, Published, decode, encode
from tests.support.simulation import DIGEST, artifact_report

FLOAT, WHOLE = TensorProto.FLOAT, TensorProto.INT64
Tensors = tuple[tuple[str, int, list[int | str]], ...]

X: Tensors = (("x", FLOAT, ["N", 4]),)
Y: Tensors = (("y", FLOAT, ["N", 3]),)


@dataclass(frozen=True)
class Model:
    inputs: Tensors = X
    outputs: Tensors = Y
    names: str = ""
    """The names in its metadata."""
    state: dict[str, str] = field(default_factory=dict)


def signature_of(model: Model, path: Path) -> CallerSignature:
    """Returns the compressor's signature of a real file; each output is of zeros, as many as the first input has."""
    nodes, weights = [], []
    first = model.inputs[0][0]
    for name, kind, shape in model.outputs:
        sizes = []
        for axis, size in enumerate(shape):
            place = f"{name}.{axis}"
            if isinstance(size, str):
                nodes += [
                    helper.make_node("Shape", [first], [f"{place}.all"]),
                    helper.make_node("Gather", [f"{place}.all", "zero"], [place]),
                ]
            else:
                weights.append(numpy_helper.from_array(np.array([size]), place))
            sizes.append(place)
        zero = helper.make_tensor("zero", kind, [1], [0])
        nodes.append(helper.make_node("Concat", sizes, [f"{name}.shape"], axis=0))
        nodes.append(helper.make_node("ConstantOfShape", [f"{name}.shape"], [name], value=zero))
    weights.append(numpy_helper.from_array(np.array([0]), "zero"))
    declared = [[helper.make_tensor_value_info(*one) for one in some] for some in (model.inputs, model.outputs)]
    graph = helper.make_graph(nodes, "g", *declared, weights)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    if model.names:
        helper.set_model_props(made, {"names": model.names})
    onnx.save(made, path)
    checked = check_model(path)
    return CallerSignature.of(checked.inputs, checked.outputs, checked.class_names, model.state)


def inputs(*more: tuple[str, int, list[int | str]]) -> Model:
    return Model(inputs=more)


def outputs(*more: tuple[str, int, list[int | str]]) -> Model:
    return Model(outputs=more)


ONE = Model((("x", FLOAT, [1, 4]),), (("y", FLOAT, [1, 3]),))
TWO = outputs(("y", FLOAT, ["N", 3]), ("z", FLOAT, ["N", 2]))
PETS = Model(names="{0: 'cat', 1: 'dog', 2: 'cow'}")
STATE = Model((*X, ("h", FLOAT, [1, 8])), (*Y, ("hn", FLOAT, [1, 8]), ("gn", FLOAT, [1, 8])), state={"h": "hn"})

UNNOTICED = {
    "the same": (Model(), Model()),
    "a batch axis that is open now": (ONE, Model()),
    "one more output": (Model(), TWO),
    "an input that takes any number of features": (Model(), inputs(("x", FLOAT, ["N", "F"]))),
    "an output whose size is known now": (outputs(("y", FLOAT, ["N", "K"])), Model()),
    "class names where there were none": (Model(), PETS),
    "class names in another notation": (PETS, Model(names='["cat", "dog", "cow"]')),
    "one more class name": (PETS, Model(names='["cat", "dog", "cow", "hen"]')),
}
BREAKING = {
    "a batch axis that is fixed now": (
        Model(), ONE,
        ("input 'x' has shape [1, 4] now, and had [N, 4]",),
    ),
    "one more feature": (
        Model(), inputs(("x", FLOAT, ["N", 5])),
        ("input 'x' has shape [N, 5] now, and had [N, 4]",),
    ),
    "one more axis": (
        Model(), inputs(("x", FLOAT, ["N", 4, 1])),
        ("input 'x' has shape [N, 4, 1] now, and had [N, 4]",),
    ),
    "another datatype of an input": (
        Model(), inputs(("x", WHOLE, ["N", 4])),
        ("input 'x' is INT64 now, and was FP32",),
    ),
    "another name of an input": (
        Model(), inputs(("data", FLOAT, ["N", 4])),
        ("input 'x' is called 'data' now",),
    ),
    "one more input": (
        Model(), inputs(*X, ("gain", FLOAT, [1])),
        ("input 'gain' (FP32 [1]) is new, and callers do not send it",),
    ),
    "an input less": (
        inputs(*X, ("gain", FLOAT, [1])), Model(),
        ("input 'gain' is gone",),
    ),
    "one more class": (
        Model(), outputs(("y", FLOAT, ["N", 4])),
        ("output 'y' has shape [N, 4] now, and had [N, 3]",),
    ),
    "classes instead of scores": (
        Model(), outputs(("y", WHOLE, ["N"])),
        ("output 'y' is INT64 now, and was FP32", "output 'y' has shape [N] now, and had [N, 3]"),
    ),
    "an output less": (TWO, Model(), ("output 'z' is gone",)),
    "outputs in another order": (
        TWO, outputs(("z", FLOAT, ["N", 2]), ("y", FLOAT, ["N", 3])),
        ("the outputs come in another order: z, y instead of y, z",),
    ),
    "a new output before the others": (
        Model(), outputs(("z", FLOAT, ["N", 2]), ("y", FLOAT, ["N", 3])),
        ("the outputs come in another order: z, y instead of y",),
    ),
    "another class name": (
        PETS, Model(names='["cat", "fox", "cow"]'),
        ("class 1 is 'fox' now, and was 'dog'",),
    ),
    "class names in another order": (
        PETS, Model(names='["dog", "cat", "cow"]'),
        ("the classes come in another order: dog, cat, cow instead of cat, dog, cow",),
    ),
    "state from another output": (
        STATE, Model(STATE.inputs, STATE.outputs, state={"h": "gn"}),
        ("input 'h' is fed back from output 'gn' now, and was from 'hn'",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("pair", UNNOTICED.values(), ids=UNNOTICED)
def test_callers_do_not_notice(pair: tuple[Model, Model], tmp_path: Path) -> None:
    old, new = (signature_of(model, tmp_path / f"{number}.onnx") for number, model in enumerate(pair))
    assert breaking_changes(old, new) == ()


@pytest.mark.parametrize("pair", BREAKING.values(), ids=BREAKING)
def test_callers_would_break(pair: tuple[Model, Model, tuple[str, ...]], tmp_path: Path) -> None:
    before, after, said = pair
    old, new = (signature_of(model, tmp_path / f"{number}.onnx") for number, model in enumerate((before, after)))
    assert breaking_changes(old, new) == said
    assert old.hash != new.hash


@pytest.mark.parametrize("names", ["[1, 2]", "{0: 'a', 2: 'b'}", "cat", "[" * 9999, '{"0": 1}', "['a',", "\0"])
def test_metadata_without_class_names_is_ignored(names: str, tmp_path: Path) -> None:
    assert signature_of(Model(names=names), tmp_path / "m.onnx").class_names == ()


def named(count: int) -> CallerSignature:
    whole = signature_like()
    return CallerSignature.of(whole.inputs, whole.outputs, [f"class number {number}" for number in range(count)])


def signature_like(width: int = 1) -> CallerSignature:
    return CallerSignature.of([Tensor(f"input{n}", "FP32", (-1, 4)) for n in range(width)], [Tensor("y", "FP32", (3,))])


def reported(signature: CallerSignature) -> CallerSignature:
    data = encode(Published(DIGEST, (artifact_report("default"),), None, signature))
    assert len(data) <= MAX_BYTES
    report = decode(data)
    assert isinstance(report, Published)
    assert report.signature is not None
    return report.signature


def test_a_report_holds_a_signature_whole_where_there_is_room() -> None:
    assert reported(named(10)) == named(10)


def test_a_report_without_room_for_a_thousand_class_names_still_shows_that_they_changed() -> None:
    old, new = reported(named(1000)), reported(named(999))
    assert old.class_names == ()
    assert old.hash == named(1000).hash
    assert breaking_changes(old, old) == ()
    (said,) = breaking_changes(old, new)
    assert said.startswith("the names of the classes are others")


def test_a_report_without_room_for_a_hundred_inputs_still_shows_that_they_changed() -> None:
    old, new = reported(signature_like(200)), reported(signature_like(201))
    assert old.inputs == ()
    (said,) = breaking_changes(old, new)
    assert "too long to be compared here" in said


def test_changes_of_states_come_in_one_order_whatever_the_process() -> None:
    names = [f"state{number}" for number in range(12)]
    inputs = [Tensor(name, "FP32", (-1, 4)) for name in names]
    outputs = [Tensor("y", "FP32", (3,))]
    old = CallerSignature.of(inputs, outputs, state=dict.fromkeys(names[:6], "y"))
    new = CallerSignature.of(inputs, outputs, state=dict.fromkeys(names[6:], "y"))
    said = breaking_changes(old, new)
    assert [name for change in said for name in names if f"'{name}'" in change] == sorted(names)
