"""Reads the small files that a user names: manifests, credentials, tokens.

A pipe, a device or an endless file is reported, and never waited for.
"""

import os
import stat
from pathlib import Path
from typing import Final

from edgemodel.error_words import in_words

MAX_BYTES: Final = 16 * 2**20
_STREAMS: Final = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")
"""The files that a shell makes for ``-`` and ``<(…)``: pipes with a writer."""


class UnreadableFile(Exception):
    """The file cannot be read; the message names it and says why."""


def read_bytes(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Returns the contents of the file, through symbolic links.

    Raises UnreadableFile if it does not exist or may not be read, for a folder, a device, a pipe that no shell has
    made, and for more than ``max_bytes``.
    """
    try:
        check_file(path)
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:
        raise UnreadableFile(f"{_shown(path)} cannot be read: {_without_name(error)}") from error
    if len(data) > max_bytes:
        raise UnreadableFile(f"{path} has more than {max_bytes} bytes, the limit of such a file: is it another one?")
    return data


def check_file(path: Path) -> None:
    """Raises UnreadableFile for what is no file, such as a folder, a device or a pipe, and OSError if there is none."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or _is_stream(path, mode)):
        raise UnreadableFile(f"{path} cannot be read: it is {_kind(mode)}, not a file")


def read_text(path: Path, max_bytes: int = MAX_BYTES) -> str:
    """Returns the contents as text, without a byte order mark. Raises as ``read_bytes``, and for text that is not
    UTF-8."""
    data = read_bytes(path, max_bytes)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"{path} cannot be read: {in_words(error)}") from error


def _is_stream(path: Path, mode: int) -> bool:
    return str(path).startswith(_STREAMS) and (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode))


def _kind(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"


def _without_name(error: Exception) -> str:
    """Returns the message of a system error without the name of the file."""
    return in_words(OSError(error.errno, error.strerror)) if isinstance(error, OSError) else in_words(error)


def _shown(path: Path) -> str:
    return os.fsencode(path).decode(errors="replace").replace("\0", "\\0")[:300]
