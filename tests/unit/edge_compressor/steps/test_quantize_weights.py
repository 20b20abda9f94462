"""QuantizeWeights on decoders and encoders: the kernels compute with what was stored, and answers stay close."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_compressor.models.weight_files import PAGE_BYTES
from edge_compressor.steps.quantize_weights import Blocks, quantize
from tests.support.chains import chain
from tests.support.decoders import TINY, Array, texts, write_decoder
from tests.unit.edge_compressor.bench import Bench
from tests.unit.edge_compressor.models import Files
from tests.unit.edge_compressor.normal_form.graphs import answers
from tests.unit.support.test_decoders import bits

FORMS = [(bits, symmetric) for bits in (4, 8) for symmetric in (False, True)]


def files(model: Path) -> Files:
    return Files(model, model.with_name("none"), model.with_name("none"))


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_decoder(tmp_path_factory.mktemp("tied") / "decoder", external=False)


def restored(blocks: Blocks, columns: int) -> Array:
    """Returns the floats that ``blocks`` stand for, (rows, columns)."""
    values = blocks.values
    if blocks.bits == 4:
        values = np.stack([values & 15, values >> 4], axis=-1).reshape(*values.shape[:2], -1)
    zeros = np.full(blocks.scales.shape, 2 ** (blocks.bits - 1)) if blocks.zeros is None else blocks.zeros
    floats = (values.astype(np.float32) - zeros[..., None]) * blocks.scales[..., None]
    return floats.reshape(len(values), -1)[:, :columns]


@pytest.mark.parametrize("columns", [96, 100])
@pytest.mark.parametrize(("bits", "symmetric"), FORMS)
def test_a_weight_is_off_by_half_a_step_of_its_block_at_most(bits: int, symmetric: bool, columns: int) -> None:
    weight = np.random.default_rng(1).standard_normal((40, columns)).astype(np.float32)
    weight[3], weight[4] = 0, 1
    blocks = quantize(weight, bits, 32, symmetric=symmetric)
    step = np.repeat(np.abs(blocks.scales), 32, axis=1)[:, :columns]
    off = np.abs(restored(blocks, columns) - weight)
    slack = (
        1.0 if symmetric or bits == 4 else 0.5
    )  # the last step of a symmetric range, and a zero point that is rounded
    assert (off <= slack * step + 1e-6).all()
    assert not restored(blocks, columns)[3].any()


@pytest.mark.parametrize(("bits", "symmetric"), FORMS)
@pytest.mark.parametrize("kind", ["MatMul", "Gemm", "transposed Gemm", "Gemm with a full bias"])
def test_a_product_multiplies_what_is_stored(
    tmp_path: Path, bench: Bench, bits: int, symmetric: bool, kind: str
) -> None:
    weight = np.random.default_rng(1).standard_normal((96, 48)).astype(np.float32)
    bias = np.random.default_rng(2).standard_normal((1, 48) if "full" in kind else 48).astype(np.float32)
    stored = weight.T.copy() if kind.startswith("transposed") else weight
    inputs = ["x", "w"] if kind == "MatMul" else ["x", "w", "b"]
    attributes = {"transB": 1} if kind.startswith("transposed") else {}
    node = helper.make_node(kind.removeprefix("transposed ").split()[0], inputs, ["y"], name="product", **attributes)
    path = save(tmp_path, [node], {"w": stored, "b": bias}, ["rows", 96], ["rows", 48])
    result = bench.apply("QuantizeWeights", files(path), bits=bits, headBits=bits, symmetric=symmetric)
    x = np.random.default_rng(3).standard_normal((5, 96)).astype(np.float32)
    (got,) = answers(onnx.load(result), {"x": x})
    right = x @ restored(quantize(weight.T, bits, 32, symmetric=symmetric), 96).T
    right = right if kind == "MatMul" else right + bias
    assert np.abs(got - right).max() < 0.02 * np.abs(right).max()  # the input is rounded to int8, block by block


@pytest.mark.parametrize(("bits", "symmetric"), FORMS)
def test_a_table_looks_up_what_is_stored(tmp_path: Path, bench: Bench, bits: int, symmetric: bool) -> None:
    table = np.random.default_rng(1).standard_normal((1100, 64)).astype(np.float32)
    node = helper.make_node("Gather", ["t", "x"], ["y"], name="table")
    path = save(tmp_path, [node], {"t": table}, ["rows"], ["rows", 64], kind=TensorProto.INT64)
    result = bench.apply("QuantizeWeights", files(path), headBits=bits, symmetric=symmetric)
    x = np.array([0, 5, 1099, 7])
    (got,) = answers(onnx.load(result), {"x": x})
    np.testing.assert_allclose(got, restored(quantize(table, bits, 32, symmetric=symmetric), 64)[x], atol=1e-6)
    assert result.stat().st_size < (0.4 if bits == 8 else 0.25) * path.stat().st_size


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("head_bits", [4, 8])
def test_a_tied_table_is_stored_once(tied: Path, bench: Bench, symmetric: bool, head_bits: int) -> None:
    result = bench.apply("QuantizeWeights", files(tied / "model.onnx"), headBits=head_bits, symmetric=symmetric)
    stored = onnx.load(result).graph.initializer
    vocabulary = TINY.vocabulary
    assert sum(vocabulary in tensor.dims and len(tensor.raw_data) > vocabulary * 30 for tensor in stored) == 1
    assert bench.notes["weights"]["tableIsHead"]


def test_a_head_of_its_own_is_not_shared(tmp_path: Path, bench: Bench) -> None:
    folder = write_decoder(tmp_path / "decoder", tied=False, external=False)
    bench.apply("QuantizeWeights", files(folder / "model.onnx"))
    assert not bench.notes["weights"]["tableIsHead"]


def test_fewer_bits_cost_more_and_wide_nodes_cost_less(tied: Path, tmp_path: Path, bench: Bench) -> None:
    own = texts(tied, 24, 32)

    def lost(**settings: Any) -> float:
        result = bench.apply("QuantizeWeights", files(tied / "model.onnx"), **settings)
        return bits(result.parent, own) - bits(tied, own)

    eight, four = lost(), lost(bits=4)
    mixed = lost(bits=4, wideNodes=["qkv_proj", "down_proj"])
    assert abs(eight) < 0.02 < mixed < four < 1
    assert lost(bits=4, excludeNodes=["/model/layers.0/mlp/gate_proj/MatMul"]) < four


def test_weights_outside_stay_outside_and_are_aligned(tmp_path: Path, bench: Bench) -> None:
    folder = write_decoder(tmp_path / "decoder")
    inside = bench.apply("QuantizeWeights", files(write_decoder(tmp_path / "one", external=False) / "model.onnx"))
    step = bench.step("QuantizeWeights", files(folder / "model.onnx")).parent
    graph = onnx.load(step / "model.onnx", load_external_data=False).graph
    places = [{entry.key: entry.value for entry in tensor.external_data} for tensor in graph.initializer]
    outside = [place for place in places if place]
    assert outside
    assert {place["location"] for place in outside} == {"model.onnx.data"}
    assert all(int(place["offset"]) % PAGE_BYTES == 0 for place in outside)
    own = texts(folder, 8, 16)
    assert bits(step, own) == pytest.approx(bits(inside.parent, own), abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"wideNodes": ["qkv", "nowhere"]}, "wideNodes 'nowhere' are part of no name of a product; products are "),
        ({"excludeNodes": ["nowhere"]}, "excludeNodes 'nowhere' match no node"),
        ({"bits": 3}, "quantizeWeights.bits is 3, want 4 or 8"),
        ({"blockSize": 48}, "quantizeWeights.blockSize is 48, want 16, 32, 64, 128 or 256"),
    ],
)
def test_a_wrong_setting_is_named(tied: Path, bench: Bench, settings: dict[str, Any], said: str) -> None:
    assert said in bench.refusal("QuantizeWeights", files(tied / "model.onnx"), **settings)


def test_a_quantized_model_and_one_without_weights_are_refused(tied: Path, tmp_path: Path, bench: Bench) -> None:
    once = bench.apply("QuantizeWeights", files(tied / "model.onnx"))
    assert "the model is quantized already" in bench.refusal("QuantizeWeights", files(once))
    path = save(tmp_path, [helper.make_node("Relu", ["x"], ["y"], name="relu")], {}, ["rows", 4], ["rows", 4])
    assert "nothing was quantized" in bench.refusal("QuantizeWeights", files(path))


def test_a_weight_that_is_not_finite_stays_as_it_is(tmp_path: Path, bench: Bench) -> None:
    weights = {"w": np.ones((64, 64), np.float32), "v": np.ones((64, 64), np.float32)}
    weights["w"][1, 1] = np.inf
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="first"),
        helper.make_node("MatMul", ["h", "v"], ["y"], name="second"),
    ]
    result = bench.apply("QuantizeWeights", files(save(tmp_path, nodes, weights, ["rows", 64], ["rows", 64])))
    assert [node.op_type for node in onnx.load(result).graph.node] == ["MatMul", "MatMulNBits"]
    assert "first: left in float: its weight 'w' holds NaN or infinite values" in bench.notes["changes"]


@pytest.mark.slow
def test_weights_are_quantized_one_after_the_other(tmp_path: Path) -> None:
    """Peak memory, beyond that of a process without a model, is a fraction of the 336 MB of weights."""
    source, empty = chain(tmp_path / "source", 42), chain(tmp_path / "one", 1)
    grown = peak_bytes(source, tmp_path / "result") - peak_bytes(empty, tmp_path / "nothing")
    weights = source.with_name("model.onnx.data").stat().st_size
    assert weights > 330e6
    assert grown < 0.35 * weights
    made = (tmp_path / "result" / "model.onnx.data").stat().st_size
    assert 0.15 * weights < made < 0.3 * weights


PEAK = """
import resource, sys
from pathlib import Path
from edge_compressor.progress import Progress
from edge_compressor.steps import StepContext, plan
(step,) = plan([{"name": "one", "type": "QuantizeWeights", "quantizeWeights": {"bits": 4, "headBits": 4}}])
step.step.apply["ONNX"](Path(sys.argv[1]), step.settings, StepContext("one", Path(sys.argv[2]), None, Progress()))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def peak_bytes(model: Path, folder: Path) -> int:
    """Returns the largest resident memory of a process that quantizes ``model`` into ``folder``."""
    folder.mkdir()
    command = [sys.executable, "-c", PEAK, str(model), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)


def save(
    folder: Path,
    nodes: list[onnx.NodeProto],
    stored: dict[str, Array],
    given: list[Any],
    answered: list[Any],
    kind: int = TensorProto.FLOAT,
) -> Path:
    read = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, given)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, answered)],
        [numpy_helper.from_array(array, name) for name, array in stored.items() if name in read],
    )
    path = folder / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path
