"""A request whose body is only the model's single input (``Inference-Header-Content-Length: 0``). Pure."""

from collections.abc import Mapping
from math import prod

import numpy as np

from edge_runtime.datatypes import DATATYPES, Array
from edgemodel.artifact import Tensor
from inference_server.errors import InvalidRequest, UnfitRequest
from inference_server.protocol import tensors


def decode(body: memoryview, declared: Mapping[str, Tensor]) -> tuple[str, Array]:
    """Returns the input's name and array, with open dimensions inferred from the length of ``body``.

    One open dimension takes what the others leave. Of several, all but the last are 1: the first is the batch. The
    whole body is the one element of a BYTES input. Raises only UnfitRequest: a body that names neither datatype nor
    shape may always be meant for another model.
    """
    if len(declared) != 1:
        raise UnfitRequest(
            f"Inference-Header-Content-Length is 0, which needs a model with one input; this one has {len(declared)}"
        )
    ((name, tensor),) = declared.items()
    try:
        return name, _array(tensor, body)
    except InvalidRequest as error:
        raise UnfitRequest(str(error)) from error


def _array(tensor: Tensor, body: memoryview) -> Array:
    datatype = DATATYPES[tensor.datatype]
    if datatype.name == "BYTES":
        return _one_string(tensor, body)
    shape = _shape(tensor, len(body), datatype.numpy.itemsize)
    tensors.check_shape(tensor.name, shape, tensor.shape)
    return tensors.from_bytes(tensor.name, datatype, shape, body)


def _shape(tensor: Tensor, size: int, itemsize: int) -> list[int]:
    shape = list(tensor.shape)
    open_axes = [axis for axis, want in enumerate(shape) if want == -1]
    for axis in open_axes:
        shape[axis] = 1
    if open_axes:
        shape[open_axes[-1]] = size // max(prod(shape) * itemsize, 1)
    return shape


def _one_string(tensor: Tensor, body: memoryview) -> Array:
    shape = [1] * len(tensor.shape)
    tensors.check_shape(tensor.name, shape, tensor.shape)
    return np.array([tensors.text(tensor.name, 0, body)], object).reshape(shape)
