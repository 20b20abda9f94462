"""The options of a session, whatever the runtime; the defaults are for small nodes.

The compressor measures with the defaults, and nodes serve with them unless ``spec.serving.tuning`` says otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Arena(StrEnum):
    """The fate of memory that a run took."""

    SHRINK = "Shrink"
    """After a request that is much larger than usual, its memory is given back."""
    KEEP = "Keep"
    """The memory stays for the next run: quickest, and a burst stays resident."""
    OFF = "Off"
    """Each tensor is allocated and freed: least memory, and slowest."""


@dataclass(frozen=True)
class Tuning:
    intra_op_threads: int = 1
    """Threads of one run: several requests at a time use the cores better than several threads for one."""
    arena: Arena = Arena.SHRINK
    prepacking: bool = True
    """Weights are laid out anew for speed, which takes their size in memory once more."""
    concurrency: int = 1
    """Runs at a time: a model that is not ``concurrent`` is loaded so often."""


def parse_tuning(settings: Mapping[str, Any]) -> Tuning:
    """Returns the options for ``spec.serving.tuning``, but for how many runs there are at a time.

    Raises ValueError for a memoryArena that is none of Arena.
    """
    default = Tuning()
    return Tuning(
        intra_op_threads=settings.get("intraOpThreads", default.intra_op_threads),
        arena=Arena(settings.get("memoryArena", default.arena)),
    )
