"""Files of safetensors, valid and invalid ones."""

import json
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
DTYPES = {"f4": "F32", "f8": "F64", "f2": "F16", "i8": "I64", "i4": "I32", "u2": "U16", "u1": "U8", "b1": "BOOL"}


def entry(array: Array, begin: int = 0) -> dict[str, Any]:
    """Returns the header's entry for ``array``, whose data start at ``begin``."""
    dtype = DTYPES[array.dtype.str[1:]]
    return {"dtype": dtype, "shape": list(array.shape), "data_offsets": [begin, begin + array.nbytes]}


def packed(header: Any, data: bytes = b"") -> bytes:
    """Returns the file. ``header`` is a value that becomes JSON, or the bytes themselves."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def write(path: Path, **weights: Array) -> Path:
    """Writes a valid file."""
    header, data = {"__metadata__": {"format": "np"}}, b""
    for name, array in weights.items():
        header[name] = entry(array, len(data))
        data += array.tobytes()
    path.write_bytes(packed(header, data))
    return path
