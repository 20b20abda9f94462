"""Feeds in files, for processes that share no memory: numpy's own format, of which nothing is unpickled."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from edge_runtime.datatypes import Array


def write_feed(path: Path, feed: Mapping[str, Array]) -> list[str]:
    """Writes the arrays of ``feed`` to ``path``, which ends with ``.npz``. Returns their names, in order."""
    texts = (array.astype(np.str_) if array.dtype.kind == "O" else array for array in feed.values())
    np.savez(path, *texts, allow_pickle=False)
    return list(feed)


def read_feed(path: Path, names: Sequence[str]) -> dict[str, Array]:
    """Returns the arrays at ``path`` under their ``names``."""
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[f"arr_{number}"] for number, name in enumerate(names)}
