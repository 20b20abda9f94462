"""The properties that all steps share that change weights after training."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import pytest

from edge_compressor.models.onnx_model import check_model
from edgemodel.digest import digest_of_file
from tests.unit.edge_compressor import models
from tests.unit.edge_compressor.bench import Bench, agreement, likeness, operators, weights, weights_by_type
from tests.unit.edge_compressor.models import Files

pytestmark = pytest.mark.slow

GENTLE: dict[str, dict[str, Any]] = {
    "LowRank": {"rankPercent": 25},
    "PruneWeights": {"sparsityPercent": 5},
    "ClusterWeights": {"clusters": 256},
    "Convert": {"precision": "FP16Weights"},
}
"""The settings that hardly change the answers of the ``thin`` net."""
CHOOSING = ("LowRank", "PruneWeights", "ClusterWeights")
"""The steps with ``opTypes``."""

all_steps = pytest.mark.parametrize("kind", GENTLE)
choosing_steps = pytest.mark.parametrize("kind", CHOOSING)


def edited(files: Files, to: Path, edit: Any) -> Files:
    return replace(files, model=models.edited(files.model, to, edit))


def spoil(name: str, value: float) -> Any:
    def edit(model: onnx.ModelProto) -> None:
        tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
        values = onnx.numpy_helper.to_array(tensor).copy()
        values.flat[3] = value
        tensor.CopyFrom(onnx.numpy_helper.from_array(values, name))

    return edit


@all_steps
def test_it_leaves_its_input_alone_and_keeps_the_answers(kind: str, thin: Files, bench: Bench) -> None:
    before = digest_of_file(thin.model)
    result = bench.apply(kind, thin, **GENTLE[kind])
    assert digest_of_file(thin.model) == before
    assert digest_of_file(result) != before
    assert likeness(thin.model, result) >= 0.98
    assert [file.name for file in result.parent.iterdir()] == [result.name]


@all_steps
def test_it_makes_the_same_bytes_again(kind: str, thin: Files, bench: Bench) -> None:
    first, second = (bench.apply(kind, thin, **GENTLE[kind]) for _ in range(2))
    assert first.read_bytes() == second.read_bytes()


@all_steps
@pytest.mark.parametrize("then", ["CleanGraph", "QuantizeStatic", "QuantizeDynamic"])
@pytest.mark.slow
def test_what_it_makes_can_be_cleaned_and_quantized(kind: str, then: str, thin: Files, bench: Bench) -> None:
    result = bench.apply(then, replace(thin, model=bench.apply(kind, thin, **GENTLE[kind])))
    assert likeness(thin.model, result) >= 0.95
    assert (weights_by_type(result)[onnx.TensorProto.INT8] >= 3) == (then != "CleanGraph")


@all_steps
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused_by_name(
    kind: str, value: float, thin: Files, bench: Bench, tmp_path: Path
) -> None:
    message = bench.refusal(kind, edited(thin, tmp_path / "nan.onnx", spoil("w_gemm", value)), **GENTLE[kind])
    assert "1 of 4096 values of the weight 'w_gemm' are NaN or infinite" in message
    assert "exclude the nodes that read it" in message


@all_steps
@pytest.mark.parametrize("quantize", ["QuantizeStatic", "QuantizeDynamic"])
@pytest.mark.slow
def test_a_quantized_model_is_refused_with_the_order_that_works(
    kind: str, quantize: str, thin: Files, bench: Bench
) -> None:
    quantized = replace(thin, model=bench.apply(quantize, thin))
    message = bench.refusal(kind, quantized, **GENTLE[kind])
    assert "the model is quantized already" in message
    assert "put this step before the quantization" in message


@choosing_steps
def test_settings_that_name_nothing_are_refused(kind: str, thin: Files, bench: Bench) -> None:
    assert "'heed' match no node; the nodes are " in bench.refusal(kind, thin, excludeNodes=["heed"])
    assert "opTypes Erf cannot be " in bench.refusal(kind, thin, opTypes=["Erf"])
    perceptron = "opTypes Conv match no node; the model has Gemm, Relu: take them out"
    only_gemm = replace(thin, model=models.perceptron(bench.folder.parent / "p.onnx"))
    only_gemm = replace(only_gemm, calibration=models.write_calibration(bench.folder.parent / "c.npz", only_gemm.model))
    assert perceptron in bench.refusal(kind, only_gemm, opTypes=["Conv", "Gemm"])


@choosing_steps
def test_nothing_left_to_change_is_refused(kind: str, thin: Files, bench: Bench) -> None:
    message = bench.refusal(kind, thin, opTypes=["MatMul"], excludeNodes=["dense"])
    assert "no MatMul has a float weight of its own" in message


@choosing_steps
def test_only_what_is_chosen_changes(kind: str, thin: Files, bench: Bench) -> None:
    given = weights(thin.model)

    def unchanged(**settings: Any) -> set[str]:
        stored = weights(bench.apply(kind, thin, **GENTLE[kind], **settings))
        return {name for name, values in given.items() if name in stored and np.array_equal(stored[name], values)}

    assert given.keys() - unchanged(opTypes=["MatMul"]) == {"w_dense"}
    assert "w_body" in unchanged(excludeNodes=["body"])
    assert "w_body" not in unchanged()


@all_steps
def test_weights_that_the_exporter_wrote_as_nodes_are_changed_too(
    kind: str, thin: Files, bench: Bench, tmp_path: Path
) -> None:
    def weights_as_nodes(model: onnx.ModelProto) -> None:
        tensors, nodes = list(model.graph.initializer), list(model.graph.node)
        del model.graph.initializer[:], model.graph.node[:]
        model.graph.node.extend(onnx.helper.make_node("Constant", [], [t.name], value=t) for t in tensors)
        model.graph.node.extend(nodes)

    as_nodes = bench.apply(kind, edited(thin, tmp_path / "n.onnx", weights_as_nodes), **GENTLE[kind])
    plain = bench.apply(kind, thin, **GENTLE[kind])
    assert weights(as_nodes).keys() == weights(plain).keys()
    assert np.array_equal(*(models.answers(path, models.inputs_for(thin.model, 20)) for path in (as_nodes, plain)))


@all_steps
def test_weights_that_are_declared_as_inputs_too_become_constants(
    kind: str, thin: Files, bench: Bench, tmp_path: Path
) -> None:
    def declare(model: onnx.ModelProto) -> None:
        model.ir_version = 3
        model.graph.input.extend(
            onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            for tensor in model.graph.initializer
        )
        model.opset_import[0].version = 8

    model = models.perceptron(tmp_path / "p.onnx", features=64, hidden=256)
    old = models.edited(model, tmp_path / "old.onnx", declare)
    files = Files(old, models.write_calibration(tmp_path / "c.npz", old), tmp_path)
    result = bench.apply(kind, files, **{**GENTLE[kind], **({"rankPercent": 60} if kind == "LowRank" else {})})
    assert [given.name for given in onnx.load(result).graph.input] == ["x"]
    assert agreement(model, result) >= 0.5


def shared_net(path: Path, *, tail: str) -> Path:
    """Writes two MatMul (first, second) with one weight of rank 16, and the ``tail``: Gemm, or If that reads it too."""
    net = models.Builder()
    weight = net.thin_weight("w", 16, 64, 64)
    current = net.node("MatMul", ["x", weight], "first_out")
    current = net.node("MatMul", [net.node("Relu", [current], "relu_out"), weight], "second_out")
    if tail == "If":
        condition = net.constant("condition", np.array(True))
        shape = onnx.helper.make_tensor_value_info("branch", onnx.TensorProto.FLOAT, None)
        branch = onnx.helper.make_graph(
            [onnx.helper.make_node("MatMul", [current, weight], ["branch"], name="inner")], "branch", [], [shape]
        )
        current = net.node("If", [condition], "if_out", then_branch=branch, else_branch=branch)
    net.node("Gemm", [current, net.weight("w_head", 64, 10)], "y", name="head")
    return net.save(path, [64])


def shared(folder: Path, tail: str) -> Files:
    model = shared_net(folder / "shared.onnx", tail=tail)
    return Files(model, models.write_calibration(folder / "c.npz", model), folder)


@all_steps
def test_a_weight_that_two_nodes_share_is_still_shared(kind: str, bench: Bench, tmp_path: Path) -> None:
    files = shared(tmp_path, "Gemm")
    result = bench.apply(kind, files, **GENTLE[kind])
    assert agreement(files.model, result) >= 0.9
    large = [name for name, values in weights(result).items() if values.size >= 1024 and name != "w_head"]
    assert len(large) == (2 if kind == "LowRank" else 1)
    assert result.stat().st_size <= files.model.stat().st_size + 500


@choosing_steps
def test_a_weight_that_is_shared_with_a_node_that_stays_is_left_alone(kind: str, bench: Bench, tmp_path: Path) -> None:
    message = bench.refusal(kind, shared(tmp_path, "Gemm"), opTypes=["MatMul"], excludeNodes=["second"])
    assert "no MatMul has a float weight of its own" in message


@choosing_steps
def test_a_weight_that_a_subgraph_reads_is_left_alone(kind: str, bench: Bench, tmp_path: Path) -> None:
    files = shared(tmp_path, "If")
    assert "no MatMul has a float weight of its own" in bench.refusal(kind, files, opTypes=["MatMul"])


@pytest.mark.parametrize("precision", ["FP16", "FP16Weights"])
def test_subgraphs_are_not_converted_and_find_what_they_read(precision: str, bench: Bench, tmp_path: Path) -> None:
    files = shared(tmp_path, "If")
    result = bench.apply("Convert", files, precision=precision)
    assert agreement(files.model, result) >= 0.98
    (branching,) = [node for node in onnx.load(result).graph.node if node.op_type == "If"]
    assert [node.op_type for node in branching.attribute[0].g.node] == ["MatMul"]


def test_what_is_stored_smaller_than_it_is_used_can_be_changed_again(thin: Files, bench: Bench) -> None:
    """A step after Convert and ClusterWeights works on the weights that their nodes compute."""
    clustered = replace(thin, model=bench.apply("ClusterWeights", thin, clusters=256))
    half = replace(thin, model=bench.apply("Convert", clustered, precision="FP16Weights"))
    result = bench.apply("PruneWeights", half, sparsityPercent=5)
    check_model(result)
    assert operators(result)["Gather"] == operators(result)["Cast"] == 0
    assert weights(result).keys() == weights(thin.model).keys()
    assert likeness(thin.model, result) >= 0.97
