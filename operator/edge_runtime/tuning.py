"""The options of a session, whatever the runtime; the defaults suit small nodes.

The compressor measures with the defaults, and nodes serve with them unless ``spec.serving.tuning`` says otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Arena(StrEnum):
    """The policy for the memory that a run has taken."""

    SHRINK = "Shrink"
    """The memory of a request that is much larger than usual is released afterwards."""
    KEEP = "Keep"
    """The memory stays for the next run: fastest, but the memory of a burst stays resident."""
    OFF = "Off"
    """Each tensor is allocated and freed: least memory, but slowest."""


@dataclass(frozen=True)
class Tuning:
    """The options of one session."""

    intra_op_threads: int = 1
    """The threads of one run: several requests at a time use the cores better than several threads for one."""
    arena: Arena = Arena.SHRINK
    prepacking: bool = True
    """True if weights are rearranged for speed, which takes their size in memory once more."""
    mapped: bool | None = None
    """True if weights stay in their file, and only its pages are in memory; None: the runtime decides by their size.
    Weights that are mapped are not rearranged."""
    concurrency: int = 1
    """The number of simultaneous runs: a model that is not ``concurrent`` is loaded this many times."""


def parse_tuning(settings: Mapping[str, Any]) -> Tuning:
    """Returns the options that a revision's ``tuning`` sets, as far as they concern one run.

    Raises ValueError for a memoryArena that is none of Arena.
    """
    default = Tuning()
    return Tuning(
        intra_op_threads=settings.get("intraOpThreads", default.intra_op_threads),
        arena=Arena(settings.get("memoryArena", default.arena)),
    )
