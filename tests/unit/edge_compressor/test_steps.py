from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnxruntime.quantization.shape_inference import quant_pre_process

from edge_compressor.models.onnx_model import check_model
from edge_compressor.steps import plan
from edgemodel import reasons
from edgemodel.digest import digest_of_file
from edgemodel.errors import Stalled
from tests.unit.edge_compressor import models
from tests.unit.edge_compressor.bench import Bench, agreement, operators, weights_by_type
from tests.unit.edge_compressor.conftest import Files


@pytest.mark.parametrize("kind", ["CleanGraph", "QuantizeStatic", "QuantizeDynamic"])
def test_a_step_leaves_its_input_alone_and_keeps_the_answers(kind: str, perceptron: Files, bench: Bench) -> None:
    before = digest_of_file(perceptron.model)
    result = bench.apply(kind, perceptron)
    assert digest_of_file(perceptron.model) == before
    check_model(result)
    assert agreement(perceptron.model, result) >= 0.95


@pytest.mark.parametrize("kind", ["CleanGraph", "QuantizeStatic", "QuantizeDynamic"])
def test_a_step_makes_the_same_bytes_again(kind: str, perceptron: Files, bench: Bench) -> None:
    assert digest_of_file(bench.apply(kind, perceptron)) == digest_of_file(bench.apply(kind, perceptron))


def test_clean_graph_fuses_and_drops_the_notes_of_the_exporter(residual: Files, bench: Bench, tmp_path: Path) -> None:
    def annotate(model: onnx.ModelProto) -> None:
        model.graph.node[0].doc_string = "File net.py, line 1 " * 500
        model.metadata_props.add(key="exporter", value="notes " * 500)
        model.graph.node[1].metadata_props.add(key="trace", value="notes " * 500)

    noisy = models.edited(residual.model, tmp_path / "noisy.onnx", annotate)
    result = bench.apply("CleanGraph", Files(noisy, residual.calibration, residual.evaluation))
    assert operators(result)["BatchNormalization"] == 0
    assert result.stat().st_size < residual.model.stat().st_size
    assert agreement(residual.model, result) == 1.0


def test_static_quantization_covers_residual_additions_too(residual: Files, bench: Bench) -> None:
    result = bench.apply("QuantizeStatic", residual)
    graph = onnx.load(result).graph
    makers = {output: node.op_type for node in graph.node for output in node.output}
    for node in graph.node:
        if node.op_type in ("Add", "Conv", "Gemm"):
            assert makers[node.input[0]] == "DequantizeLinear", node.name
    assert weights_by_type(result).keys() == {onnx.TensorProto.INT8}
    assert result.stat().st_size < residual.model.stat().st_size
    assert agreement(residual.model, result) >= 0.95


def test_reduced_range_keeps_weights_to_seven_bits_and_activations_are_unsigned(residual: Files, bench: Bench) -> None:
    def largest(path: Path) -> int:
        weights = [
            t for t in onnx.load(path).graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) > 1
        ]
        return max(int(np.abs(onnx.numpy_helper.to_array(weight).astype(int)).max()) for weight in weights)

    assert largest(bench.apply("QuantizeStatic", residual)) <= 64
    assert largest(bench.apply("QuantizeStatic", residual, reduceRange=False)) > 64
    zero_points = onnx.load(bench.apply("QuantizeStatic", residual)).graph.initializer
    assert any(t.data_type == onnx.TensorProto.UINT8 and t.name.endswith("_zero_point") for t in zero_points)


@pytest.mark.parametrize("method", ["MinMax", "Entropy", "Percentile"])
def test_every_calibration_method_gives_a_model_that_answers_alike(method: str, residual: Files, bench: Bench) -> None:
    result = bench.apply("QuantizeStatic", residual, calibrationMethod=method, calibrationSamples=24)
    assert agreement(residual.model, result) >= 0.9


@pytest.mark.parametrize("method", ["MinMax", "Entropy", "Percentile"])
def test_a_product_of_values_whose_type_is_unknown_is_nothing_to_quantize(
    method: str, tmp_path: Path, bench: Bench
) -> None:
    net = models.Builder()
    net.node("Scaler", ["x"], "scaled", domain="ai.onnx.ml", offset=[0.1] * 8, scale=[1.0] * 8)
    net.node("MatMul", ["scaled", net.weight("w", 8, 10)], "product")
    net.node("Scaler", ["product"], "y", domain="ai.onnx.ml", offset=[0.1] * 10, scale=[1.0] * 10)
    model = net.save(tmp_path / "scaled.onnx", [8])
    proto = onnx.load(model)
    proto.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", 3))
    onnx.save(proto, model)
    np.savez(tmp_path / "c.npz", x=np.ones((40, 8), np.float32))
    message = bench.refusal("QuantizeStatic", Files(model, tmp_path / "c.npz", model), calibrationMethod=method)
    assert "nothing was quantized: no operator that can be is left" in message


def test_named_operator_types_are_quantized_and_no_others(residual: Files, bench: Bench) -> None:
    graph = onnx.load(bench.apply("QuantizeStatic", residual, opTypes=["Conv"])).graph
    kept = {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT}
    assert "w_head" in kept
    assert not any(name.startswith("w_a") for name in kept)


def test_an_excluded_node_stays_float_even_when_it_is_fused_under_another_name(residual: Files, bench: Bench) -> None:
    """The node norm0 is folded into conv_a0 before quantization; excluding either excludes the remaining
    convolution."""
    for name in ("norm0", "conv_a0"):
        result = bench.apply("QuantizeStatic", residual, excludeNodes=[name])
        assert weights_by_type(result)[onnx.TensorProto.FLOAT] == 1, name


def test_an_excluded_gemm_stays_float_in_dynamic_quantization(perceptron: Files, bench: Bench) -> None:
    assert operators(bench.apply("QuantizeDynamic", perceptron))["MatMulInteger"] == 2
    assert operators(bench.apply("QuantizeDynamic", perceptron, excludeNodes=["head"]))["MatMulInteger"] == 1


def test_dynamic_quantization_leaves_convolutions_alone_unless_they_are_named(residual: Files, bench: Bench) -> None:
    assert operators(bench.apply("QuantizeDynamic", residual))["ConvInteger"] == 0
    assert operators(bench.apply("QuantizeDynamic", residual, opTypes=["Conv"]))["ConvInteger"] == 5


def matmul_net(path: Path) -> Path:
    """Writes MatMul + Add (which onnxruntime fuses to a Gemm with a bias of two dimensions), Relu, Gemm."""
    net = models.Builder()
    product = net.node("MatMul", ["x", net.weight("w1", 16, 32)], "product_out")
    hidden = net.node("Relu", [net.node("Add", [product, net.weight("b1", 1, 32)], "sum_out")], "hidden_out")
    net.node("Gemm", [hidden, net.weight("w_head", 32, 10), net.weight("b_head", 10)], "y", name="head")
    return net.save(path, [16])


def test_a_product_that_is_fused_to_a_gemm_is_quantized_as_the_product_it_was(bench: Bench, tmp_path: Path) -> None:
    model = matmul_net(tmp_path / "matmul.onnx")
    files = Files(model, models.write_calibration(tmp_path / "c.npz", model), tmp_path)
    assert weights_by_type(bench.apply("QuantizeStatic", files)) == {onnx.TensorProto.INT8: 2}
    result = bench.apply("QuantizeStatic", files, opTypes=["MatMul"])
    kept = {tensor.name for tensor in onnx.load(result).graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT}
    assert "w_head" in kept
    assert "w1" not in kept


def test_models_older_than_scales_with_an_axis_are_lifted_to_them(
    perceptron: Files, bench: Bench, tmp_path: Path
) -> None:
    def age(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = 11

    models.edited(perceptron.model, tmp_path / "old.onnx", age)
    result = bench.apply("QuantizeStatic", Files(tmp_path / "old.onnx", perceptron.calibration, perceptron.evaluation))
    check_model(result)
    assert agreement(perceptron.model, result) >= 0.95


def test_nothing_is_left_in_the_current_directory_when_shapes_cannot_be_inferred(
    residual: Files, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If onnxruntime's symbolic inference gives up, it leaves the model in the current directory."""

    def gives_up(given: Path, prepared: Path, *, skip_symbolic_shape: bool) -> None:
        if not skip_symbolic_shape:
            Path("sym_shape_infer_temp.onnx").write_bytes(b"")
            raise Exception("Incomplete symbolic shape inference")
        quant_pre_process(given, prepared, skip_symbolic_shape=True)

    monkeypatch.setattr("edge_compressor.steps.quantize_static.quant_pre_process", gives_up)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    result = bench.apply("QuantizeStatic", residual)
    assert agreement(residual.model, result) >= 0.95
    assert list((tmp_path / "here").iterdir()) == []
    assert [file.name for file in result.parent.iterdir()] == ["static.onnx"]


def test_nameless_nodes_are_accepted(residual: Files, bench: Bench, tmp_path: Path) -> None:
    def unname(model: onnx.ModelProto) -> None:
        for node in model.graph.node:
            node.name = ""

    nameless = Files(
        models.edited(residual.model, tmp_path / "n.onnx", unname), residual.calibration, residual.evaluation
    )
    assert agreement(residual.model, bench.apply("QuantizeStatic", nameless)) >= 0.95


@pytest.mark.parametrize("kind", ["QuantizeDynamic", "QuantizeStatic"])
def test_weights_that_the_exporter_wrote_as_nodes_are_quantized(
    kind: str, perceptron: Files, bench: Bench, tmp_path: Path
) -> None:
    def weights_as_nodes(model: onnx.ModelProto) -> None:
        tensors = list(model.graph.initializer)
        nodes = list(model.graph.node)
        del model.graph.initializer[:], model.graph.node[:]
        model.graph.node.extend(onnx.helper.make_node("Constant", [], [t.name], value=t) for t in tensors)
        model.graph.node.extend(nodes)

    edited = models.edited(perceptron.model, tmp_path / "n.onnx", weights_as_nodes)
    result = bench.apply(kind, Files(edited, perceptron.calibration, perceptron.evaluation))
    assert agreement(perceptron.model, result) >= 0.95
    assert weights_by_type(result)[onnx.TensorProto.INT8] >= 2


def test_a_fixed_batch_is_calibrated_too(tmp_path: Path, bench: Bench) -> None:
    model = models.residual_net(tmp_path / "one.onnx", batch=1)
    files = Files(model, models.write_calibration(tmp_path / "c.npz", model, 10), tmp_path)
    assert agreement(model, bench.apply("QuantizeStatic", files)) >= 0.9


@pytest.mark.parametrize("kind", ["QuantizeStatic", "QuantizeDynamic"])
def test_an_unknown_node_name_is_refused_with_the_names_there_are(kind: str, perceptron: Files, bench: Bench) -> None:
    message = bench.refusal(kind, perceptron, excludeNodes=["heed"])
    assert "'heed' match no node; the nodes are head, hidden, relu: correct excludeNodes" in message


@pytest.mark.parametrize("kind", ["QuantizeStatic", "QuantizeDynamic"])
def test_an_operator_type_that_matches_nothing_is_refused(kind: str, perceptron: Files, bench: Bench) -> None:
    message = bench.refusal(kind, perceptron, opTypes=["Conv", "Gemm"])
    assert "opTypes Conv match no node; the model has Gemm, Relu: take them out" in message


@pytest.mark.parametrize("kind", ["QuantizeStatic", "QuantizeDynamic"])
def test_an_operator_type_that_cannot_be_quantized_is_refused(kind: str, perceptron: Files, bench: Bench) -> None:
    assert "opTypes Erf cannot be quantized" in bench.refusal(kind, perceptron, opTypes=["Erf"])


@pytest.mark.parametrize("kind", ["QuantizeStatic", "QuantizeDynamic"])
def test_a_step_that_changes_nothing_is_a_failure_not_a_success(kind: str, perceptron: Files, bench: Bench) -> None:
    message = bench.refusal(kind, perceptron, opTypes=["Gemm"], excludeNodes=["head", "hidden"])
    assert "nothing was quantized" in message


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        ([{"name": "a", "type": "Shrink"}], "type 'Shrink' does not exist; types are Auto, CleanGraph, PruneChannels"),
        ([{"name": "a", "type": "CleanGraph"}] * 2, "this name is there twice"),
        ([{"name": "a", "type": "CleanGraph", "quantizeStatic": {}}], "quantizeStatic does not belong"),
        (
            [{"name": "a", "type": "CleanGraph", "cleanGraph": {"hard": True}}],
            "no setting hard; its settings are: none",
        ),
        (
            [{"name": "a", "type": "QuantizeStatic", "quantizeStatic": {"samples": 3}}],
            "no setting samples; its settings are: calibrationMethod, calibrationSamples",
        ),
        (
            [{"name": "a", "type": "QuantizeStatic", "quantizeStatic": {"calibrationSamples": 0}}],
            "calibrationSamples is 0, want a whole number of 8 to 100000",
        ),
        ([{"name": "a", "type": "QuantizeDynamic", "quantizeDynamic": {"perChannel": "yes"}}], "want true or false"),
        ([{"name": "a", "type": "QuantizeDynamic", "quantizeDynamic": {"opTypes": "Conv"}}], "want a list of texts"),
    ],
)
def test_a_recipe_with_a_mistake_is_refused_before_anything_is_fetched(steps: list[dict[str, Any]], told: str) -> None:
    with pytest.raises(Stalled, match="step a: ") as caught:
        plan(steps)
    assert caught.value.reason == reasons.STEP_FAILED
    assert told in caught.value.message


@pytest.mark.parametrize("count", [1, 7])
def test_a_calibration_set_of_hardly_any_samples_is_refused(
    count: int, perceptron: Files, bench: Bench, tmp_path: Path
) -> None:
    few = Files(perceptron.model, models.write_calibration(tmp_path / "few.npz", perceptron.model, count), tmp_path)
    message = bench.refusal("QuantizeStatic", few)
    assert f"calibration set: {count} of at least 8 samples" in message


def test_an_unknown_calibration_method_is_refused(perceptron: Files, bench: Bench) -> None:
    message = bench.refusal("QuantizeStatic", perceptron, calibrationMethod="Median")
    assert "calibrationMethod is 'Median', want MinMax, Entropy or Percentile" in message


def test_settings_are_resolved_with_every_default() -> None:
    (step,) = plan([{"name": "a", "type": "QuantizeStatic", "quantizeStatic": {"calibrationSamples": 8}}])
    assert step.to_json() == {
        "name": "a",
        "type": "QuantizeStatic",
        "settings": {
            "calibrationSamples": 8,
            "calibrationMethod": "MinMax",
            "opTypes": [],
            "excludeNodes": [],
            "perChannel": True,
            "reduceRange": True,
        },
    }
