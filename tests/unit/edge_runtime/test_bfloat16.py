"""A model whose input and output are BF16: compressed, tested and served."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edge_cli import main as cli
from edge_compressor.datasets.npz import load_dataset
from edge_compressor.models.onnx_model import check_model
from edge_runtime.datatypes import as_numbers, from_numbers
from edge_runtime.tuning import Tuning
from edgemodel.artifact import ArtifactManifest
from edgemodel.errors import Stalled
from inference_server.models.loading import PreparedModel, prepare, read_manifest

FEATURES, CLASSES = 6, 3
WEIGHTS = np.random.default_rng(0).standard_normal((FEATURES, CLASSES)).astype(np.float32)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    nodes = [
        helper.make_node("Cast", ["x"], ["wide"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["wide", "w"], ["scores"], name="head"),
        helper.make_node("Cast", ["scores"], ["y"], to=TensorProto.BFLOAT16),
    ]
    graph = helper.make_graph(
        nodes,
        "bfloat16",
        [helper.make_tensor_value_info("x", TensorProto.BFLOAT16, ["n", FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.BFLOAT16, ["n", CLASSES])],
        [numpy_helper.from_array(WEIGHTS, "w")],
    )
    path = tmp_path / "bfloat16.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


@pytest.fixture
def evaluation(tmp_path: Path) -> Path:
    x = np.random.default_rng(1).standard_normal((200, FEATURES)).astype(np.float32)
    rounded = as_numbers("BF16", from_numbers("BF16", x))
    path = tmp_path / "evaluation.npz"
    np.savez(path, x=x, label=(rounded @ WEIGHTS).argmax(axis=1))
    return path


def test_the_compressor_takes_it(model: Path, evaluation: Path, tmp_path: Path) -> None:
    checked = check_model(model)
    assert [tensor.datatype for tensor in (*checked.inputs, *checked.outputs)] == ["BF16", "BF16"]
    dataset = load_dataset(evaluation, checked, tmp_path / "arrays", what="evaluation set")
    assert dataset.inputs["x"].dtype == np.uint16


def test_a_data_set_may_hold_its_bits(model: Path, tmp_path: Path) -> None:
    bits = from_numbers("BF16", np.ones((4, FEATURES)))
    np.savez(tmp_path / "bits.npz", x=bits)
    dataset = load_dataset(tmp_path / "bits.npz", check_model(model), tmp_path / "arrays", what="evaluation set")
    np.testing.assert_array_equal(dataset.inputs["x"], bits)


def test_a_data_set_of_whole_numbers_is_refused(model: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "whole.npz", x=np.ones((4, FEATURES), np.int64))
    with pytest.raises(Stalled, match="wants floats, or the bits of bfloat16 as uint16"):
        load_dataset(tmp_path / "whole.npz", check_model(model), tmp_path / "arrays", what="evaluation set")


@pytest.mark.parametrize("labelled", [True, False])
def test_it_is_evaluated_and_every_node_repeats_its_golden_set(
    model: Path, evaluation: Path, tmp_path: Path, labelled: bool
) -> None:
    (tmp_path / "steps.json").write_text('[{"name": "int8", "type": "QuantizeDynamic"}]')
    if not labelled:
        np.savez(evaluation, x=np.load(evaluation)["x"])
    arguments = ["--source", model, "--steps", tmp_path / "steps.json", "--evaluation", evaluation]
    assert cli.main([str(one) for one in ("compress", *arguments, "--output", tmp_path / "out")]) == 0
    manifest = ArtifactManifest.decode((tmp_path / "out" / "manifest.json").read_bytes())
    assert manifest.golden is not None
    assert manifest.golden.agreement == ("Argmax" if labelled else "Close")
    found = manifest.evidence["evaluation"]
    assert (found["source"]["accuracy"] if labelled else 1.0) >= 0.97, found
    served = read_manifest(tmp_path / "out")
    assert isinstance(served, ArtifactManifest)
    prepared = prepare(tmp_path / "out", served, Tuning())
    assert isinstance(prepared, PreparedModel)
    assert prepared.golden is not None
    assert prepared.golden.agree == prepared.golden.items > 0
