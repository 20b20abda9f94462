from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from edge_compressor.steps.cluster_weights import cluster
from edge_oci.layers import packed_bytes
from tests.unit.edge_compressor import models
from tests.unit.edge_compressor.bench import Bench, operators, weights
from tests.unit.edge_compressor.models import Files


def restored(path: Path) -> dict[str, models.Array]:
    """Returns the weights that the graph computes from codebook and indices, by name."""
    stored = weights(path)
    return {
        name.removesuffix("_packed"): stored[name.replace("_packed", "_codebook")][values]
        for name, values in stored.items()
        if name.endswith("_packed")
    }


@pytest.mark.parametrize("clusters", [2, 16, 256])
def test_each_weight_keeps_so_many_values_at_most(clusters: int, thin: Files, bench: Bench) -> None:
    result = bench.apply("ClusterWeights", thin, clusters=clusters)
    made = restored(result)
    assert {"w_body", "w_dense", "w_gemm"} <= made.keys()
    assert all(len(np.unique(values)) <= clusters for values in made.values())
    assert bench.notes["clustered"] == len(made)
    assert result.stat().st_size < 0.3 * thin.model.stat().st_size


@pytest.mark.slow
def test_more_clusters_are_closer_and_fewer_are_smaller_to_transfer(thin: Files, bench: Bench) -> None:
    given = weights(thin.model)["w_body"]
    results = [bench.apply("ClusterWeights", thin, clusters=clusters) for clusters in (4, 16, 64, 256)]
    errors = [float(((restored(result)["w_body"] - given) ** 2).mean()) for result in results]
    sizes = [packed_bytes(result) for result in results]
    assert errors == sorted(errors, reverse=True)
    assert sizes == sorted(sizes)


def test_values_are_given_to_the_nearest_entry_which_is_the_mean_of_its_own() -> None:
    values = np.random.default_rng(0).standard_normal((40, 50)).astype(np.float32)
    codebook, indices = cluster(values, 8)
    nearest = np.abs(values[..., None].astype(float) - codebook).argmin(axis=-1)
    assert np.array_equal(indices, nearest)
    means = [values[indices == number].mean(dtype=float) for number in range(len(codebook))]
    np.testing.assert_allclose(codebook, means, atol=1e-6)


def test_values_that_are_few_are_kept_as_they_are() -> None:
    values = np.array([[0.5, -1.25, 0.0], [3.0, 0.5, 0.5]], dtype=np.float32)
    codebook, indices = cluster(values, 16)
    assert codebook.tolist() == [-1.25, 0.0, 0.5, 3.0]
    assert np.array_equal(codebook[indices], values)
    for constant in (np.zeros((2, 2), np.float32), np.full((2, 2), 7, np.float32)):
        codebook, indices = cluster(constant, 2)
        assert np.array_equal(codebook[indices], constant)


@pytest.mark.parametrize("clusters", [2, 8])
def test_zeros_stay_zeros(clusters: int, thin: Files, bench: Bench) -> None:
    pruned = replace(thin, model=bench.apply("PruneWeights", thin, sparsityPercent=60))
    given = weights(pruned.model)
    for name, values in restored(bench.apply("ClusterWeights", pruned, clusters=clusters)).items():
        assert not values[given[name] == 0].any(), name


def test_indices_are_looked_up_once_when_the_model_is_loaded(thin: Files, bench: Bench, tmp_path: Path) -> None:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "loaded.onnx")
    ort.InferenceSession(bench.apply("ClusterWeights", thin), options)
    loaded = operators(tmp_path / "loaded.onnx")
    assert loaded["Gather"] == loaded["Cast"] == 0


def test_weights_too_small_to_gain_stay_floats_and_alone_are_refused(residual: Files, bench: Bench) -> None:
    assert "w_stem" in weights(bench.apply("ClusterWeights", residual, clusters=256))
    message = bench.refusal("ClusterWeights", residual, opTypes=["Conv"], excludeNodes=[
        node.name for node in onnx.load(residual.model).graph.node if node.op_type == "Conv" and node.name != "stem"
    ])  # fmt: skip
    assert "nothing was clustered: none of 1 weights is large enough" in message


@pytest.mark.slow
def test_few_values_stay_few_when_they_are_quantized_with_one_scale(thin: Files, bench: Bench) -> None:
    clustered = replace(thin, model=bench.apply("ClusterWeights", thin, clusters=16))
    result = bench.apply("QuantizeStatic", clustered, perChannel=False)
    made = [values for values in weights(result).values() if values.dtype == np.int8 and values.size >= 1024]
    assert len(made) >= 5
    assert all(len(np.unique(values)) <= 16 for values in made)
    assert packed_bytes(result) < 0.95 * packed_bytes(bench.apply("QuantizeStatic", thin, perChannel=False))
