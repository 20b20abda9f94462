"""The decoder of the most common request, in one pass: JSON with inputs only, all numbers, each input's data a flat
list. Pure.

It leaves all other requests, including invalid ones, to ``protocol``, which knows all forms and the errors.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any

import msgspec
import numpy as np

from edge_runtime.datatypes import DATATYPES, Array, Datatype
from edgemodel.artifact import Tensor
from inference_server.errors import InvalidRequest
from inference_server.protocol.tensors import Buffer, check_shape

Feeds = dict[str, Array]
Decode = Callable[[Buffer], tuple[str | None, Feeds] | None]
"""A function from the body of a request to its id and feeds; None for one that is not plain, or is invalid."""


def decoder(inputs: Mapping[str, Tensor]) -> Decode | None:
    """Returns the decoder; None for a model whose inputs are not all numbers of one datatype."""
    datatypes = {DATATYPES[tensor.datatype] for tensor in inputs.values()}
    element = _element(datatypes.pop()) if len(datatypes) == 1 else None
    if element is None:
        return None
    dtype = DATATYPES[next(iter(inputs.values())).datatype].numpy
    data: Any = list.__class_getitem__(element)
    given = msgspec.defstruct(
        "Input", [("name", str), ("shape", list[int]), ("datatype", str), ("data", data)], forbid_unknown_fields=True
    )
    request = msgspec.defstruct(
        "Request", [("inputs", list.__class_getitem__(given)), ("id", str | None, None)], forbid_unknown_fields=True
    )
    decode = msgspec.json.Decoder(request).decode
    count = len(inputs)

    @lru_cache(256)
    def elements(name: str, datatype: str, *shape: int) -> int:
        """Returns the number of elements. Raises InvalidRequest."""
        declared = inputs.get(name)
        if declared is None or declared.datatype != datatype:
            raise InvalidRequest(name)
        return check_shape(name, shape, declared.shape)

    def read(body: Buffer) -> tuple[str | None, Feeds] | None:
        try:
            asked: Any = decode(body)
            feeds: Feeds = {}
            for one in asked.inputs:
                if len(one.data) != elements(one.name, one.datatype, *one.shape):
                    return None
                feeds[one.name] = np.array(one.data, dtype).reshape(one.shape)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidRequest):
            return None
        if len(feeds) != count or len(asked.inputs) != count:
            return None
        return asked.id, feeds

    return read


def _element(datatype: Datatype) -> Any:
    """Returns the JSON type of a number of ``datatype``, with its range; None if msgspec cannot check that."""
    if datatype.json is float:
        limit = float(np.finfo(datatype.numpy.name).max)
        return Annotated[float, msgspec.Meta(ge=-limit, le=limit)]
    if datatype.json is int and datatype.name != "UINT64":
        limits = np.iinfo(datatype.numpy.name)
        return Annotated[int, msgspec.Meta(ge=int(limits.min), le=int(limits.max))]
    return None
