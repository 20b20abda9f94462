"""The cache of layers: ``${XDG_CACHE_HOME:-~/.cache}/edgemodel-images/<sha256 of the inputs>/``.

A layer is built beside its place and then moved, so that an interrupted build leaves nothing that looks complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from edge_oci.layers import Layer

_RECORD = "layer.json"
_BLOB = "layer.tar.gz"
_KEPT_SECONDS = 30 * 24 * 3600

Writer = Callable[[Path, Path], Layer]
"""A function that writes a layer to the first path; the second is an empty folder for its work."""


def directory() -> Path:
    """Returns the folder of the cache, which may not exist yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgemodel-images"


def key_of(inputs: Iterable[bytes | str | Path]) -> str:
    """Returns the SHA-256 of the inputs in order; a Path stands for the bytes of that file."""
    digest = hashlib.sha256()
    for item in inputs:
        data = item.read_bytes() if isinstance(item, Path) else item.encode() if isinstance(item, str) else item
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def cached_layer(key: str, write: Writer, *, fresh: bool = False) -> Layer:
    """Returns the layer that ``write`` made for ``key``, now or earlier; with ``fresh``, now."""
    home = directory() / key
    if fresh:
        shutil.rmtree(home, ignore_errors=True)
    if not home.is_dir():
        _make(home, write)
    os.utime(home)
    record = json.loads((home / _RECORD).read_text())
    return Layer(**record | {"path": home / _BLOB})


def drop_unused() -> None:
    """Deletes what no build has used for a month, and what a killed build has left."""
    oldest = time.time() - _KEPT_SECONDS
    for entry in directory().glob("*"):
        with suppress(FileNotFoundError):  # another builder was faster
            if entry.stat().st_mtime < oldest:
                shutil.rmtree(entry, ignore_errors=True)


def _make(home: Path, write: Writer) -> None:
    home.parent.mkdir(parents=True, exist_ok=True)
    # mmdebstrap's user "_apt" and a chroot look into it.
    beside = Path(tempfile.mkdtemp(prefix="making-", dir=home.parent))
    try:
        scratch, made = beside / "scratch", beside / "made"
        scratch.mkdir()
        made.mkdir()
        layer = write(made / _BLOB, scratch)
        (made / _RECORD).write_text(json.dumps(asdict(layer) | {"path": _BLOB}))
        try:
            made.rename(home)
        except OSError:
            if not home.is_dir():  # otherwise someone else was faster
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
