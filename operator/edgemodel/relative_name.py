"""Names of files in a set: relative, with ``/`` between folders, and never out of the folder that holds the set."""

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final

MAX_LENGTH: Final = 240
"""The largest length of a name, in bytes of UTF-8."""


def check_name(name: str) -> str:
    """Returns ``name``. Raises ValueError unless it names a file below a folder, the same way on every system."""
    if not name:
        raise ValueError("a file has an empty name")
    if len(name.encode(errors="replace")) > MAX_LENGTH:
        raise ValueError(f"a file's name has more than {MAX_LENGTH} bytes: {name[:40]!r}…")
    if "\\" in name or not name.isprintable():
        raise ValueError(f"{name!r} is not the name of a file: it has a backslash or a control character")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or str(path) != name or name == ".":
        raise ValueError(f"{name!r} is not a relative name: want FOLDER/FILE, without . and .. and an empty part")
    return name


def check_names(names: Iterable[str]) -> None:
    """Raises ValueError unless all ``names`` can lie below one folder: none is the folder of another."""
    known = {check_name(name) for name in names}
    for name in sorted(known):
        for parent in PurePosixPath(name).parents:
            if str(parent) in known:
                raise ValueError(f"{str(parent)!r} is a file, and the folder of {name!r}")
