"""Removes files that no program of an image reads; each list has its reason. Licences are never removed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

_LICENCE_WORDS = ("copyright", "licen", "copying", "notice", "authors")


def is_licence(path: Path) -> bool:
    """Returns whether a name is that of a licence: ``copyright``, ``LICENSE.txt``, ``licenses/…``; never
    ``copyright.py``."""
    if path.suffix in {".py", ".pyc", ".so"}:
        return False
    return any(word in part.lower() for part in (path.name, path.parent.name) for word in _LICENCE_WORDS)


def prune(root: Path, lists: Mapping[str, Iterable[str]], **words: str) -> int:
    """Deletes the files that match the patterns (glob, relative to ``root``), except licences, and returns the bytes
    freed.

    ``lists`` has patterns by their reason, in which ``{name}`` stands for one of ``words``.
    """
    freed = 0
    for patterns in lists.values():
        for pattern in patterns:
            for path in list(root.glob(pattern.format(**words) if words else pattern)):
                freed += _remove(path)
    return freed


def keep_only(root: Path, patterns: Iterable[str], **words: str) -> None:
    """Deletes every file that matches none of ``patterns`` and is not a licence."""
    kept = {path for pattern in patterns for path in root.glob(pattern.format(**words) if words else pattern)}
    for path in list(root.rglob("*")):
        if (path.is_symlink() or path.is_file()) and path not in kept and not is_licence(path):
            path.unlink()
    drop_empty_directories(root)


def drop_empty_directories(root: Path) -> None:
    """Deletes the folders below ``root`` that hold nothing but empty folders."""
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
            path.rmdir()


def _remove(path: Path) -> int:
    if path.is_symlink() or path.is_file():
        if is_licence(path):
            return 0
        size = path.lstat().st_size
        path.unlink()
        return size
    if not path.is_dir():
        return 0  # already deleted with a folder of an earlier pattern
    freed = sum(_remove(child) for child in list(path.iterdir()))
    if not any(path.iterdir()):
        path.rmdir()
    return freed
