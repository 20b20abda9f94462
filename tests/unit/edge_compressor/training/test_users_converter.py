"""The example's converter, in a process of its own as in a container: weights in, an ExportedProgram out.

Its output is compressed by the code of the Job, which treats it like any other file.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge_compressor import pipeline
from edge_compressor.job.handoff import FromConverter, HandoffFolders, hand_over
from edge_compressor.pipeline import Compressed
from edge_compressor.progress import Progress
from edge_compressor.registries.access import RegistryAccess
from edge_compressor.sources.fetcher import Fetcher
from edgemodel import reasons
from edgemodel.compression_request import SAFETENSORS, CompressionRequest, Source
from edgemodel.converter import Converter
from edgemodel.digest import digest_of_file
from edgemodel.errors import Stalled
from tests.support import weights
from tests.unit.examples.conftest import EXAMPLES, load_script

pytestmark = pytest.mark.slow

FOLDER = EXAMPLES / "fashion-mnist"
CONVERTER = Converter("registry.example/converters/maker@sha256:" + "a" * 64)


class Pod:
    """The three containers of a Job, one after the other, on folders of this machine."""

    def __init__(self, folder: Path, source: Path, progress: Progress) -> None:
        self.folder, self.progress = folder, progress
        self.exchange = HandoffFolders(folder / "in", folder / "out")
        self.fetcher = Fetcher(RegistryAccess(), progress, local_paths=True)
        self.source = Source(str(source), format=SAFETENSORS, converter=CONVERTER)
        for place in (self.exchange.given, self.exchange.made):
            place.mkdir(parents=True)
        hand_over(CompressionRequest(self.source), self.fetcher, self.exchange)

    @property
    def model(self) -> Path:
        return self.exchange.made / "model.pt2"

    def run_converter(self) -> subprocess.CompletedProcess[str]:
        told = {
            "EDGEMODEL_WEIGHTS": str(self.exchange.given / "model.safetensors"),
            "EDGEMODEL_MODEL": str(self.model),
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, FOLDER / "maker.py"]
        return subprocess.run(command, env=os.environ | told, capture_output=True, text=True)

    def compress(self) -> Compressed:
        request = CompressionRequest(self.source, datasets={"evaluation": Source(str(FOLDER / "evaluation.npz"))})
        given = FromConverter(self.fetcher, CONVERTER, self.exchange)
        (compressed,) = pipeline.run(request, "m", given, self.folder / "work", self.progress)
        return compressed


def test_weights_become_by_the_examples_converter_the_model_that_they_are_from(tmp_path: Path, quiet: Progress) -> None:
    source = load_script(FOLDER / "make_weights.py").write_weights(FOLDER / "model.onnx", tmp_path / "w.safetensors")
    pod = Pod(tmp_path / "pod", source, quiet)
    done = pod.run_converter()
    assert done.returncode == 0, done.stderr
    compressed = pod.compress()
    assert compressed.evaluation is not None
    assert compressed.evaluation.artifact is not None
    assert compressed.evaluation.artifact.score == pytest.approx(0.9318, abs=0.0006)
    manifest = json.loads((compressed.folder / "manifest.json").read_text())
    assert manifest["sourceDigest"] == digest_of_file(source)
    assert manifest["source"]["converter"]["digest"] == digest_of_file(pod.model)
    assert manifest["inputs"] == [{"name": "image", "datatype": "FP32", "shape": [-1, 1, 28, 28]}]


def test_a_converter_that_writes_a_pickle_is_refused_before_anything_is_loaded(tmp_path: Path, quiet: Progress) -> None:
    pod = Pod(tmp_path / "pod", weights.write(tmp_path / "w", w=np.ones(3, np.float32)), quiet)
    pod.model.write_bytes(b"\x80\x04cos\nsystem\n")
    with pytest.raises(Stalled) as caught:
        pod.compress()
    assert caught.value.reason == reasons.CONVERTER_FAILED
    assert caught.value.message.startswith("what the converter wrote: it is a pickle: it can run any code")


def test_a_converters_log_ends_with_what_is_missing(tmp_path: Path, quiet: Progress) -> None:
    pod = Pod(tmp_path / "pod", weights.write(tmp_path / "w", **{"stem.weight": np.ones(3, np.float32)}), quiet)
    done = pod.run_converter()
    assert done.returncode == 1
    assert "size mismatch for stem.weight" in done.stderr[-2048:]
    assert not pod.model.exists()
