from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_compressor.models.magnitudes import share_out, smallest
from edge_oci.layers import packed_bytes
from tests.unit.edge_compressor import models
from tests.unit.edge_compressor.bench import Bench, agreement, weights, zeros
from tests.unit.edge_compressor.models import Array, Files


def sparsity(values: Array) -> float:
    return float((values == 0).mean())


@pytest.mark.parametrize("scope", ["Local", "Global"])
@pytest.mark.parametrize("percent", [1, 50, 80, 99])
def test_the_share_of_zeros_is_the_requested_one(scope: str, percent: int, residual: Files, bench: Bench) -> None:
    result = bench.apply("PruneWeights", residual, scope=scope, sparsityPercent=percent)
    assert zeros(result) == pytest.approx(percent / 100, abs=0.01)
    assert bench.notes["zeros"]["before"] == 0
    assert bench.notes["zeros"]["after"] / bench.notes["zeros"]["weights"] == pytest.approx(zeros(result))


def test_the_smallest_go_and_the_others_stay_bit_for_bit(perceptron: Files, bench: Bench) -> None:
    before, after = weights(perceptron.model), weights(bench.apply("PruneWeights", perceptron, sparsityPercent=40))
    for name in ("w1", "w_head"):
        gone = after[name] == 0
        assert np.abs(before[name][gone]).max() <= np.abs(before[name][~gone]).min()
        assert np.array_equal(after[name][~gone], before[name][~gone])
    assert np.array_equal(before["b1"], after["b1"])


def test_local_prunes_each_layer_alike_and_global_those_of_small_weights_more(residual: Files, bench: Bench) -> None:
    local = weights(bench.apply("PruneWeights", residual, sparsityPercent=50, scope="Local"))
    shared = weights(bench.apply("PruneWeights", residual, sparsityPercent=50, scope="Global"))
    names = [name for name, values in local.items() if values.ndim > 1]
    assert all(sparsity(local[name]) == pytest.approx(0.5, abs=0.01) for name in names)
    assert sparsity(shared["w_stem"]) < 0.3 < 0.5 < sparsity(shared["w_b1"])


def test_no_layer_is_emptied_by_a_threshold_over_all() -> None:
    random = np.random.default_rng(0)
    tiny, large = random.random(1000) * 1e-3, random.random(3000) + 1
    counts = share_out([tiny, large], 80, together=True)
    assert counts == [900, 2300]  # the first keeps half of the 200 that an even share would leave
    assert share_out([tiny, large], 80, together=False) == [800, 2400]


def test_exactly_the_requested_number_of_equal_weights_is_removed() -> None:
    chosen = smallest(np.array([[2.0, 1.0, 1.0], [1.0, 3.0, 0.5]]), 3)
    assert chosen.tolist() == [[False, True, True], [False, False, True]]
    assert not smallest(np.ones(3), 0).any()


def test_a_model_that_is_as_sparse_already_is_refused(residual: Files, bench: Bench) -> None:
    pruned = replace(residual, model=bench.apply("PruneWeights", residual, sparsityPercent=60))
    message = bench.refusal("PruneWeights", pruned, sparsityPercent=50)
    assert "nothing was pruned: 59.9 % of 3096 weights are zero already, and sparsityPercent is 50" in message


def test_a_pruned_model_stays_sparse_when_it_is_quantized_and_is_small_to_transfer(
    residual: Files, bench: Bench
) -> None:
    pruned = replace(residual, model=bench.apply("PruneWeights", residual, sparsityPercent=80))
    sparse, dense = bench.apply("QuantizeStatic", pruned), bench.apply("QuantizeStatic", residual)
    assert agreement(pruned.model, sparse) >= 0.9
    assert zeros(sparse) >= 0.79 > 0.1 > zeros(dense)
    assert packed_bytes(sparse) < 0.75 * packed_bytes(dense)


def test_embeddings_are_pruned_when_they_are_named(bench: Bench, tmp_path: Path) -> None:
    net = models.Builder()
    table = net.weight("w_table", 32, 16)
    first = net.node("ArgMax", ["x"], "first_out", axis=1, keepdims=0)
    net.node("MatMul", [net.node("Gather", [table, first], "lookup_out"), net.weight("w_head", 16, 10)], "y")
    model = net.save(tmp_path / "embedding.onnx", [32])
    files = Files(model, models.write_calibration(tmp_path / "c.npz", model), tmp_path)
    assert sparsity(weights(bench.apply("PruneWeights", files))["w_table"]) == 0
    named = weights(bench.apply("PruneWeights", files, opTypes=["Gather"], sparsityPercent=50))
    assert sparsity(named["w_table"]) == 0.5
    assert sparsity(named["w_head"]) == 0
