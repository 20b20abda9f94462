"""Open Inference Protocol v2 over gRPC: infer requests and replies. Pure.

A tensor's data lies in ``raw_input_contents``, one element for each input in order, or typed in ``contents``. A reply
has the form of its request.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge_runtime.datatypes import DATATYPES, Array
from edgemodel.artifact import Tensor
from inference_server.errors import InvalidRequest
from inference_server.identity import Identity
from inference_server.listeners.grpc.open_inference_pb2 import ModelInferResponse
from inference_server.protocol import infer, tensors
from inference_server.protocol.infer import Inference, Outputs, RequestSignature, Wanted

CONTENTS = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""The field that holds the values of each datatype; FP16 and BF16 are transferred raw only."""


class GrpcRequestCodec:
    """The codec of one ModelInferRequest and its ModelInferResponse."""

    __slots__ = ("_request", "_seconds", "is_binary", "is_compressed", "size")

    def __init__(self, request: Any, size: int, seconds: float | None) -> None:
        """Takes the ``size`` of the message in bytes, and the ``seconds`` until the caller's deadline; None without a
        deadline."""
        self._request, self._seconds = request, seconds
        self.size = size  # known from the wire: the message's ByteSize would serialize it again
        self.is_binary = bool(request.raw_input_contents)
        self.is_compressed = False

    def read(self, signature: RequestSignature) -> Inference:
        """Returns the request. Raises InvalidRequest, UnfitRequest."""
        request = self._request
        parameters = {name: _value(parameter) for name, parameter in request.parameters.items()}
        limits = [limit for limit in (infer.timeout(parameters), self._seconds) if limit is not None]
        feeds = _feeds(request, signature)
        return Inference(
            request.id or None,
            feeds,
            _wanted(request, signature.outputs),
            min(limits, default=None),
            len(feeds) > len(signature.inputs),
        )

    def write(self, inference: Inference, identity: Identity, arrays: Sequence[Array]) -> Any:
        """Returns the ModelInferResponse, raw or typed as the request asks for."""
        reply = ModelInferResponse(model_name=identity.model, model_version=identity.revision, id=inference.id or "")
        for wanted, array in zip(inference.wanted, arrays, strict=True):
            tensor = wanted.tensor
            output = reply.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=array.shape)
            if wanted.binary:
                reply.raw_output_contents.append(tensors.to_bytes(DATATYPES[tensor.datatype], array))
            else:
                values = array.ravel().tolist()
                if tensor.datatype == "BYTES":
                    values = [text.encode() for text in values]
                getattr(output.contents, CONTENTS[tensor.datatype]).extend(values)
        return reply


def _feeds(request: Any, signature: RequestSignature) -> dict[str, Array]:
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidRequest(
            f"raw_input_contents has {len(raw)} elements for {len(request.inputs)} inputs, want one for each, or none"
        )
    feeds: dict[str, Array] = {}
    for position, given in enumerate(request.inputs):
        if "shared_memory_region" in given.parameters:
            raise InvalidRequest(f"input {given.name!r}: shared memory is not supported, send the data in the request")
        tensor = infer.declared_input(given.name, feeds, signature.takes)
        shape = list(given.shape)
        infer.check_input(given.name, given.datatype, shape, tensor)
        if raw:
            if given.contents.ListFields():
                raise InvalidRequest(f"input {given.name!r} has both contents and raw_input_contents")
            blob = memoryview(raw[position])
            feeds[given.name] = tensors.from_bytes(given.name, DATATYPES[tensor.datatype], shape, blob)
        else:
            feeds[given.name] = _typed(given, shape)
    infer.check_all_given(feeds, signature.inputs)
    return feeds


def _typed(given: Any, shape: Sequence[int]) -> Array:
    name, datatype = given.name, DATATYPES[given.datatype]
    field = CONTENTS.get(given.datatype)
    if field is None:
        raise InvalidRequest(f"input {name!r}: {given.datatype} has no typed contents, send it in raw_input_contents")
    if wrong := [other.name for other, _ in given.contents.ListFields() if other.name != field]:
        raise InvalidRequest(f"input {name!r}: {given.datatype} lies in {field}, {wrong[0]} is given")
    values = getattr(given.contents, field)
    wanted = tensors.check_shape(name, shape, shape)
    if len(values) != wanted:
        raise InvalidRequest(
            f"input {name!r}: {field} has {len(values)} elements, want {wanted} for the shape {list(shape)}"
        )
    if given.datatype == "BYTES":
        texts = [tensors.text(name, index, memoryview(value)) for index, value in enumerate(values)]
        return np.array(texts, object).reshape(shape)
    try:
        array: Array = np.array(values, datatype.numpy)
    except OverflowError as error:
        raise InvalidRequest(f"input {name!r}: {field} is out of the range of {given.datatype}") from error
    return array.reshape(shape)


def _wanted(request: Any, declared: Mapping[str, Tensor]) -> Outputs:
    """Returns the wanted outputs; a request without ``outputs`` gets all."""
    raw = bool(request.raw_input_contents)
    asked = [
        infer.declared_output(output.name, {key: _value(one) for key, one in output.parameters.items()}, declared)
        for output in request.outputs
    ]
    wanted = [Wanted(tensor, raw) for tensor in asked or declared.values()]
    infer.check_asked_once([one.tensor.name for one in wanted])
    # All outputs have one form: if one can only be raw, all are raw.
    if any(one.tensor.datatype not in CONTENTS for one in wanted):
        return Outputs(Wanted(one.tensor, True) for one in wanted)
    return Outputs(wanted)


def _value(parameter: Any) -> Any:
    choice = parameter.WhichOneof("parameter_choice")
    return None if choice is None else getattr(parameter, choice)
