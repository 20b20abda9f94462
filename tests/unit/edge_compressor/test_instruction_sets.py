"""The artifacts that answer differently on x86 processors without VNNI, recognised by their weights."""

import json
from pathlib import Path

import pytest

from edge_cli import main as cli
from edge_compressor.evaluation.instruction_sets import WeightRange, warning, weight_range
from edge_compressor.models.onnx_model import check_model
from edgemodel.artifact import ArtifactManifest
from tests.unit.edge_compressor.conftest import Files

STEPS = {
    "QuantizeStatic": ("residual", "quantizeStatic"),
    "QuantizeDynamic": ("perceptron", "quantizeDynamic"),
}


@pytest.mark.parametrize("kind", list(STEPS))
@pytest.mark.parametrize("reduced", [True, False])
def test_weights_of_all_8_bits_are_reported_with_the_step_to_change(
    kind: str, reduced: bool, residual: Files, perceptron: Files, tmp_path: Path
) -> None:
    files = residual if STEPS[kind][0] == "residual" else perceptron
    step = {"name": "small", "type": kind, STEPS[kind][1]: {"reduceRange": reduced}}
    (tmp_path / "steps.json").write_text(json.dumps([step]))
    order = ["compress", "--source", files.model, "--steps", tmp_path / "steps.json", "--output", tmp_path / "out"]
    assert cli.main([str(word) for word in (*order, "--calibration", files.calibration)]) == 0
    evidence = ArtifactManifest.decode((tmp_path / "out" / "manifest.json").read_bytes()).evidence
    found = evidence["weightRange"]
    assert found["quantizedWeights"] >= 2
    warned = [note for note in evidence["notes"] if "without VNNI saturate" in note]
    if reduced:
        assert (found["beyondSevenBits"], warned) == (0, [])
    else:
        assert found["beyondSevenBits"] == found["quantizedWeights"]
        assert "set reduceRange: true in step small" in warned[0]
        assert "without VNNI saturate" in (tmp_path / "out" / "report.md").read_text()


def test_a_model_of_floats_has_no_such_weights(residual: Files) -> None:
    assert weight_range(check_model(residual.model)) == WeightRange(0, 0)


def test_weights_of_8_bits_in_the_source_are_reported_as_such() -> None:
    told = warning(WeightRange(4, 2), [{"name": "clean", "settings": {}}])
    assert told is not None
    assert told.startswith("2 of 4 quantized weights")
    assert "in the source already" in told
