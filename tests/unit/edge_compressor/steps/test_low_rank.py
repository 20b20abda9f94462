from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.unit.edge_compressor import models
from tests.unit.edge_compressor.bench import Bench, distance, operators, weights
from tests.unit.edge_compressor.models import Array, Files


def files(model: Path) -> Files:
    return Files(model, models.write_calibration(model.with_suffix(".npz"), model), model)


def nodes(path: Path) -> list[str]:
    return [node.name for node in onnx.load(path).graph.node]


def test_weights_of_low_rank_become_products_with_the_same_answers(thin: Files, bench: Bench) -> None:
    result = bench.apply("LowRank", thin, energyPercent="99.9999")
    assert bench.notes["factorised"].keys() == {"body", "down", "point", "dense", "gemm"}
    assert all(share < 0.6 for share in bench.notes["factorised"].values())
    assert distance(thin.model, result) < 1e-3
    assert result.stat().st_size < 0.4 * thin.model.stat().st_size
    assert not {"w_body", "w_down", "w_point", "w_dense", "w_gemm"} & weights(result).keys()


def test_a_kernel_becomes_three_convolutions_and_a_pointwise_one_two(thin: Files, bench: Bench) -> None:
    result = bench.apply("LowRank", thin, energyPercent="99.9999", opTypes=["Conv"])
    made = nodes(result)
    assert [name for name in made if name.startswith("body")] == ["body_thin0", "body_thin1", "body"]
    assert [name for name in made if name.startswith("point")] == ["point_thin0", "point"]
    shapes = {name: values.shape for name, values in weights(result).items()}
    assert shapes["w_body_factor0"] == (16, 64, 1, 1)
    assert shapes["w_body_factor1"] == (16, 16, 3, 3)
    assert shapes["w_body_factor2"] == (64, 16, 1, 1)


def test_grouped_convolutions_and_what_would_not_multiply_less_are_left_alone(thin: Files, bench: Bench) -> None:
    given, made = weights(thin.model), weights(bench.apply("LowRank", thin, energyPercent="99.9999"))
    for name in ("w_stem", "w_depth", "w_head"):
        assert np.array_equal(given[name], made[name]), name


@pytest.mark.parametrize("kind", ["residual", "perceptron"])
def test_a_model_without_anything_to_save_is_refused(kind: str, bench: Bench, request: pytest.FixtureRequest) -> None:
    message = bench.refusal("LowRank", request.getfixturevalue(kind), energyPercent="99")
    assert "nothing was factorised: none of" in message
    assert "lower energyPercent or rankPercent" in message


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("shape", [(48, 96), (96, 48)])
def test_a_matrix_is_cut_to_the_best_of_its_rank(
    shape: tuple[int, int], transposed: int, bench: Bench, tmp_path: Path
) -> None:
    """By Eckart and Young 1936, no matrix of that rank is closer than the truncated singular value decomposition."""
    net = models.Builder()
    matrix = net.weight("w", *(shape[::-1] if transposed else shape))
    net.node("Gemm", ["x", matrix, net.weight("b", shape[1])], "y", name="one", transB=transposed, alpha=2.0, beta=3.0)
    model = net.save(tmp_path / "one.onnx", [shape[0]], classes=shape[1])
    result = bench.apply("LowRank", files(model), rankPercent=30)
    u, s, vt = np.linalg.svd(weights(model)["w"].astype(float), full_matrices=False)
    best = (u[:, :16] * s[:16]) @ vt[:16]
    x = models.inputs_for(model, 20)
    bias = weights(model)["b"]
    expected = 2 * x @ (best.T if transposed else best) + 3 * bias
    np.testing.assert_allclose(models.answers(result, x), expected, atol=1e-4)


@pytest.mark.slow
def test_more_energy_is_more_exact_and_larger(bench: Bench, tmp_path: Path) -> None:
    model = models.perceptron(tmp_path / "p.onnx", features=128, hidden=128)
    results = [bench.apply("LowRank", files(model), energyPercent=percent) for percent in ("30", "50", "70")]
    sizes = [result.stat().st_size for result in results]
    distances = [distance(model, result) for result in results]
    assert sizes == sorted(set(sizes))
    assert distances == sorted(set(distances), reverse=True)


def conv_net(path: Path, *, shape: tuple[int, ...], **attributes: Any) -> Path:
    """Writes one Conv of rank 16 between 64 channels, over inputs of any number of dimensions; then a mean and a
    head."""
    net = models.Builder()
    window = tuple(attributes.pop("window"))
    weight = net.thin_weight("w", 16, 64, 64, *window)
    current = net.node("Conv", ["x", weight, net.weight("b", 64)], "conv_out", **attributes)
    current = net.node("Flatten", [net.node("GlobalAveragePool", [current], "mean_out")], "flat")
    net.node("Gemm", [current, net.weight("w_head", 64, 10)], "y", name="head")
    return net.save(path, [64, *shape])


@pytest.mark.parametrize(
    ("shape", "attributes"),
    [
        ((9, 9), {"window": (3, 3), "strides": [2, 1], "pads": [0, 1, 2, 1], "dilations": [2, 1]}),
        ((9, 9), {"window": (3, 3), "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
        ((9, 9), {"window": (1, 1), "strides": [2, 2], "pads": [1, 1, 1, 1]}),
        ((20,), {"window": (5,), "pads": [2, 2]}),
        ((4, 5, 6), {"window": (3, 3, 3), "pads": [1] * 6}),
        (("h", "w"), {"window": (3, 3), "pads": [1] * 4}),
    ],
)
@pytest.mark.slow
def test_strides_padding_and_dilation_of_any_convolution_are_kept(
    shape: tuple[Any, ...], attributes: dict[str, Any], bench: Bench, tmp_path: Path
) -> None:
    model = conv_net(tmp_path / "conv.onnx", shape=shape, **attributes)
    x: Array = np.random.default_rng(5).standard_normal((3, 64, *(s if isinstance(s, int) else 7 for s in shape)))
    np.savez(tmp_path / "c.npz", x=x.astype(np.float32))
    result = bench.apply("LowRank", Files(model, tmp_path / "c.npz", model), energyPercent="99.9999")
    assert operators(result)["Conv"] >= 2
    first, second = (models.answers(path, x.astype(np.float32)) for path in (model, result))
    np.testing.assert_allclose(first, second, atol=1e-3)


@pytest.mark.slow
def test_thin_nets_are_quantized_by_every_factor(thin: Files, bench: Bench) -> None:
    lean = replace(thin, model=bench.apply("LowRank", thin, energyPercent="99.9999"))
    dynamic = bench.apply("QuantizeDynamic", lean)
    assert operators(dynamic)["MatMulInteger"] == 5  # two of dense, two of gemm, head
    static = weights(bench.apply("QuantizeStatic", lean))
    assert not [name for name, values in static.items() if values.ndim > 1 and values.dtype == np.float32]
