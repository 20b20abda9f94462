"""One normal form for every graph that is loaded, and one place where a library's words become messages."""

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import edge_compressor
from edge_compressor.library_errors import explained
from edge_compressor.models import normalization
from edgemodel.errors import Stalled

SOURCES = Path(edge_compressor.__file__).parent
LOADERS = {"models/normalization.py", "models/onnx_model.py", "formats/onnx_files.py"}
"""What normalises, what checks before anything is loaded, and what puts a folder into one file before that."""


@pytest.fixture
def nameless(tmp_path: Path) -> Path:
    """A product with a weight that a Constant node makes, and no node has a name."""
    weight = numpy_helper.from_array(np.eye(3, dtype=np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Constant", [], ["w"], value=weight), helper.make_node("MatMul", ["x", "w"], ["y"])],
        "nameless",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def test_every_graph_is_loaded_in_its_normal_form() -> None:
    found = {
        path.relative_to(SOURCES).as_posix()
        for path in SOURCES.rglob("*.py")
        if re.search(r"\bonnx\.load(_model)?\(", path.read_text())
    }
    assert found == LOADERS


def test_nodes_have_names_and_weights_lie_where_they_are_looked_for(nameless: Path) -> None:
    loaded = normalization.load(nameless)
    assert [node.name for node in loaded.graph.node] == ["Constant_0", "MatMul_1"]
    laid_open = normalization.load(nameless, weights_as_initializers=True)
    assert [node.op_type for node in laid_open.graph.node] == ["MatMul"]
    assert [tensor.name for tensor in laid_open.graph.initializer] == ["w"]


def test_a_pass_that_is_added_reaches_every_graph(nameless: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def marked(model: onnx.ModelProto) -> onnx.ModelProto:
        model.graph.doc_string = "in order"
        return model

    monkeypatch.setattr(normalization, "PASSES", (*normalization.PASSES, marked))
    assert normalization.load(nameless).graph.doc_string == "in order"


def test_errors_become_what_the_caller_says_and_the_others_pass() -> None:
    def cannot(cause: str) -> Stalled:
        return Stalled("StepFailed", f"cannot: {cause}")

    with pytest.raises(Stalled, match=r"^cannot: gone$"), explained(cannot):
        raise IndexError("gone")
    with pytest.raises(MemoryError), explained(cannot):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")
    for passes in (OSError(5, "Input/output error"), MemoryError(), Stalled("StepFailed", "told")):
        with pytest.raises(type(passes)) as caught, explained(cannot):
            raise passes
        assert caught.value is passes
