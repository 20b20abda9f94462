"""Conversions of tensor data between JSON values, bytes on the wire and numpy arrays. Pure.

Every function raises InvalidRequest; ``name`` is only for its message.
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from functools import cache, lru_cache
from itertools import chain
from math import inf, nan, prod
from typing import Any, Literal

import msgspec
import numpy as np

from edge_runtime.datatypes import Array, Datatype
from edgemodel.error_words import in_words
from inference_server.errors import InvalidRequest, UnfitRequest

Buffer = bytes | memoryview

MAX_ELEMENTS = 2**31 - 1
"""The largest product of a shape, with an empty dimension counted as 1; no arithmetic on shapes overflows below it."""

_OPENING_BRACKETS = re.compile(rb"[\s\[]*")
_MAX_DIMENSIONS_SHOWN = 32  # dimensions
_FEW = 64  # values that Python compares faster than numpy
_NULL = re.compile(rb"[\[,]\s*null")
_Word = Literal["NaN", "Infinity", "-Infinity"]
_WORDS: dict[Any, float] = {None: nan, "NaN": nan, "Infinity": inf, "-Infinity": -inf}
"""The floats that JSON lacks, as clients write them; answers have null for each of them."""
_LARGEST = {"FP32": float(np.finfo(np.float32).max), "FP64": float(np.finfo(np.float64).max)}
_LENGTH_BYTES = 4  # of the unsigned little-endian length before each BYTES element


def check_shape(name: str, shape: Sequence[int], declared: Sequence[int]) -> int:
    """Returns the number of elements. ``declared`` has -1 for an open dimension, which accepts any size from 0 on."""
    return _elements(name, tuple(shape), tuple(declared))


@lru_cache(1024)
def _elements(name: str, shape: tuple[int, ...], declared: tuple[int, ...]) -> int:
    if len(shape) != len(declared):  # first: the product of very many sizes takes very long
        given = list(shape) if len(shape) <= _MAX_DIMENSIONS_SHOWN else f"of {len(shape)} dimensions"
        raise UnfitRequest(f"input {name!r}: shape {given}, want {list(declared)} (-1: any size)")
    if any(size < 0 for size in shape):
        raise InvalidRequest(f"input {name!r}: shape {list(shape)} has a negative dimension, want sizes from 0 on")
    if prod(max(size, 1) for size in shape) > MAX_ELEMENTS:
        raise InvalidRequest(f"input {name!r}: shape {list(shape)} is too large, limit {MAX_ELEMENTS} elements")
    if any(want not in (-1, size) for size, want in zip(shape, declared, strict=True)):
        raise UnfitRequest(f"input {name!r}: shape {list(shape)}, want {list(declared)} (-1: any size)")
    return prod(shape)


def from_json(name: str, datatype: Datatype, shape: Sequence[int], data: msgspec.Raw) -> Array:
    """Returns the array of ``data``: a flat list in row-major order, lists nested like ``shape``, or the bare value of
    a scalar."""
    if datatype.json is None:
        raise InvalidRequest(f"input {name!r}: {datatype.name} has no JSON form, send it as binary data")
    opening = _OPENING_BRACKETS.match(data)
    depth = opening.group().count(b"[") if opening else 0
    if depth != 1 and depth != len(shape):
        raise InvalidRequest(
            f"input {name!r}: data is nested {depth} deep, want 1 or {len(shape)}, as shape {list(shape)}"
        )
    to_array = from_flat
    try:
        values = _decoder(datatype.json, depth).decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        values = _decode_missing(name, datatype, depth, data, error)
        to_array = _from_words
    flat = _flatten(name, [values] if depth == 0 else values, shape if depth > 1 else None)
    if len(flat) != (wanted := prod(shape)):
        raise InvalidRequest(
            f"input {name!r}: data has {len(flat)} elements, want {wanted} for the shape {list(shape)}"
        )
    return to_array(name, datatype, flat).reshape(shape)


def from_bytes(name: str, datatype: Datatype, shape: Sequence[int], data: memoryview) -> Array:
    """Returns the array of ``data``, without a copy if the bytes are aligned; it is read-only then."""
    if datatype.name == "BYTES":
        return _strings(name, prod(shape), data).reshape(shape)
    wanted = prod(shape) * datatype.numpy.itemsize
    if len(data) != wanted:
        raise InvalidRequest(
            f"input {name!r}: {len(data)} bytes of data, want {wanted} for {datatype.name} of shape {list(shape)}"
        )
    if datatype.name == "BOOL" and np.any(np.frombuffer(data, np.uint8) > 1):
        raise InvalidRequest(f"input {name!r}: a BOOL byte is neither 0 nor 1")
    array: Array = np.frombuffer(data, datatype.numpy).reshape(shape)
    return array if array.flags.aligned else array.copy()


def to_json(name: str, datatype: Datatype, array: Array) -> list[Any]:
    """Returns a flat list, in row-major order. JSON has no NaN and no Infinity: they become null; binary data are
    exact."""
    if datatype.json is None:
        raise UnfitRequest(f"output {name!r}: {datatype.name} has no JSON form, ask for it with binary_data")
    flat: list[Any] = array.ravel().tolist()
    return flat


def to_bytes(datatype: Datatype, array: Array) -> bytes:
    """Returns the elements in row-major order, little endian; each element of BYTES is preceded by its length."""
    if datatype.name != "BYTES":
        return np.ascontiguousarray(array, datatype.numpy).tobytes()
    elements = [text.encode() for text in array.ravel().tolist()]
    return b"".join(len(element).to_bytes(_LENGTH_BYTES, "little") + element for element in elements)


@cache
def _decoder(element: Any, depth: int) -> msgspec.json.Decoder[Any]:
    wanted = element
    for _ in range(depth):
        wanted = list.__class_getitem__(wanted)
    return msgspec.json.Decoder(wanted)


def _decode_missing(name: str, datatype: Datatype, depth: int, data: msgspec.Raw, error: Exception) -> Any:
    """Returns the array of floats with null and words among them."""
    if datatype.json is float:
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            return _decoder(float | None | _Word, depth).decode(data)
    missing = "; only a float can be missing, as null" if datatype.json is not float and _NULL.search(data) else ""
    raise InvalidRequest(f"input {name!r}: data is not {datatype.name}: {in_words(error)}{missing}") from error


def _flatten(name: str, values: list[Any], shape: Sequence[int] | None) -> list[Any]:
    """Returns the elements of ``values``, nested like ``shape``; None means that ``values`` is flat already."""
    if shape is None:
        return values
    if len(values) != shape[0]:
        raise _misshapen(name, 0, len(values), shape)
    for axis, size in enumerate(shape[1:], start=1):
        for row in values:
            if len(row) != size:
                raise _misshapen(name, axis, len(row), shape)
        values = list(chain.from_iterable(values))
    return values


def _misshapen(name: str, axis: int, size: int, shape: Sequence[int]) -> InvalidRequest:
    given = f"data has a list of {size} in dimension {axis}"
    return InvalidRequest(f"input {name!r}: {given}, want {shape[axis]}, as shape {list(shape)}")


def from_flat(name: str, datatype: Datatype, flat: list[Any]) -> Array:
    """Returns the array of ``flat``, JSON's elements of ``datatype``. Raises InvalidRequest for one out of its
    range."""
    if datatype.json is float and 0 < len(flat) <= _FEW:
        largest = _LARGEST[datatype.name]
        if -largest <= min(flat) and max(flat) <= largest:
            return np.array(flat, datatype.numpy)
    try:
        with np.errstate(over="ignore"):
            array: Array = np.array(flat, datatype.numpy)
    except OverflowError as error:
        raise InvalidRequest(f"input {name!r}: data is out of the range of {datatype.name}") from error
    if datatype.json is float and not np.isfinite(array).all():
        raise InvalidRequest(f"input {name!r}: data is out of the range of {datatype.name}")
    return array


def _from_words(name: str, datatype: Datatype, flat: list[Any]) -> Array:
    """Returns the array of ``flat``, which holds floats, null and words."""
    wide = np.array([value if type(value) is float else _WORDS[value] for value in flat], np.float64)
    with np.errstate(over="ignore"):
        array: Array = wide.astype(datatype.numpy)
    if (np.isinf(array) & np.isfinite(wide)).any():
        raise InvalidRequest(f"input {name!r}: data is out of the range of {datatype.name}")
    return array


def _strings(name: str, count: int, data: memoryview) -> Array:
    """Returns ``count`` elements of BYTES, each preceded by its length."""
    elements: list[str] = []
    at = 0
    while at < len(data):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(data[at:start], "little")
        if start > len(data) or at > len(data):
            raise InvalidRequest(
                f"input {name!r}: BYTES element {len(elements)} ends beyond its {len(data)} bytes of data"
            )
        elements.append(text(name, len(elements), data[start:at]))
    if len(elements) != count:
        raise InvalidRequest(f"input {name!r}: {len(elements)} BYTES elements, want {count}")
    return np.array(elements, object)


def text(name: str, index: int, data: memoryview) -> str:
    """Returns one BYTES element; ONNX strings are UTF-8."""
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"input {name!r}: BYTES element {index} is not UTF-8: {in_words(error)}") from error
