"""A user's converter between two containers of ours: its input, and the checks of its file."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_compressor.job import handoff
from edge_compressor.job import main as job
from edge_compressor.job.handoff import FromConverter, HandoffFolders
from edge_compressor.progress import Progress
from edge_compressor.registries.access import RegistryAccess
from edge_compressor.sources.fetcher import Fetcher
from edgemodel import reasons, report
from edgemodel.budget import Budget
from edgemodel.compression_request import SAFETENSORS, CompressionRequest, Source
from edgemodel.converter import Converter
from edgemodel.digest import digest_of_file
from edgemodel.errors import Stalled
from edgemodel.job_input import JOB_INPUT_VARIABLE, JobInput, PublishTarget
from edgemodel.report import Failed
from tests.support import weights
from tests.unit.edge_compressor.conftest import Files

IMAGE = "registry.example/converters/maker@sha256:" + "a" * 64
CONVERTER = Converter(IMAGE, ("--width", "16"), "ONNX")


@dataclass
class Site:
    """The folders of a pod, and its two containers of ours."""

    folder: Path
    input: JobInput

    def ask(self, **changes: Any) -> None:
        """Changes the request."""
        self.input = replace(self.input, request=replace(self.input.request, **changes))

    @property
    def given(self) -> Path:
        return self.folder / "given"

    @property
    def made(self) -> Path:
        return self.folder / "made"

    def run(self, *options: str) -> tuple[int, Any]:
        """Returns the (exit code, report) of a container."""
        where = ["termination-log", "work-directory", "secrets-directory", "claims-directory"]
        places = [word for name in where for word in (f"--{name}", str(self.folder / name.removesuffix("-directory")))]
        places += ["--in-directory", str(self.given), "--out-directory", str(self.made)]
        code = job.main([*places, *options], {JOB_INPUT_VARIABLE: self.input.encode()})
        return code, report.decode((self.folder / "termination-log").read_bytes())

    def fetch(self) -> tuple[int, Any]:
        return self.run("--fetch-only")


@pytest.fixture
def site(tmp_path: Path, residual: Files) -> Site:
    """Returns a site with weights and an evaluation set in a mounted volume, before anything is fetched."""
    for name in ("given", "made", "claims/data"):
        (tmp_path / name).mkdir(parents=True)
    source = weights.write(tmp_path / "claims" / "data" / "m.safetensors", w=np.ones(3, np.float32))
    (tmp_path / "claims" / "data" / "e.npz").write_bytes(residual.evaluation.read_bytes())
    return Site(
        tmp_path,
        JobInput(
            model="defects",
            request=CompressionRequest(
                Source("pvc://data/m.safetensors", digest_of_file(source), SAFETENSORS, converter=CONVERTER),
                datasets={"evaluation": Source("pvc://data/e.npz")},
                budget=Budget(max_size_bytes=1),
            ),
            target=PublishTarget("registry.invalid", "vision/defects", "registry.invalid/server@sha256:" + "0" * 64),
        ),
    )


@pytest.fixture
def take(tmp_path: Path, quiet: Progress) -> Callable[[], handoff.Fetched]:
    """Returns a function that takes the converter's output as the pipeline does."""
    given, made = tmp_path / "given", tmp_path / "made"
    given.mkdir()
    made.mkdir()
    told = {"source": {"digest": "sha256:" + "b" * 64, "uri": "oci://registry.example/weights"}}
    (given / "fetched.json").write_text(json.dumps(told))
    fetcher = Fetcher(RegistryAccess(), quiet)
    converter = FromConverter(fetcher, CONVERTER, HandoffFolders(given, made))
    return lambda: converter.fetch(Source("https://nowhere.invalid/m"), "source", tmp_path / "source.onnx")


def test_the_converter_is_given_weights_and_training_set_and_nothing_else(site: Site, residual: Files) -> None:
    training = {**site.input.request.datasets, "training": Source("pvc://data/e.npz")}
    site.ask(datasets=training)
    assert site.fetch() == (0, None)
    assert sorted(file.name for file in site.given.iterdir()) == ["fetched.json", "model.safetensors", "training.npz"]
    assert digest_of_file(site.given / "model.safetensors") == site.input.request.source.digest
    assert (site.given / "training.npz").read_bytes() == residual.evaluation.read_bytes()


def test_invalid_weights_never_reach_the_converter(site: Site) -> None:
    file = site.folder / "claims" / "data" / "m.safetensors"
    weights.write(file, w=np.full(3, np.nan, np.float32))
    site.ask(source=replace(site.input.request.source, digest=None))
    code, ended = site.fetch()
    assert (code, ended.reason) == (3, reasons.SOURCE_INVALID)
    assert ended.message == "source: 3 of 3 values of the weight 'w' are not finite numbers"


def test_a_training_set_that_would_be_unpickled_never_reaches_the_converter(site: Site) -> None:
    np.savez(site.folder / "claims" / "data" / "t.npz", x=np.array([{}], object))
    site.ask(datasets={"training": Source("pvc://data/t.npz")})
    code, ended = site.fetch()
    assert (code, ended.reason) == (3, reasons.DATASET_INVALID)
    assert ended.message.startswith("training set: array x.npy holds Python objects, which are pickled")


def test_what_the_converter_made_is_compressed_and_recorded_beside_what_it_was_made_of(
    site: Site, residual: Files
) -> None:
    """The budget cannot be kept, so that nothing is published; the record is in the artifact's folder."""
    site.fetch()
    (site.made / "model.onnx").write_bytes(residual.model.read_bytes())
    code, ended = site.run()
    assert isinstance(ended, Failed)
    assert (code, ended.reason) == (3, reasons.BUDGET_EXCEEDED)
    manifest = json.loads(next((site.folder / "work").rglob("manifest.json")).read_text())
    assert manifest["sourceDigest"] == site.input.request.source.digest
    assert manifest["source"]["uri"] == "pvc://data/m.safetensors"
    assert manifest["source"]["converter"] == {
        "image": IMAGE,
        "args": ["--width", "16"],
        "writes": "ONNX",
        "digest": digest_of_file(residual.model),
        "sizeBytes": residual.model.stat().st_size,
    }
    told = next((site.folder / "work").rglob("report.md")).read_text()
    assert f"of which the converter `{IMAGE}` made `{digest_of_file(residual.model)}` (ONNX)" in told


def test_the_training_set_is_the_one_that_the_converter_saw(site: Site, residual: Files) -> None:
    """The tag, or the file, may have changed since."""
    site.ask(datasets={"training": Source("pvc://data/e.npz")})
    site.fetch()
    (site.folder / "claims" / "data" / "e.npz").write_bytes(b"something else by now")
    (site.made / "model.onnx").write_bytes(residual.model.read_bytes())
    assert site.run()[1].reason == reasons.BUDGET_EXCEEDED
    manifest = json.loads(next((site.folder / "work").rglob("manifest.json")).read_text())
    assert manifest["datasets"]["training"]["digest"] == digest_of_file(residual.evaluation)


def test_an_invalid_file_of_the_converter_is_the_converters_fault(site: Site) -> None:
    site.fetch()
    (site.made / "model.onnx").write_bytes(b"not a model")
    code, ended = site.run()
    assert (code, ended.reason) == (3, reasons.CONVERTER_FAILED)
    assert ended.message == "what the converter wrote: not an ONNX file: it does not parse"


ONE_FILE = "it must write one file, /exchange/out/model.onnx (the variable EDGEMODEL_MODEL), and nothing besides"


NO_FILE = "model.onnx is a link, a folder or a device"


def link(folder: Path) -> None:
    (folder / "model.onnx").symlink_to("/etc/hostname")


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "model.onnx")


def several(folder: Path) -> None:
    for name in ("model.onnx", "model.onnx.data", "notes.txt", "more.txt"):
        (folder / name).write_text("x")


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda folder: None, "it wrote nothing"),
        (lambda folder: (folder / "model.pt2").write_text("x"), "it wrote 'model.pt2'"),
        (several, "it wrote '"),
        (link, NO_FILE),
        (pipe, NO_FILE),
        (lambda folder: (folder / "model.onnx").mkdir(), NO_FILE),
        (lambda folder: os.symlink("/nowhere", folder / "model.onnx"), NO_FILE),
    ],
    ids=["nothing", "another-name", "several", "a-link", "a-pipe", "a-folder", "a-link-to-nowhere"],
)
def test_anything_but_one_plain_file_is_refused_with_what_the_converter_must_do(
    take: Callable[[], Any], tmp_path: Path, write: Callable[[Path], Any], said: str
) -> None:
    write(tmp_path / "made")
    with pytest.raises(Stalled) as caught:
        take()
    assert caught.value.reason == reasons.CONVERTER_FAILED
    assert caught.value.message.startswith(f"the converter: {said}")
    assert ONE_FILE in caught.value.message


def test_a_file_that_is_too_large_is_refused_before_it_is_copied(take: Callable[[], Any], tmp_path: Path) -> None:
    with (tmp_path / "made" / "model.onnx").open("wb") as file:
        file.truncate(2**36 + 1)  # a hole, which takes no room
    with pytest.raises(
        Stalled, match=r"model\.onnx has 68719476737 bytes, limit 68719476736 bytes: write a smaller model"
    ):
        take()
    assert not (tmp_path / "source.onnx").exists()
