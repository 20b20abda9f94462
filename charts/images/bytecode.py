"""Bytecode instead of sources: a program starts in half the time, and a read-only file system cannot store bytecode
later.

Libraries are shipped as ``x.pyc`` in place of ``x.py``: both together would be a tenth of an image. Tracebacks keep
file and line number, but lose the text of the line; our own programs keep their sources. The files carry the hash of
their source and are never checked against it (``unchecked-hash``), because the times of files in an image mean nothing.
Bytecode is the same on every architecture.
"""

from __future__ import annotations

import platform
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from .progress import BuildError, run

PYTHON = (3, 11)
"""The Python version of the images (Debian 12)."""


def compiler() -> str:
    """Returns a Python of the same minor version as the images', which can read its bytecode."""
    if sys.version_info[:2] == PYTHON:
        return sys.executable
    name = f"python{PYTHON[0]}.{PYTHON[1]}"
    found = shutil.which(name)
    if found is None:
        raise BuildError(f"{name} is missing, and this is Python {platform.python_version()}: install {name}")
    return found


def compile_beside(root: Path, inside: str) -> None:
    """Compiles every file below ``root``, which will be at ``inside`` in the image, the path that tracebacks show.

    Raises BuildError for a file that is not valid Python.
    """
    _compile(root, inside)


def compile_instead(root: Path, inside: str, left_as_sources: Sequence[str] = ()) -> None:
    """Compiles every file and puts ``x.pyc`` in place of ``x.py``, except in the packages ``left_as_sources``.

    Raises BuildError for a file that is not valid Python, and for a package that does not exist.
    """
    for name in left_as_sources:
        if not (root / name).is_dir():
            raise BuildError(f"no package {name}, so it need not be left as sources")
    left = "|".join(re.escape(f"{root / name}/") for name in left_as_sources)
    _compile(root, inside, "-b", *(("-x", left) if left else ()))
    for source in root.rglob("*.py"):
        if source.relative_to(root).parts[0] not in left_as_sources:
            source.unlink()


def _compile(root: Path, inside: str, *options: str) -> None:
    # Hash seed 0 and one process, because the bytes depend on the order of sets and the sharing of strings.
    argv: list[str | Path] = [compiler(), "-P", "-m", "compileall", "-q", "-f", "-j", "1", *options]
    paths: list[str | Path] = ["-s", root, "-p", inside, root]
    run(
        [*argv, "--invalidation-mode", "unchecked-hash", *paths],
        env={"PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "0"},
    )
