"""Checks that a file of safetensors holds weights and nothing else, before a user's converter or ours gets it.

The format: eight bytes with the length of a header, the header (JSON: a name -> dtype, shape, data_offsets), and the
data of the tensors one after the other. It holds no code, but a crafted file could make readers in other languages read
out of bounds.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from edge_runtime.datatypes import Array
from edgemodel import reasons
from edgemodel.error_words import in_words
from edgemodel.errors import Stalled

MAX_HEADER_BYTES: Final = 16 * 2**20
MAX_DIMENSIONS: Final = 32
METADATA: Final = "__metadata__"
_LENGTH_BYTES: Final = 8
_CHUNK_BYTES: Final = 1 << 24

_SIZES: Final = {
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2"), 1),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 2),
    **dict.fromkeys(("U32", "I32", "F32"), 4),
    **dict.fromkeys(("U64", "I64", "F64"), 8),
}
"""The size of a value in bytes, by dtype."""
_EXPONENTS: Final[dict[str, tuple[np.dtype[Any], Any]]] = {
    "F8_E4M3": (np.dtype("u1"), np.uint8(0x7F)),
    "F8_E5M2": (np.dtype("u1"), np.uint8(0x7C)),
    "F16": (np.dtype("<u2"), np.uint16(0x7C00)),
    "BF16": (np.dtype("<u2"), np.uint16(0x7F80)),
    "F32": (np.dtype("<u4"), np.uint32(0x7F80_0000)),
    "F64": (np.dtype("<u8"), np.uint64(0x7FF0_0000_0000_0000)),
}
"""The type that values are read as, and the bits that are all set in a number that is not finite. F8_E4M3 has no
infinity, and one NaN."""


class _Weight(NamedTuple):
    begin: int
    end: int
    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class StoredWeight:
    """A weight in a checked file."""

    path: Path
    dtype: str
    """One of the names of dtypes of safetensors, such as ``BF16``."""
    shape: tuple[int, ...]
    begin: int
    """The place of its first byte in the file."""


class _Unsound(Exception):
    """The file is invalid; the text says why."""


def check_safetensors(path: Path, *, what: str = "source", reason: str = reasons.SOURCE_INVALID) -> frozenset[str]:
    """Returns the names of the weights. Raises Stalled with ``reason``, naming ``what`` it is, unless every check of
    this module passes."""
    try:
        size = path.stat().st_size
        header, length = _read_header(path, size)
        weights = sorted(_weights(header))
        data_begin = _LENGTH_BYTES + length
        _check_layout(weights, size - data_begin)
        for weight in weights:
            _check_finite(path, weight, data_begin)
        return frozenset(weight.name for weight in weights)
    except _Unsound as error:
        raise Stalled(reason, f"{what}: {error}") from error


def stored_weights(path: Path) -> dict[str, StoredWeight]:
    """Returns the weights by name of a file that ``check_safetensors`` has passed; their values stay in the file."""
    header, length = _read_header(path, path.stat().st_size)
    begin = _LENGTH_BYTES + length
    return {one.name: StoredWeight(path, one.dtype, one.shape, begin + one.begin) for one in _weights(header)}


def _read_header(path: Path, size: int) -> tuple[dict[str, Any], int]:
    """Returns the header, and its size in bytes."""
    with path.open("rb") as file:
        head = file.read(_LENGTH_BYTES + 1)
        if head[_LENGTH_BYTES:] != b"{":
            raise _Unsound(_told_apart(head))
        length = int.from_bytes(head[:_LENGTH_BYTES], "little")
        if length > MAX_HEADER_BYTES:
            raise _Unsound(f"its header says that it has {length} bytes, limit {MAX_HEADER_BYTES} bytes")
        if length > size - _LENGTH_BYTES:
            raise _Unsound(f"its header says that it has {length} bytes, and the file has {size} in all")
        file.seek(_LENGTH_BYTES)
        text = file.read(length)
    try:
        header = json.loads(text.decode(), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise _Unsound(f"its header is not JSON that can be read: {in_words(error, 200)}") from error
    return header, length


def _told_apart(head: bytes) -> str:
    save = "save the weights with safetensors.torch.save_file"
    if not head:
        return f"the file is empty: {save}"
    if head[:1] == b"\x80" or head[:2] == b"PK":
        return f"it is a pickle (.pt, .bin, of torch.save), which can run any code when it is loaded: {save}"
    return f"it is not a safetensors file: {save}"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Unsound("its header has a name twice")
    return found


def _weights(header: dict[str, Any]) -> list[_Weight]:
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise _Unsound(f"{METADATA} has to hold texts by name")
    if not header:
        raise _Unsound("it holds no weights")
    return [_weight(name, entry) for name, entry in header.items()]


def _weight(name: str, entry: Any) -> _Weight:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise _Unsound(f"the weight {name!r} needs dtype, shape and data_offsets, and nothing besides")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _SIZES:
        raise _Unsound(f"the weight {name!r} is of dtype {str(dtype)[:40]}, want one of {', '.join(_SIZES)}")
    if not _counts(shape) or len(shape) > MAX_DIMENSIONS:
        raise _Unsound(f"the weight {name!r}: its shape is not a list of at most {MAX_DIMENSIONS} sizes")
    if not _counts(offsets) or len(offsets) != 2:
        raise _Unsound(f"the weight {name!r}: its data_offsets are not two counts of bytes")
    begin, end = offsets
    wanted = math.prod(shape) * _SIZES[dtype]
    if end - begin != wanted:
        raise _Unsound(f"the weight {name!r}: {dtype} of shape {shape} takes {wanted} bytes, and has {end - begin}")
    return _Weight(begin, end, name, dtype, tuple(shape))


def _counts(value: Any) -> bool:
    """Returns whether the value is a list of whole numbers from 0; true and false are not numbers."""
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _check_layout(weights: list[_Weight], data_bytes: int) -> None:
    """Checks that every byte belongs to one weight. ``weights`` are in the order of their data."""
    reached = 0
    for weight in weights:
        if weight.begin != reached:
            what = "overlaps the weight before it" if weight.begin < reached else "leaves a hole before it"
            raise _Unsound(f"the weight {weight.name!r} {what}: it begins at {weight.begin}, want {reached}")
        reached = weight.end
    if reached != data_bytes:
        raise _Unsound(f"its weights take {reached} bytes, and the file has {data_bytes} for them")


def _check_finite(path: Path, weight: _Weight, data_begin: int) -> None:
    if weight.dtype not in _EXPONENTS or weight.begin == weight.end:
        return
    bits, exponent = _EXPONENTS[weight.dtype]
    # Only aligned data can be mapped as another type than bytes.
    mapped: Array = np.memmap(path, np.uint8, "r", data_begin + weight.begin, (weight.end - weight.begin,))
    count = len(mapped) // bits.itemsize
    wrong = 0
    for at in range(0, len(mapped), _CHUNK_BYTES):
        values = np.frombuffer(mapped[at : at + _CHUNK_BYTES].tobytes(), bits)
        wrong += int(np.count_nonzero((values & exponent) == exponent))
    if wrong:
        raise _Unsound(f"{wrong} of {count} values of the weight {weight.name!r} are not finite numbers")
