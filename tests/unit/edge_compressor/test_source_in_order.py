"""A source is normalized once, before any step; one in normal form stays byte for byte the same."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from edge_compressor import pipeline
from edge_compressor.pipeline import Compressed
from edge_compressor.progress import Progress
from edge_compressor.registries.access import RegistryAccess
from edge_compressor.sources.fetcher import Fetcher
from edgemodel import reasons
from edgemodel.compression_request import CompressionRequest, Recipe, Source
from edgemodel.digest import digest_of_file
from edgemodel.errors import Stalled
from tests.unit.edge_compressor.normal_form.graphs import answers, inputs, product
from tests.unit.edge_compressor.normal_form.test_computation import TestMaps

INT8: dict[str, Any] = {"name": "int8", "type": "QuantizeDynamic"}
SLIM: dict[str, Any] = {"name": "slim", "type": "CleanGraph"}
X = inputs(5, 4)


def compress(proto: onnx.ModelProto, folder: Path, progress: Progress, *steps: dict[str, Any]) -> Compressed:
    onnx.save(proto, folder / "given.onnx")
    request = CompressionRequest(Source(str(folder / "given.onnx")), (Recipe("default", steps),))
    fetcher = Fetcher(RegistryAccess(), progress, local_paths=True)
    (compressed,) = pipeline.run(request, "m", fetcher, folder / "work", progress)
    return compressed


def two_spellings() -> onnx.ModelProto:
    return product(domains=[("", 17), ("ai.onnx", 17)])


def test_without_steps_the_artifact_is_the_source(tmp_path: Path, quiet: Progress) -> None:
    compressed = compress(two_spellings(), tmp_path, quiet)
    assert digest_of_file(compressed.folder / "model.onnx") == digest_of_file(tmp_path / "given.onnx")
    assert compressed.manifest.evidence["sourceChanges"] == []
    assert "nothing was compressed" in (compressed.folder / "report.md").read_text()


@pytest.mark.parametrize("step", [INT8, SLIM], ids=["QuantizeDynamic", "CleanGraph"])
def test_steps_get_the_normalized_model_and_the_report_lists_the_changes(
    step: dict[str, Any], tmp_path: Path, quiet: Progress
) -> None:
    compressed = compress(two_spellings(), tmp_path, quiet, step)
    told = "the table of operator sets had entries '' 17, 'ai.onnx' 17, now '' 17"
    assert compressed.manifest.evidence["sourceChanges"] == [told]
    assert f"- {told}" in (compressed.folder / "report.md").read_text()
    assert compressed.manifest.source_digest == digest_of_file(tmp_path / "given.onnx")


def test_a_source_that_cannot_be_served_as_it_is_is_served_in_order(tmp_path: Path, quiet: Progress) -> None:
    proto = TestMaps.classifier(classlabels_int64s=[0, 1, 2])
    maps = answers(proto, X)[1]
    compressed = compress(proto, tmp_path, quiet)
    assert [tensor.name for tensor in compressed.manifest.outputs] == ["label", "output_probability"]
    assert list(compressed.manifest.outputs[1].shape) == [-1, 3]
    scores = answers(onnx.load(compressed.folder / "model.onnx"), X)[1]
    np.testing.assert_array_equal(scores, [list(one.values()) for one in maps])
    assert compressed.manifest.source_digest == digest_of_file(tmp_path / "given.onnx")
    assert "(ZipMap)" in (compressed.folder / "report.md").read_text()


def test_a_source_that_cannot_be_normalized_is_invalid(tmp_path: Path, quiet: Progress) -> None:
    with pytest.raises(Stalled, match=r"^source: operator set 99 of ai.onnx is newer .*: export") as caught:
        compress(product(opset=99), tmp_path, quiet)
    assert caught.value.reason == reasons.SOURCE_INVALID
