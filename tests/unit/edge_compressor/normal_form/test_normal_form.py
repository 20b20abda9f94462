"""One normal form for every graph that is loaded."""

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

import edge_compressor
from edge_compressor.models import normal_form
from edgemodel import reasons
from edgemodel.errors import Stalled
from tests.unit.edge_compressor.normal_form.graphs import (
    answers,
    inputs,
    model,
    operators,
    product,
    stored_names,
    value,
    weight,
)

SOURCES = Path(edge_compressor.__file__).parent
LOADERS = {"models/weight_files.py", "models/onnx_model.py", "steps/spread.py"}
"""The modules that read graphs without their weights, that check before anything is loaded, and that open a file for
quantization."""


def put_in_order(proto: onnx.ModelProto, folder: Path) -> normal_form.InOrder:
    onnx.save(proto, folder / "given.onnx")
    return normal_form.put_in_order(
        folder / "given.onnx", folder / "order", what="source", reason=reasons.SOURCE_INVALID
    )


def untidy() -> onnx.ModelProto:
    """Returns a model with both spellings of the default domain, an IR version of the future, a weight in a node, one
    name for two nodes."""
    nodes = [
        helper.make_node("Constant", [], ["w"], "same", value=weight("inner", 4, 32)),
        helper.make_node("MatMul", ["x", "w"], ["y"], "same"),
    ]
    table = [("", 17), ("ai.onnx", 17)]
    return model(nodes, [value("x", ["n", 4])], [value("y", ["n", 32])], domains=table, ir=99)


def test_every_graph_is_loaded_in_its_normal_form() -> None:
    found = {
        path.relative_to(SOURCES).as_posix()
        for path in SOURCES.rglob("*.py")
        if re.search(r"\bonnx\.load(_model)?\(", path.read_text())
    }
    assert found == LOADERS


def test_a_model_in_order_stays_the_file_that_it_is(tmp_path: Path) -> None:
    found = put_in_order(product(), tmp_path)
    assert found == normal_form.InOrder(tmp_path / "given.onnx", ())
    assert [file.name for file in tmp_path.iterdir()] == ["given.onnx"]


def test_a_model_is_normalized_once_and_each_change_is_reported(tmp_path: Path) -> None:
    before = untidy()
    found = put_in_order(before, tmp_path)
    assert len(found.changes) == 4
    made = onnx.load(found.path)
    onnx.checker.check_model(made)
    before.ir_version, before.graph.node[1].name = 8, "other"  # as onnxruntime runs it
    feeds = inputs(5, 4)
    assert (answers(before, feeds)[0] == answers(made, feeds)[0]).all()
    again = normal_form.put_in_order(found.path, tmp_path / "again", what="source", reason=reasons.SOURCE_INVALID)
    assert again == normal_form.InOrder(found.path, ())


def test_a_fault_that_cannot_be_normalized_is_named(tmp_path: Path) -> None:
    with pytest.raises(Stalled, match=r"^source: operator set 99 of ai.onnx is newer"):
        put_in_order(product(opset=99), tmp_path)
    with pytest.raises(Stalled, match=r"^operator set 99 of ai.onnx is newer"):
        normal_form.load(tmp_path / "given.onnx")


def test_a_graph_is_loaded_in_its_normal_form_whatever_wrote_it(tmp_path: Path) -> None:
    onnx.save(untidy(), tmp_path / "m.onnx")
    loaded = normal_form.load(tmp_path / "m.onnx")
    assert operators(loaded) == ["MatMul"]
    assert stored_names(loaded) == {"w"}


def test_weights_become_initializers_for_their_readers(tmp_path: Path) -> None:
    nodes = [helper.make_node("Cast", ["small"], ["w"], to=1), helper.make_node("MatMul", ["x", "w"], ["y"])]
    small = weight("small", 4, 3, kind=np.float16)
    onnx.save(model(nodes, [value("x", ["n", 4])], [value("y", ["n", 3])], [small]), tmp_path / "m.onnx")
    assert operators(normal_form.load(tmp_path / "m.onnx")) == ["Cast", "MatMul"]
    assert operators(normal_form.load_with_weights(tmp_path / "m.onnx")) == ["MatMul"]
    loaded, changes = normal_form.load_float32(tmp_path / "m.onnx")
    assert (operators(loaded), changes) == (["MatMul"], [])


def test_a_pass_that_is_added_reaches_every_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def marked(proto: onnx.ModelProto) -> list[str]:
        proto.graph.doc_string = "in order"
        return []

    onnx.save(product(), tmp_path / "m.onnx")
    monkeypatch.setattr(normal_form, "PASSES", (*normal_form.PASSES, marked))
    assert normal_form.load(tmp_path / "m.onnx").graph.doc_string == "in order"
