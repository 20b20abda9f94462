"""The files that an ONNX graph names: its weights may lie in others beside it, which are verified like the graph.

The graph is read as protobuf, as far as that takes, without onnx, which no server has. What cannot be read is refused:
a runtime might read it otherwise.
"""

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from edgemodel.error_words import in_words
from edgemodel.relative_name import check_name

_KEY: Final = b"location"
_VARINT, _FIXED_64, _BYTES, _FIXED_32 = 0, 1, 2, 5
_MAX_DEPTH: Final = 64

_MODEL: Final = "model"
_INNER: Final[Mapping[str, Mapping[int, str]]] = {
    _MODEL: {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {},
}
"""The fields of each message that lead to weights, by number, with the message that they hold."""


class LeavesFolder(ValueError):
    """The graph names a file that is not below its own folder."""


def outside_bytes(path: Path) -> int:
    """Returns the size in bytes of all files of weights that the graph at ``path`` names; 0 for one that is not whole.

    Raises OSError.
    """
    try:
        return sum((path.parent / name).stat().st_size for name in files_named(path))
    except (ValueError, FileNotFoundError):  # the runtime finds the words
        return 0


def has_operator(path: Path, operator: str) -> bool:
    """Returns whether the graph's file has the name of ``operator`` somewhere; a constant may be alike. Raises
    OSError."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(operator.encode()) >= 0


def files_named(path: Path) -> frozenset[str]:
    """Returns the relative names of the files in which weights of the graph at ``path`` lie; mostly none.

    Raises LeavesFolder, ValueError for a graph that cannot be read, and OSError.
    """
    if not path.stat().st_size:
        raise ValueError("the file is empty")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if data.find(_KEY) < 0:
            return frozenset()
        names = frozenset(name.removeprefix("./") for name in _names(data, 0, len(data), _MODEL, 0))
    for name in names:
        try:
            check_name(name)
        except ValueError as error:
            raise LeavesFolder(f"its weights lie in a file outside of its folder: {in_words(error)}") from error
    return names


def _names(data: mmap.mmap, at: int, end: int, kind: str, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        raise ValueError(f"its graph is nested more than {_MAX_DEPTH} deep")
    inner = _INNER[kind]
    key = value = b""
    while at < end:
        tag, at = _varint(data, at, end)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            _, at = _varint(data, at, end)
        elif wire in (_FIXED_64, _FIXED_32):
            at += 8 if wire == _FIXED_64 else 4
        elif wire == _BYTES:
            size, at = _varint(data, at, end)
            if at + size > end:
                raise ValueError("it ends early")
            if number in inner:
                yield from _names(data, at, at + size, inner[number], depth + 1)
            elif kind == "entry" and number == 1:
                key = data[at : at + size]
            elif kind == "entry" and number == 2:
                value = data[at : at + size]
            at += size
        else:
            raise ValueError("it is no protobuf message of ONNX")
    if at != end:
        raise ValueError("it ends early")
    if kind == "entry" and key == _KEY:
        yield value.decode()


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("it ends early, or has a number that is too long")
