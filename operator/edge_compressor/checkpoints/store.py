"""The store of a training's checkpoints: its interface, and the simplest one, a folder.

``checkpoints/registry.py`` has another, which outlives a Job's pod.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol


class Checkpoints(Protocol):
    """A store of checkpoints. ``key`` is the hash of all that determines a training, 32 hexadecimal digits."""

    def find(self, key: str, *, max_bytes: int) -> Iterator[Path]:
        """Yields files that may be checkpoints of the training ``key``, the most advanced first; the caller validates
        them.

        None of more than ``max_bytes`` is fetched. A file exists until the next is requested, or ``keep`` is called.
        """

    def keep(self, key: str, epochs: int, write: Callable[[Path], None], *, last: bool) -> None:
        """Stores the file that ``write`` makes, after ``epochs``; with ``last``, the training is complete. Raises
        OSError, and as ``write``."""


class CheckpointFolder:
    """A folder with one file per training: the latest checkpoint replaces the one before."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, key: str) -> Path:
        """Returns the path of the checkpoint under ``key``, whether it exists or not."""
        return self._folder / f"{key}.checkpoint"

    def find(self, key: str, *, max_bytes: int) -> Iterator[Path]:
        """Yields the training's file, of any size: ``max_bytes`` limits only what has to be fetched."""
        if self.path(key).exists():
            yield self.path(key)

    def keep(self, key: str, epochs: int, write: Callable[[Path], None], *, last: bool) -> None:
        """Stores the file under another name first, so that a kill in between leaves the one before."""
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self.path(key).with_suffix(".partial")
        try:
            write(partial)
            partial.replace(self.path(key))
        finally:
            partial.unlink(missing_ok=True)

    def keep_only(self, key: str) -> None:
        """Deletes the checkpoints of other trainings."""
        for other in self._folder.glob("*.checkpoint"):
            if other != self.path(key):
                other.unlink()
