"""The store of a training's checkpoints: its interface, and the simplest one, a folder.

``checkpoints/registry.py`` has another, which outlives a Job's pod.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol


class Checkpoints(Protocol):
    """``key``: 32 hexadecimal digits, of all that determines a training."""

    def find(self, key: str, *, max_bytes: int) -> Iterator[Path]:
        """Files that may hold how far the training ``key`` came, the best first; the caller sees whether one does.

        None of more than ``max_bytes`` is fetched. A file is there until the next is asked for, or ``keep`` is called.
        """

    def keep(self, key: str, epochs: int, write: Callable[[Path], None], *, last: bool) -> None:
        """``write`` makes the file, after ``epochs``, which with ``last`` are all. Raises OSError, and as ``write``."""


class CheckpointFolder:
    """One file a training: the latest checkpoint takes the place of the one before."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, key: str) -> Path:
        return self._folder / f"{key}.checkpoint"

    def find(self, key: str, *, max_bytes: int) -> Iterator[Path]:
        """``max_bytes`` is about what has to be fetched."""
        if self.path(key).exists():
            yield self.path(key)

    def keep(self, key: str, epochs: int, write: Callable[[Path], None], *, last: bool) -> None:
        """Under another name first, so that a kill in the middle leaves the one before."""
        self._folder.mkdir(parents=True, exist_ok=True)
        partial = self.path(key).with_suffix(".partial")
        try:
            write(partial)
            partial.replace(self.path(key))
        finally:
            partial.unlink(missing_ok=True)

    def keep_only(self, key: str) -> None:
        """The checkpoints of other trainings go."""
        for other in self._folder.glob("*.checkpoint"):
            if other != self.path(key):
                other.unlink()
