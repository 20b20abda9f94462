"""The recognition of a source by the first bytes of a file, or by the names in a folder."""

from pathlib import Path
from typing import Final

_HEADER_BEGIN: Final = 8


def starts_with(path: Path, *beginnings: bytes) -> bool:
    """Returns whether the file begins with one of ``beginnings``."""
    with path.open("rb") as file:
        return file.read(max(map(len, beginnings))).startswith(beginnings)


def is_safetensors(path: Path) -> bool:
    """Returns whether the file has the length of a JSON header, and then its beginning."""
    with path.open("rb") as file:
        head = file.read(_HEADER_BEGIN + 1)
    return head[_HEADER_BEGIN:] == b"{" and int.from_bytes(head[:_HEADER_BEGIN], "little") < 1 << 32


def files_in(folder: Path) -> list[str]:
    """Returns the relative names of all files in a folder, sorted."""
    return sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
