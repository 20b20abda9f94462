"""The datatypes of the Open Inference Protocol, with their counterparts in numpy, ONNX Runtime and JSON.

numpy has no BF16: its arrays hold the bit patterns as uint16, two bytes per value, as on the wire. An array of BYTES
holds Python strings.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]  # not numpy.typing: the server's image leaves it out


@dataclass(frozen=True)
class Datatype:
    """A datatype by its names in the protocol, ONNX Runtime, numpy and JSON."""

    name: str
    onnx: str
    """The element type as ONNX Runtime names it, such as ``tensor(float)``."""
    numpy: np.dtype[np.generic]
    """The numpy type, little endian as on the wire; object for BYTES."""
    json: type | None
    """The type of an element in JSON; None if the datatype is transferred as binary data only."""

    @property
    def is_float(self) -> bool:
        """True for every floating-point datatype, including BF16, whose arrays have a whole-number type in numpy."""
        return self.numpy.kind == "f" or self.name == BFLOAT16


def _datatype(name: str, onnx: str, numpy: str, json: type | None) -> Datatype:
    return Datatype(name, onnx, np.dtype(numpy), json)


BFLOAT16 = "BF16"

DATATYPES = {
    datatype.name: datatype
    for datatype in (
        _datatype("BOOL", "bool", "?", bool),
        _datatype("UINT8", "uint8", "u1", int),
        _datatype("UINT16", "uint16", "<u2", int),
        _datatype("UINT32", "uint32", "<u4", int),
        _datatype("UINT64", "uint64", "<u8", int),
        _datatype("INT8", "int8", "i1", int),
        _datatype("INT16", "int16", "<i2", int),
        _datatype("INT32", "int32", "<i4", int),
        _datatype("INT64", "int64", "<i8", int),
        _datatype("FP16", "float16", "<f2", None),
        _datatype("FP32", "float", "<f4", float),
        _datatype("FP64", "double", "<f8", float),
        _datatype(BFLOAT16, "bfloat16", "<u2", None),
        _datatype("BYTES", "string", "O", str),
    )
}

BY_ONNX_TYPE = {f"tensor({datatype.onnx})": datatype for datatype in DATATYPES.values()}


def as_numbers(datatype: str, array: Array) -> Array:
    """Returns ``array`` with values that compare and count as numbers: BF16 bit patterns become float32."""
    if datatype != BFLOAT16:
        return array
    wide = array.astype(np.uint32)
    wide <<= 16
    return wide.view(np.float32)


def from_numbers(datatype: str, values: Array) -> Array:
    """Returns floats or whole numbers as an array of ``datatype``, which is not BYTES.

    BF16 is rounded to the nearest, ties to even, as IEEE 754 has it; NaN stays NaN.
    """
    if datatype != BFLOAT16:
        return values.astype(DATATYPES[datatype].numpy)
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) >> 16
    quiet_nan = (bits >> 16) | 0x40
    return np.where(np.isnan(bits.view(np.float32)), quiet_nan, rounded).astype("<u2")
