"""Results that are expensive to make and depend on known inputs only; they are built beside their place and then
moved."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from .layout import CACHE


def cached(inputs: Iterable[bytes | str], make: Callable[[Path], None]) -> Path:
    """Returns the folder that ``make`` filled for these inputs, now or earlier; an interrupted ``make`` leaves
    nothing."""
    digest = hashlib.sha256()
    for item in inputs:
        data = item.encode() if isinstance(item, str) else item
        digest.update(len(data).to_bytes(8, "big") + data)
    home = CACHE / digest.hexdigest()
    if home.is_dir():
        return home
    CACHE.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix="making-", dir=CACHE))
    try:
        make(beside)
        beside.chmod(0o755)
        try:
            beside.rename(home)
        except OSError:
            if not home.is_dir():  # otherwise someone else was faster
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return home
