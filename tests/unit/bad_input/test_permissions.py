"""Files that may not be read, folders that may not be written, and disks that are full.

The tests of CI run as root, for whom no mode counts; so the commands run here without root's rights.
"""

import os
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from edge_cli import main
from edge_compressor.job import main as job
from edge_compressor.registries import access
from edge_compressor.registries.access import RegistryAccess
from edge_compressor.sources.download import Downloader
from edge_oci.transport import Patience
from edgemodel.compression_request import CompressionRequest, Recipe, Source
from edgemodel.job_input import JOB_INPUT_VARIABLE, JobInput, PublishTarget
from tests.support.bad_input_runs import Tries, as_nobody, is_root, share
from tests.unit.edge_compressor.models import Files

DOCUMENTED: Final = (2, 3, 4)


class Desk:
    """Files of a user without root's rights, in a folder of this user."""

    def __init__(self, folder: Path, files: Files) -> None:
        self.folder = folder
        self.given = {
            "m.onnx": files.model.read_bytes(),
            "d.npz": files.evaluation.read_bytes(),
            "steps.json": b"[]",
            "config.json": b'{"auths": {}}',
        }

    def fill(self) -> None:
        for name, data in self.given.items():
            (self.folder / name).write_bytes(data)
        (self.folder / "work").mkdir()
        volume = self.folder / "claims" / "data"
        volume.mkdir(parents=True)
        (volume / "m.onnx").write_bytes(self.given["m.onnx"])
        (self.folder / "secrets" / "source").mkdir(parents=True)
        (self.folder / "secrets" / "source" / "token").write_bytes(b"secret")

    def compress(self, **changes: Path) -> int:
        paths = {"source": "m.onnx", "steps": "steps.json", "evaluation": "d.npz", "config": "config.json"}
        given = {name: self.folder / file for name, file in paths.items()} | {"output": self.folder / "work" / "out"}
        words = (word for name, path in (given | changes).items() for word in (f"--{name}", str(path)))
        return main.main(["compress", *words])

    def push(self) -> int:
        config = str(self.folder / "config.json")
        words = ["push", str(self.folder / "m.onnx"), "oci://127.0.0.1:1/a/b", "--plain-http", "--config", config]
        return main.main(words)

    def report(self) -> int:
        return main.main(["report", str(self.folder / "work")])

    def job(self, uri: str = "pvc://data/m.onnx") -> int:
        digest = f"sha256:{'a' * 64}" if uri.startswith("https") else None
        request = CompressionRequest(source=Source(uri, digest), recipes=(Recipe("default", ()),))
        given = JobInput("m", request, PublishTarget("127.0.0.1:1", "a/b", "127.0.0.1:1/base:v1"))
        folders = {"work": "work", "secrets": "secrets", "claims": "claims", "in": "in", "out": "out"}
        words = [word for name, path in folders.items() for word in (f"--{name}-directory", str(self.folder / path))]
        words += ["--termination-log", str(self.folder / "termination-log")]
        words += ["--registry-token-file", str(self.folder / "token")]
        return job.main(words, {JOB_INPUT_VARIABLE: given.encode()})


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens waits, because no server exists."""
    haste = partial(RegistryAccess, patience=Patience(tries=1))
    monkeypatch.setattr(access, "RegistryAccess", haste)
    monkeypatch.setattr(job, "RegistryAccess", haste)
    monkeypatch.setattr(job, "Downloader", partial(Downloader, tries=1))


@pytest.fixture
def desk(perceptron: Files) -> Iterator[Desk]:
    folder = Path(tempfile.mkdtemp(prefix="edgemodel-rights-"))
    folder.chmod(0o777)
    before = tempfile.tempdir
    made = Desk(folder / "own", perceptron)
    made.folder.mkdir()
    made.fill()
    made.compress()  # loads every module, which a user without rights could not in the folders of root
    made.push()
    made.report()
    made.job()
    shutil.rmtree(made.folder)
    with as_nobody() if is_root() else nullcontext():
        made.folder.mkdir()
        made.fill()
        yield made
    tempfile.tempdir = before
    shutil.rmtree(folder)


def test_modes_that_forbid(desk: Desk) -> None:
    tries, at = Tries("programs without rights for files", DOCUMENTED), desk.folder
    odd = at / os.fsdecode(b"\xff\xfe.onnx")
    odd.write_bytes(b"x")
    cases = (
        *(("source", at / "m.onnx", desk.compress), ("steps", at / "steps.json", desk.compress)),
        *(("data", at / "d.npz", desk.compress), ("output", at / "work", desk.compress)),
        *(("every folder", at, desk.compress), ("file to push", at / "m.onnx", desk.push)),
        *(("credentials", at / "config.json", desk.push), ("folder to push from", at, desk.push)),
        *(("report", at / "work", desk.report), ("folder of the report", at, desk.report)),
        ("a name that is not UTF-8", odd, lambda: desk.compress(source=odd)),
        ("checkpoints", at / "work", lambda: desk.compress(checkpoints=at / "work" / "c")),
        *(
            ("volume", at / "claims" / "data", desk.job),
            ("file of a volume", at / "claims" / "data" / "m.onnx", desk.job),
        ),
        *(("claims", at / "claims", desk.job), ("work of the Job", at / "work", desk.job)),
        ("secret", at / "secrets" / "source" / "token", lambda: desk.job("https://127.0.0.1:1/m.onnx")),
        ("secrets", at / "secrets", lambda: desk.job("https://127.0.0.1:1/m.onnx")),
    )
    for about, path, command in share(cases):
        for mode in (0o000, 0o111):
            before = path.stat().st_mode
            path.chmod(mode)
            try:
                tries.call(f"{about}, mode {mode:o}", command)
            finally:
                path.chmod(before)
    tries.judge(30)


def test_full_disks(desk: Desk) -> None:
    """A limit of the size of files fails like a full disk, in the middle of a file."""
    tries = Tries("programs on full disks", DOCUMENTED)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in share((0, 1, 100, 700)):
        for about, command in (("compress", desk.compress), ("job", desk.job)):

            def limited(command: Callable[[], int] = command, size: int = size) -> int:
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
                try:
                    return command()
                finally:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

            shutil.rmtree(desk.folder / "work")
            (desk.folder / "work").mkdir()
            tries.call(f"{about}, {size} bytes", limited)
    tries.judge(8)
