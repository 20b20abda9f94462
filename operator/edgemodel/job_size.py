"""The memory and disk that a compression Job needs for a source of some size."""

from collections.abc import Iterable
from typing import Final

from edgemodel.compressor_facts import STREAMING_STEPS

SMALL_BYTES: Final = 2 * 10**9
"""The size up to which a source is handled as a whole; of a larger one, one tensor at a time."""
PER_BYTE: Final = 1.6
PER_BYTE_ABOVE: Final = 0.6
PER_BYTE_WHOLE: Final = 6.5
"""The same with a step that holds the whole model in several forms, as most do."""
PROGRAM_BYTES: Final = 512 * 2**20
"""The memory of the programs and their libraries."""
COPIES: Final = 4
"""The copies of a source that lie in the work folder at a time: source, result of a step, artifact and its layers."""
DISK_BYTES: Final = 2**30
"""The room in the work folder for everything else."""


def memory_bytes(source_bytes: int) -> int:
    """Returns the memory in bytes that a Job needs in any case, without PROGRAM_BYTES."""
    return int(PER_BYTE * min(source_bytes, SMALL_BYTES) + PER_BYTE_ABOVE * max(source_bytes - SMALL_BYTES, 0))


def peak_bytes(source_bytes: int, steps: Iterable[str]) -> int:
    """Returns the memory in bytes that a Job with these types of steps takes at most, without PROGRAM_BYTES."""
    return memory_bytes(source_bytes) if _streams(steps) else int(PER_BYTE_WHOLE * source_bytes)


def disk_bytes(source_bytes: int) -> int:
    """Returns the size of the work folder in bytes."""
    return COPIES * source_bytes + DISK_BYTES


def largest_source(memory_limit: int | None, disk_limit: int, steps: Iterable[str]) -> int:
    """Returns the size in bytes of the largest source that these limits are for, with these types of steps;
    ``memory_limit`` None: any memory."""
    by_disk = (disk_limit - DISK_BYTES) // COPIES
    if memory_limit is None:
        return by_disk
    room = memory_limit - PROGRAM_BYTES
    whole = PER_BYTE * SMALL_BYTES
    if not _streams(steps):
        by_memory = room / PER_BYTE_WHOLE
    else:
        by_memory = room / PER_BYTE if room <= whole else SMALL_BYTES + (room - whole) / PER_BYTE_ABOVE
    return max(min(by_disk, int(by_memory)), 0)


def _streams(steps: Iterable[str]) -> bool:
    return STREAMING_STEPS.issuperset(steps)
