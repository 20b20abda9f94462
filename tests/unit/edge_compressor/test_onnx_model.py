from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_compressor.models.onnx_model import check_model, check_same_interface
from edgemodel import reasons
from edgemodel.artifact import Tensor
from edgemodel.digest import digest_of_file
from edgemodel.errors import Stalled
from tests.unit.edge_compressor import models
from tests.unit.edge_compressor.conftest import Files


def refusal(path: Path) -> str:
    with pytest.raises(Stalled) as caught:
        check_model(path)
    assert caught.value.reason == reasons.SOURCE_INVALID
    assert caught.value.message.startswith("source: ")
    return caught.value.message


def test_a_sound_model_is_described_by_its_tensors_digest_and_size(residual: Files) -> None:
    model = check_model(residual.model)
    assert model.inputs == (Tensor("x", "FP32", (-1, 1, 12, 12)),)
    assert model.outputs == (Tensor("y", "FP32", (-1, 10)),)
    assert (model.digest, model.size_bytes) == (digest_of_file(residual.model), residual.model.stat().st_size)
    assert model.batch == -1


@pytest.mark.parametrize("data", [b"", b"\x00", b"not a model at all", b"\x08\x08\x12\x04test"])
def test_bytes_that_are_not_an_onnx_file_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "broken.onnx").write_bytes(data)
    assert "not an ONNX file" in refusal(tmp_path / "broken.onnx")


def test_a_file_that_was_cut_is_refused(tmp_path: Path, residual: Files) -> None:
    data = residual.model.read_bytes()
    (tmp_path / "cut.onnx").write_bytes(data[: len(data) // 2])
    refusal(tmp_path / "cut.onnx")


def test_an_operator_of_a_custom_domain_is_refused_before_anything_loads_it(tmp_path: Path, residual: Files) -> None:
    def use_custom(model: onnx.ModelProto) -> None:
        model.graph.node[0].domain = "com.example"
        model.opset_import.append(helper.make_opsetid("com.example", 1))

    message = refusal(models.edited(residual.model, tmp_path / "custom.onnx", use_custom))
    assert "Conv" in message
    assert "com.example" in message


def test_a_custom_operator_hidden_in_a_branch_is_found(tmp_path: Path) -> None:
    def branch(domain: str) -> onnx.GraphProto:
        node = helper.make_node("Evil" if domain else "Identity", ["x"], ["b"], domain=domain)
        return helper.make_graph([node], "branch", [], [helper.make_tensor_value_info("b", TensorProto.FLOAT, [1])])

    condition = numpy_helper.from_array(np.array(True), "c")
    node = helper.make_node("If", ["c"], ["y"], then_branch=branch(""), else_branch=branch("com.example"))
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        [condition],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "if.onnx")
    assert "Evil" in refusal(tmp_path / "if.onnx")


@pytest.mark.parametrize("location", ["weights.bin", "../../etc/passwd", "/etc/passwd"])
def test_weights_in_another_file_are_refused_wherever_it_lies(tmp_path: Path, residual: Files, location: str) -> None:
    def move_out(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)

    message = refusal(models.edited(residual.model, tmp_path / "external.onnx", move_out))
    assert repr(location) in message
    assert "as one file" in message


def test_a_graph_that_onnx_finds_invalid_is_refused(tmp_path: Path, residual: Files) -> None:
    def cut_wire(model: onnx.ModelProto) -> None:
        model.graph.node[1].input[0] = "nowhere"

    assert "onnx.checker" in refusal(models.edited(residual.model, tmp_path / "wire.onnx", cut_wire))


def test_a_model_of_a_newer_format_is_refused_with_the_runtime_named(tmp_path: Path, residual: Files) -> None:
    def too_new(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = 17
        model.graph.initializer[0].dims[0] += 1  # weights that do not have the elements they claim

    message = refusal(models.edited(residual.model, tmp_path / "new.onnx", too_new))
    assert "onnx" in message


def test_an_input_that_is_not_a_tensor_is_refused(tmp_path: Path) -> None:
    sequence = helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, ["n"])
    node = helper.make_node("ConcatFromSequence", ["x"], ["y"], axis=0)
    graph = helper.make_graph([node], "g", [sequence], [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["m"])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "s.onnx")
    assert "seq(tensor(float))" in refusal(tmp_path / "s.onnx")


def test_a_file_beyond_the_limit_is_refused_by_its_size_alone(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("edge_compressor.models.onnx_model.MAX_BYTES", 10)
    (tmp_path / "large.onnx").write_bytes(b"x" * 11)
    assert "11 bytes" in refusal(tmp_path / "large.onnx")


def test_a_fixed_batch_is_reported(tmp_path: Path) -> None:
    assert check_model(models.perceptron(tmp_path / "four.onnx", batch=4)).batch == 4


def test_an_artifact_with_another_interface_than_its_source_is_refused(residual: Files, tmp_path: Path) -> None:
    def rename(model: onnx.ModelProto) -> None:
        model.graph.node[-1].output[0] = "z"
        model.graph.output[0].name = "z"

    other = check_model(models.edited(residual.model, tmp_path / "renamed.onnx", rename))
    with pytest.raises(Stalled, match=r"outputs from y FP32 \[-1, 10\] to z FP32"):
        check_same_interface(check_model(residual.model), other)


def test_an_artifact_that_takes_other_shapes_than_its_source_is_refused(residual: Files, tmp_path: Path) -> None:
    def fix(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1

    other = check_model(models.edited(residual.model, tmp_path / "fixed.onnx", fix))
    with pytest.raises(Stalled, match=r"inputs from x FP32 \[-1, 1, 12, 12\] to x FP32 \[1, 1, 12, 12\]"):
        check_same_interface(check_model(residual.model), other)
