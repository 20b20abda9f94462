"""The cache of the lab's programs, which take minutes to make: ``${XDG_CACHE_HOME:-~/.cache}/edgemodel-lab``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from charts.images.folder_cache import cached_folder, key_of

from .layout import CACHE


def cached(inputs: Iterable[bytes | str], make: Callable[[Path], None]) -> Path:
    """Returns the folder that ``make`` filled for these inputs, now or earlier."""
    return cached_folder(CACHE / key_of(inputs), make)
