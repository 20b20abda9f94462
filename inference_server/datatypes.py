"""The datatypes of the protocol, and what each is in numpy, ONNX Runtime and JSON.

BF16 has no numpy type: its arrays are uint16, two bytes a value, as they travel. BYTES are Python
strings: ONNX Runtime's Python interface takes UTF-8 text only.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Datatype:
    name: str
    onnx: str
    """The element type in ONNX Runtime's words, as in ``tensor(float)``."""
    numpy: np.dtype[np.generic]
    """Little endian, as on the wire; object for BYTES."""
    json: type | None
    """What an element is in JSON; None when the type travels as binary only."""


def _datatype(name: str, onnx: str, numpy: str, json: type | None) -> Datatype:
    return Datatype(name, onnx, np.dtype(numpy), json)


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
        _datatype("BF16", "bfloat16", "<u2", None),
        _datatype("BYTES", "string", "O", str),
    )
}

BY_ONNX_TYPE = {f"tensor({datatype.onnx})": datatype for datatype in DATATYPES.values()}
