"""Fits an array to an input of the model if nothing is lost, and reports it; otherwise refuses it.

Tools save arrays in many forms: with numpy's default types, big-endian, with a batch axis around each sample. Values
decide, not types: whole numbers in floats are whole numbers.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge_compressor.datasets.dataset import invalid
from edge_compressor.models import runtime
from edge_runtime.datatypes import BFLOAT16, Array, from_numbers
from edgemodel.artifact import Tensor

_CHUNK_VALUES: Final = 1 << 20
"""The number of values that are converted at once, since a data set need not fit into memory."""
_NUMBERS: Final = "biuf"


def in_native_order(array: Array, file: Path) -> Array:
    """Returns ``array`` in this machine's byte order; a converted one lies in ``file``."""
    native = array.dtype.newbyteorder("=")
    if array.dtype == native or array.dtype.hasobject:
        return array
    return _converted(array, native, file) if array.ndim else array.astype(native)


def fit_type(array: Array, tensor: Tensor, file: Path, what: str) -> tuple[Array, str]:
    """Returns ``array`` in the datatype of ``tensor``, and a description of the change; empty if there was none.

    ``array`` is in native byte order. A float may be rounded to a narrower float; every other change of a value is
    refused. A converted array lies in ``file``. Raises Stalled(DatasetInvalid).
    """
    want = runtime.dtype_of(tensor)
    if tensor.datatype == BFLOAT16:
        return (from_numbers(BFLOAT16, array) if array.dtype.kind == "f" else array), ""
    if array.dtype == want or (want.kind == "U" and array.dtype.kind == "U"):
        return array, ""
    told = (
        f"array {tensor.name} holds {array.dtype}, the model's input wants {'texts' if want.kind == 'U' else want.name}"
    )
    if want.kind == "U" and array.dtype.kind == "S":
        if (texts := decoded(array)).dtype.kind == "U":
            return texts, f"{told}: decoded as UTF-8"
        raise invalid(what, f"{told}, and some are not UTF-8")
    if array.dtype.kind not in _NUMBERS or want.kind not in _NUMBERS:
        raise invalid(what, told)
    for part in _chunks(array):
        if (lost := first_lost(part, want)) is not None:
            raise invalid(what, f"{told}, and {part.flat[lost]} would change: store it as {want.name}")
    rounded = array.dtype.kind == "f" and want.kind == "f" and want.itemsize < array.dtype.itemsize
    return _converted(array, want, file), f"{told}: {'rounded' if rounded else 'converted, no value changes'}"


def decoded(array: Array) -> Array:
    """Returns bytes as texts if they are UTF-8; otherwise ``array`` unchanged."""
    if array.dtype.kind == "S":
        with contextlib.suppress(UnicodeDecodeError):
            return np.char.decode(array, "utf-8")
    return array


def fit_axes(array: Array, tensor: Tensor, *, whole: bool) -> tuple[Array, str]:
    """Returns ``array`` with the axes of ``tensor``, and a description of the change; empty if there was none.

    An axis of length 1 that stands for a batch of one sample is added or removed if the shape then matches.
    """
    shape = tensor.shape if whole else tensor.shape[1:]
    if _fits(array.shape[1:], shape):
        return array, ""
    if whole and shape and shape[0] in (-1, 1) and _fits(array.shape[1:], shape[1:]):
        return array[:, None], f"array {tensor.name}: each sample is a batch of one"
    if not whole and array.shape[1:2] == (1,) and _fits(array.shape[2:], shape):
        return array[:, 0], f"array {tensor.name}: the batch axis around each sample is left out"
    return array, ""


def _fits(have: tuple[int, ...], want: tuple[int, ...]) -> bool:
    return len(have) == len(want) and all(need < 0 or size == need for size, need in zip(have, want, strict=True))


def first_lost(part: Array, want: np.dtype[Any]) -> int | None:
    """Returns the place of the first value of ``part`` that ``want`` cannot hold; None if it holds all."""
    with np.errstate(all="ignore"):
        cast = part.astype(want)
        if part.dtype.kind == "f" and want.kind == "f":
            same = np.isfinite(cast) | ~np.isfinite(part)
        else:
            same = (cast.astype(part.dtype) == part) & _same_sign(cast, part)
    return None if same.all() else int(np.flatnonzero(~same.ravel())[0])


def _same_sign(cast: Array, part: Array) -> Array:
    """Returns whether signs agree, since the bits of a large unsigned number are those of a negative one."""
    if cast.dtype.kind == "b" or part.dtype.kind == "b":
        return np.ones(part.shape, bool)
    return np.asarray((cast < 0) == (part < 0))


def _chunks(array: Array) -> Iterator[Array]:
    """Yields ``array`` in parts along its first axis."""
    rows = max(1, _CHUNK_VALUES * max(len(array), 1) // max(array.size, 1))
    for start in range(0, len(array), rows):
        yield array[start : start + rows]


def _converted(array: Array, want: np.dtype[Any], file: Path) -> Array:
    """Returns ``array`` as ``want``, mapped from ``file``, which is written part by part."""
    made = np.lib.format.open_memmap(file, "w+", want, array.shape)
    start = 0
    for part in _chunks(array):
        made[start : start + len(part)] = part
        start += len(part)
    made.flush()
    return np.lib.format.open_memmap(file, "r")
