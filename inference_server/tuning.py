"""How a session is set up; the defaults are for small nodes."""

from dataclasses import dataclass
from enum import StrEnum


class Arena(StrEnum):
    """What happens to memory that a run took."""

    SHRINK = "Shrink"
    """What a request took that is much larger than usual is given back after its run."""
    KEEP = "Keep"
    """It stays for the next run: quickest, and a burst stays resident."""
    OFF = "Off"
    """Each tensor is allocated and freed: least memory, and slowest."""


@dataclass(frozen=True)
class Tuning:
    threads_per_request: int = 1
    """Of one run: several requests at a time use the cores better than several threads for one."""
    arena: Arena = Arena.SHRINK
    prepacking: bool = True
    """Weights are laid out anew for speed, which takes their size in memory once more."""
