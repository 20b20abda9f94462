"""The cache of layers: ``${XDG_CACHE_HOME:-~/.cache}/edgemodel-images/<sha256 of the inputs>/``."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from edge_oci.layers import Layer

from .folder_cache import cached_folder

_RECORD = "layer.json"
_BLOB = "layer.tar.gz"
_KEPT_SECONDS = 30 * 24 * 3600

Writer = Callable[[Path, Path], Layer]
"""A function that writes a layer to the first path; the second is an empty folder for its work."""


def directory() -> Path:
    """Returns the folder of the cache, which may not exist yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgemodel-images"


def cached_layer(key: str, write: Writer, *, fresh: bool = False) -> Layer:
    """Returns the layer that ``write`` made for ``key``, now or earlier; with ``fresh``, now."""
    home = directory() / key
    if fresh:
        shutil.rmtree(home, ignore_errors=True)

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="making-", dir=home.parent, ignore_cleanup_errors=True) as scratch:
            layer = write(folder / _BLOB, Path(scratch))
        (folder / _RECORD).write_text(json.dumps(asdict(layer) | {"path": _BLOB}))

    os.utime(cached_folder(home, make))
    record = json.loads((home / _RECORD).read_text())
    return Layer(**record | {"path": home / _BLOB})


def drop_unused() -> None:
    """Deletes what no build has used for a month, and what a killed build has left."""
    oldest = time.time() - _KEPT_SECONDS
    for entry in directory().glob("*"):
        with suppress(FileNotFoundError):  # another builder was faster
            if entry.stat().st_mtime < oldest:
                shutil.rmtree(entry, ignore_errors=True)
