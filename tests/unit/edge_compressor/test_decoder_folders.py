"""A folder with a decoder, from the source to the artifact's folder: quantized, judged by texts, tested by tokens."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml

from edge_runtime.loading import load_model
from edge_runtime.tuning import Tuning
from edgemodel.artifact import ONNX_RUNTIME, ArtifactManifest
from edgemodel.errors import Stalled
from inference_server.models.selftest import run_golden
from tests.support.decoders import TINY, texts, write_decoder
from tests.unit.edge_cli.commands import run

LIMITS = {"maxPerplexityIncreasePercent": "5", "minAgreementPercent": "90"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_decoder(tmp_path_factory.mktemp("source") / "decoder", open_heads=True)


@pytest.fixture(scope="module")
def prose(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prose") / "prose.npz"
    np.savez(path, allow_pickle=False, input_ids=texts(source, 80, 32))
    return path


def compress(folder: Path, source: Path, *steps: dict[str, Any], evaluation: Path | None = None, **limits: str) -> int:
    """Returns the exit code of ``edgemodel compress``, whose output is in ``folder / "out"``."""
    (folder / "steps.yaml").write_text(yaml.safe_dump(list(steps)))
    options = [f"--budget={key}={value}" for key, value in limits.items()]
    options += [] if evaluation is None else [f"--evaluation={evaluation}"]
    return run(
        "compress", f"--source={source}", f"--steps={folder / 'steps.yaml'}", f"--output={folder / 'out'}", *options
    )


def manifest_of(folder: Path) -> ArtifactManifest:
    return ArtifactManifest.decode((folder / "out" / "manifest.json").read_bytes())


def quantize(**settings: Any) -> dict[str, Any]:
    return {"name": "weights", "type": "QuantizeWeights", "quantizeWeights": settings}


def test_a_folder_is_quantized_judged_and_keeps_its_tokenizer(source: Path, prose: Path, tmp_path: Path) -> None:
    assert compress(tmp_path, source, quantize(), evaluation=prose, **LIMITS) == 0
    out, manifest = tmp_path / "out", manifest_of(tmp_path)
    assert {"tokenizer.json", "config.json", "model.onnx.data"} <= {file.name for file in out.iterdir()}
    assert [check["verdict"] for check in manifest.evidence["budget"]["checks"]] == ["Pass", "Pass"]
    assert manifest.evidence["steps"][0]["weights"]["tableIsHead"]
    errors = manifest.evidence["relativeErrors"]
    assert (errors["samples"], errors["outputs"][0]["channels"]) == (80 * 32, TINY.vocabulary)
    assert [one["output"] for one in errors["outputs"]] == ["logits"]
    assert manifest.inputs[-1].shape == (-1, 2, -1, 16)
    assert "perplexity rises" in (out / "report.md").read_text()
    loaded = load_model(out / "model.onnx", ONNX_RUNTIME, Tuning(intra_op_threads=1))
    assert manifest.golden is not None
    assert run_golden(loaded.run, loaded.signature, manifest.golden, out / "golden.npz").passed


def test_an_artifact_whose_scales_were_spoiled_is_stopped_by_its_golden_set(
    source: Path, prose: Path, tmp_path: Path
) -> None:
    """One layer of the quantized artifact gets wrong scales, as a faulty quantizer would write them."""
    assert compress(tmp_path, source, quantize(), evaluation=prose, **LIMITS) == 0
    out, manifest = tmp_path / "out", manifest_of(tmp_path)
    spoil(out, "model.layers.1.mlp.gate_proj")
    loaded = load_model(out / "model.onnx", ONNX_RUNTIME, Tuning(intra_op_threads=1))
    assert manifest.golden is not None
    assert not run_golden(loaded.run, loaded.signature, manifest.golden, out / "golden.npz").passed


def test_four_bits_that_lose_too_much_are_not_published(source: Path, prose: Path, tmp_path: Path) -> None:
    tight = {"maxPerplexityIncreasePercent": "0.5"}
    assert compress(tmp_path, source, quantize(bits=4, headBits=4), evaluation=prose, **tight) == Stalled.exit_code
    assert not (tmp_path / "out" / "model.onnx").exists()


def test_without_texts_it_is_tried_on_random_ones(source: Path, tmp_path: Path) -> None:
    assert compress(tmp_path, source, quantize()) == 0
    manifest = manifest_of(tmp_path)
    assert manifest.evidence["relativeErrors"]["data"] == "generated inputs"
    assert manifest.golden is not None


def test_a_cache_with_an_open_number_of_heads_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_decoder(tmp_path / "decoder", external=False)
    model = onnx.load(source / "model.onnx")
    for value in (*model.graph.input, *model.graph.output):
        if len(value.type.tensor_type.shape.dim) == 4:
            value.type.tensor_type.shape.dim[1].dim_param = "heads"
    onnx.save(model, source / "model.onnx")
    assert compress(tmp_path, source) == Stalled.exit_code
    assert "heads and their size have to be fixed: export it with these sizes" in capsys.readouterr().err


@pytest.mark.parametrize(("limit", "bits"), [("0.6", {"bits": 8}), ("400", {"bits": 4, "headBits": 4})])
def test_auto_takes_the_smallest_form_that_keeps_the_budget(
    limit: str, bits: dict[str, int], source: Path, prose: Path, tmp_path: Path, even_clock: None
) -> None:
    auto = {"name": "auto", "type": "Auto", "auto": {"maxSeconds": 600}}
    assert compress(tmp_path, source, auto, evaluation=prose, maxPerplexityIncreasePercent=limit) == 0
    found = manifest_of(tmp_path).evidence["steps"][0]["auto"]
    assert [trial["recipe"][0]["type"] for trial in found["tried"]] == ["QuantizeWeights"] * 4
    assert found["judgedBy"] == "perplexity"
    (taken,) = [trial for trial in found["tried"] if trial["name"] == found["chosen"]]
    assert taken["recipe"][0]["settings"].items() <= bits.items()
    assert "perplexity +" in (tmp_path / "out" / "report.md").read_text()


def spoil(folder: Path, layer: str) -> None:
    """Makes the scales of a quarter of the channels of ``layer`` 8 times too large."""
    model = onnx.load(folder / "model.onnx")
    (scales,) = [
        tensor for tensor in model.graph.initializer if tensor.name.startswith(layer) and "scales" in tensor.name
    ]
    values = np.array(onnx.numpy_helper.to_array(scales))
    values[::4] *= 8
    scales.CopyFrom(onnx.numpy_helper.from_array(values, scales.name))
    (folder / "model.onnx.data").unlink()
    onnx.save(model, folder / "model.onnx")
