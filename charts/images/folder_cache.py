"""Folders that are expensive to make and depend on known inputs only; images and the lab keep theirs by this rule.

A folder is made beside its place and then moved, so that an interrupted process leaves nothing that looks complete, and
of two processes the slower one throws its own away.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path


def key_of(inputs: Iterable[bytes | str | Path]) -> str:
    """Returns the SHA-256 of the inputs in order; a Path stands for the bytes of that file."""
    digest = hashlib.sha256()
    for item in inputs:
        data = item.read_bytes() if isinstance(item, Path) else item.encode() if isinstance(item, str) else item
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def cached_folder(home: Path, make: Callable[[Path], None]) -> Path:
    """Returns ``home``, after ``make`` has filled an empty folder that became it, now or earlier."""
    if home.is_dir():
        return home
    home.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix="making-", dir=home.parent))
    try:
        made = beside / "made"
        made.mkdir()
        make(made)
        made.chmod(0o755)
        try:
            made.rename(home)
        except OSError:
            if not home.is_dir():  # otherwise another process was faster
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return home
