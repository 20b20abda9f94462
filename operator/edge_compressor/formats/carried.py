"""The files that come with a model from its folder into the artifact: settings, tokenizer, chat template, licences."""

from collections.abc import Callable, Container
from pathlib import Path, PurePosixPath
from typing import Final

from edge_compressor.formats.content import files_in
from edgemodel.errors import Stalled

MAX_CARRIED_BYTES: Final = 256 << 20
"""The largest size of all files together that come with a model."""
_SUFFIXES: Final = (".json", ".jinja", ".txt", ".model", ".md")
_LICENCES: Final = ("LICENSE", "LICENCE", "NOTICE", "COPYING")


def carried_files(
    folder: Path,
    besides: Container[Path],
    *,
    what: str,
    reason: str,
    name_of: Callable[[str], str] = lambda name: name,
) -> tuple[dict[str, Path], list[str]]:
    """Returns the files of ``folder`` that the artifact gets, by their names there, and remarks on those that it does
    not.

    ``besides`` holds the files of the model itself. ``name_of`` gives the name in the artifact by that in the folder.
    Raises Stalled with ``reason``, naming ``what`` it is, for two files of one name, and for too many bytes.
    """
    carried: dict[str, Path] = {}
    notes = []
    for name in files_in(folder):
        file = folder / name
        if file in besides:
            continue
        if not _is_carried(name):
            notes.append(f"left out of the artifact: {name}")
            continue
        own = name_of(name)
        if own in carried and carried[own].read_bytes() != file.read_bytes():
            raise Stalled(reason, f"{what}: {own} is there twice, also as {name}, and they differ: keep the right one")
        carried[own] = file
    if (size := sum(file.stat().st_size for file in carried.values())) > MAX_CARRIED_BYTES:
        message = f"the files beside the model have {size} bytes, limit {MAX_CARRIED_BYTES} bytes"
        raise Stalled(reason, f"{what}: {message}: leave out what serving does not need")
    return carried, notes


def _is_carried(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix in _SUFFIXES or path.name.upper().startswith(_LICENCES)
