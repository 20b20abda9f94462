"""The virtual environments of the compared programs, each installed from PyPI once."""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ENVIRONMENTS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgemodel-bench"


def environment(name: str, requirements: Sequence[str]) -> Path:
    """Returns the Python of a virtual environment with ``requirements``. Raises subprocess.CalledProcessError."""
    key = hashlib.sha256("\n".join([platform.python_version(), *requirements]).encode()).hexdigest()[:12]
    folder = ENVIRONMENTS / f"{name}-{key}"
    python = folder / "bin/python"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        print(f"installing {name} into {folder}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *requirements], check=True)
        (folder / "complete").touch()
    return python
