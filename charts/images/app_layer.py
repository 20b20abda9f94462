"""The topmost layer, with our own programs: the only one that a change of code rebuilds."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from edge_oci.layers import Layer, tree, write_layer

from .bytecode import compile_beside

DIRECTORY = "/app"


def sources(repository: Path, packages: Sequence[str]) -> dict[str, Path]:
    """Returns each Python file and each ``py.typed`` of ``packages`` by its path below /app, sorted."""
    return {
        str(path.relative_to((repository / package).parent)): path
        for package in sorted(packages)
        for path in sorted((repository / package).rglob("*"))
        if path.is_file() and path.suffix not in {".pyc", ".pyo"} and "__pycache__" not in path.parts
    }


def write_code_layer(files: dict[str, Path], path: Path, scratch: Path) -> Layer:
    """Writes the layer with ``files``, by their names below DIRECTORY, and their bytecode to ``path``; ``scratch`` is
    an empty folder."""
    root = scratch / "app"
    for name, source in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, root / name)
    compile_beside(root, DIRECTORY)
    return write_layer(tree(root, DIRECTORY), path, compression="gzip")
