"""The Open Inference Protocol v2: infer requests and replies, as JSON and with the binary tensor data extension. Pure.

In a request with binary data, a header has the length of the JSON; after it come the tensors in the order of the
inputs, each as long as its ``binary_data_size``. Replies have the same form.
"""

import codecs
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, cast

import msgspec

from edge_runtime.datatypes import DATATYPES, Array
from edge_runtime.signature import Signature
from edgemodel.artifact import Tensor
from edgemodel.error_words import in_words
from inference_server.errors import InvalidRequest, UnfitRequest
from inference_server.protocol import plain_json, raw_request, tensors
from inference_server.protocol.tensors import Buffer

Headers = tuple[tuple[bytes, bytes], ...]
Parameters = dict[str, Any]
JSON_HEADERS: Headers = ((b"content-type", b"application/json"),)
HEADER_LENGTH = b"inference-header-content-length"
_LENGTH = re.compile(rb"[0-9]{1,18}")
_NOT_JSON = re.compile(rb'"(?:[^"\\]|\\.)*+"|-?Infinity|NaN', re.DOTALL)
"""The pattern of strings, and of the words that Python's json and others write for numbers that JSON lacks."""


class Wanted(NamedTuple):
    """One output of the reply, and its form."""

    tensor: Tensor
    binary: bool


class Outputs(tuple[Wanted, ...]):
    """The outputs of one reply, in its order."""

    @cached_property
    def names(self) -> list[str]:
        """The names of the outputs, in the order of the reply."""
        return [wanted.tensor.name for wanted in self]

    def position(self, name: str) -> int | None:
        """Returns the position of an output; None if it is not wanted."""
        names = self.names
        if names and names[0] == name:
            return 0
        return names.index(name) if name in names else None


@dataclass(frozen=True)
class RequestSignature(Signature):
    """The tensors that a model declares, and the forms of request that they allow."""

    @cached_property
    def takes(self) -> Mapping[str, Tensor]:
        """The inputs that a request may give."""
        return {**self.inputs, **self.optional}

    @cached_property
    def all_as_json(self) -> Outputs | None:
        """Returns all outputs as JSON; None if an output has no JSON form."""
        if any(DATATYPES[tensor.datatype].json is None for tensor in self.outputs.values()):
            return None
        return Outputs(Wanted(tensor, False) for tensor in self.outputs.values())

    @cached_property
    def read_plain(self) -> plain_json.Decode | None:
        """Returns the decoder of plain requests; None if no request can be plain."""
        return None if self.all_as_json is None else plain_json.decoder(self.inputs)


class Inference(NamedTuple):
    """A valid request: every input of the model is there, with the declared datatype and a matching shape."""

    id: str | None
    feeds: dict[str, Array]
    wanted: Outputs
    timeout_seconds: float | None = None
    """The time after its arrival for which its client waits for an answer; None: no limit."""

    overrides: bool = False
    """True if an optional input is given, which is one value for the whole request, whatever its number of items."""


class Reply(NamedTuple):
    """The body of a reply and the headers that belong to it."""

    body: bytes
    headers: Headers


class _Input(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    parameters: Parameters | None = None
    data: msgspec.Raw = msgspec.Raw(b"")  # empty: absent


class _Output(msgspec.Struct):
    name: str
    parameters: Parameters | None = None


class _Request(msgspec.Struct):
    """A request in JSON, in which clients write null for absent fields."""

    inputs: list[_Input]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: list[_Output] | None = None


_decode_request = msgspec.json.Decoder(_Request).decode
_encode = msgspec.json.Encoder().encode


def decode(body: Buffer, header_length: bytes | None, signature: RequestSignature) -> Inference:
    """Returns the request. ``header_length`` is the value of HEADER_LENGTH, None if absent. Raises InvalidRequest."""
    if header_length is None and signature.read_plain is not None and (plain := signature.read_plain(body)):
        return Inference(plain[0], plain[1], cast(Outputs, signature.all_as_json))
    split = _split_at(header_length, len(body))
    if split == 0:
        name, array = raw_request.decode(memoryview(body), signature.inputs)
        return Inference(None, {name: array}, Outputs(Wanted(output, True) for output in signature.outputs.values()))
    try:
        request = _read(memoryview(body)[:split])
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"the request is not an inference request: {in_words(error)}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if split is None and b'"binary_data_size"' in bytes(body):
            message = "binary data follows the JSON, but the header Inference-Header-Content-Length is missing"
            raise InvalidRequest(f"{message}: it is the length of the JSON, in bytes") from error
        raise InvalidRequest(f"the request is not JSON: {in_words(error)}") from error
    blobs = None if split is None else memoryview(body)[split:]
    feeds, wanted = _feeds(request.inputs, blobs, signature), _wanted(request, signature)
    limit = timeout(request.parameters) if request.parameters else None
    return Inference(request.id, feeds, wanted, limit, len(feeds) > len(signature.inputs))


def _read(text: memoryview) -> _Request:
    """Returns the parsed request. Raises what msgspec raises, if ``text`` is invalid also with the extensions of some
    clients: a byte order mark, NaN and Infinity."""
    try:
        return _decode_request(text)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        plain = _NOT_JSON.sub(_as_json, bytes(text).removeprefix(codecs.BOM_UTF8))
        if len(plain) == len(text):
            raise
        return _decode_request(plain)


def _as_json(found: re.Match[bytes]) -> bytes:
    """Returns strings unchanged, and words in place of numbers as strings, which ``tensors`` reads as floats."""
    return found[0] if found[0].startswith(b'"') else b'"%s"' % found[0]


def encode(inference: Inference, model: str, version: str, arrays: Sequence[Array]) -> Reply:
    """Returns the reply. ``arrays`` belong to ``inference.wanted``, in its order."""
    outputs: list[bytes] = []
    blobs: list[bytes] = []
    for wanted, array in zip(inference.wanted, arrays, strict=True):
        tensor = wanted.tensor
        datatype = DATATYPES[tensor.datatype]
        if wanted.binary:
            blobs.append(tensors.to_bytes(datatype, array))
            rest = b'"parameters":{"binary_data_size":%d}}' % len(blobs[-1])
        else:
            rest = b'"data":%s}' % _encode(tensors.to_json(tensor.name, datatype, array))
        outputs.append(head_of_output(tensor.name, tensor.datatype, array.shape) + rest)
    echo = b"" if inference.id is None else b'"id":%s,' % _encode(inference.id)
    head = b'%s%s"outputs":[%s]}' % (head_of_reply(model, version), echo, b",".join(outputs))
    if not blobs:
        return Reply(head, JSON_HEADERS)
    headers = ((b"content-type", b"application/octet-stream"), (HEADER_LENGTH, str(len(head)).encode()))
    return Reply(b"".join((head, *blobs)), headers)


@lru_cache(64)
def head_of_reply(model: str, version: str) -> bytes:
    """Returns the beginning of the JSON of a reply, up to the id or the outputs."""
    return b'{"model_name":%s,"model_version":%s,' % (_encode(model), _encode(version))


@lru_cache(1024)
def head_of_output(name: str, datatype: str, shape: tuple[int, ...]) -> bytes:
    """Returns the beginning of the JSON of one output, up to its data or parameters."""
    return b'{"name":%s,"datatype":%s,"shape":%s,' % (_encode(name), _encode(datatype), _encode(shape))


def declared_input(name: str, before: Container[str], declared: Mapping[str, Tensor]) -> Tensor:
    """Returns the model's declaration of the input ``name``; ``before`` has those that were given already.

    Raises UnfitRequest, InvalidRequest, as do ``check_input`` and ``check_all_given``.
    """
    if name not in declared:
        raise UnfitRequest(f"input {name!r} is unknown, the model has {names_of(declared)}")
    if name in before:
        raise InvalidRequest(f"input {name!r} is given twice")
    return declared[name]


def declared_output(name: str, parameters: Mapping[str, Any], declared: Mapping[str, Tensor]) -> Tensor:
    """Returns the model's declaration of the output ``name``, requested with ``parameters``.

    Raises UnfitRequest, InvalidRequest.
    """
    if name not in declared:
        raise UnfitRequest(f"output {name!r} is unknown, the model has {names_of(declared)}")
    for refused in ("classification", "shared_memory_region"):
        if parameters.get(refused) not in (None, 0):
            raise InvalidRequest(f"output {name!r}: {refused} is not supported, ask for the output itself")
    return declared[name]


def check_asked_once(names: Sequence[str]) -> None:
    """Raises InvalidRequest if a name of ``names``, the wanted outputs, occurs twice."""
    for name in names:
        if names.count(name) > 1:
            raise InvalidRequest(f"output {name!r} is asked for twice")


def check_input(name: str, datatype: str, shape: Sequence[int], declared: Tensor) -> None:
    """Raises UnfitRequest or InvalidRequest unless the datatype and the shape are those that the model declares."""
    if datatype != declared.datatype:
        raise UnfitRequest(f"input {name!r}: datatype {datatype}, want {declared.datatype}")
    tensors.check_shape(name, shape, declared.shape)


def check_all_given(feeds: Mapping[str, Array], declared: Mapping[str, Tensor]) -> None:
    """Raises UnfitRequest if an input that the model needs is not among ``feeds``."""
    if missing := declared.keys() - feeds.keys():
        raise UnfitRequest(f"input {min(missing)!r} is missing, the model wants {names_of(declared)}")


def names_of(declared: Mapping[str, Tensor]) -> str:
    """Returns the names for an error message."""
    return ", ".join(map(repr, declared))


def _split_at(header_length: bytes | None, size: int) -> int | None:
    """Returns the end of the JSON; None if there is no binary data."""
    if header_length is None:
        return None
    if not _LENGTH.fullmatch(header_length):
        raise InvalidRequest(
            f"Inference-Header-Content-Length is {header_length.decode('latin-1')!r}, want a length in bytes"
        )
    split = int(header_length)
    if split > size:
        raise InvalidRequest(f"Inference-Header-Content-Length is {split}, the body has only {size} bytes")
    return split


def _feeds(inputs: list[_Input], blobs: memoryview | None, signature: RequestSignature) -> dict[str, Array]:
    feeds: dict[str, Array] = {}
    at = 0
    for given in inputs:
        tensor = declared_input(given.name, feeds, signature.takes)
        blob, at = _next_blob(given, blobs, at)
        feeds[given.name] = _feed(given, blob, tensor)
    check_all_given(feeds, signature.inputs)
    if blobs is not None and at != len(blobs):
        raise InvalidRequest(f"{len(blobs)} bytes of binary data, the inputs name {at} by binary_data_size")
    return feeds


def _feed(given: _Input, blob: memoryview | None, declared: Tensor) -> Array:
    check_input(given.name, given.datatype, given.shape, declared)
    datatype = DATATYPES[declared.datatype]
    if blob is not None:
        return tensors.from_bytes(given.name, datatype, given.shape, blob)
    return tensors.from_json(given.name, datatype, given.shape, given.data)


def _next_blob(given: _Input, blobs: memoryview | None, at: int) -> tuple[memoryview | None, int]:
    """Returns the binary data of ``given``, None if its data is in the JSON, and the beginning of the next one."""
    name, parameters = given.name, given.parameters or {}
    has_data = len(given.data) > 4 or bytes(given.data) not in (b"", b"null")
    if parameters.get("shared_memory_region") is not None:
        raise InvalidRequest(f"input {name!r}: shared memory is not supported, send the data in the request")
    size = parameters.get("binary_data_size")
    if size is None:
        if not has_data:
            raise InvalidRequest(f"input {name!r} has neither data nor the parameter binary_data_size")
        return None, at
    if has_data:
        raise InvalidRequest(f"input {name!r} has both data and the parameter binary_data_size")
    if type(size) is not int or size < 0:
        raise InvalidRequest(f"input {name!r}: binary_data_size is {size!r}, want a number of bytes")
    if blobs is None:
        raise InvalidRequest(
            f"input {name!r} has binary_data_size, but the header Inference-Header-Content-Length is missing"
        )
    if at + size > len(blobs):
        raise InvalidRequest(
            f"input {name!r}: binary_data_size is {size}, only {len(blobs) - at} bytes are left in the body"
        )
    return blobs[at : at + size], at + size


def _wanted(request: _Request, signature: RequestSignature) -> Outputs:
    """Returns the wanted outputs; without ``outputs``, or with an empty list, all of the model."""
    if not request.outputs and not request.parameters and signature.all_as_json is not None:
        return signature.all_as_json
    declared = signature.outputs
    binary = _flag(request.parameters or {}, "binary_data_output", False, "the request")
    if not request.outputs:
        wanted = [Wanted(tensor, binary) for tensor in declared.values()]
    else:
        wanted = [_wanted_output(output, binary, declared) for output in request.outputs]
    check_asked_once([one.tensor.name for one in wanted])
    for one in wanted:
        if not one.binary and DATATYPES[one.tensor.datatype].json is None:
            name, datatype = one.tensor.name, one.tensor.datatype
            raise UnfitRequest(f"output {name!r}: {datatype} has no JSON form, ask for it with binary_data")
    return Outputs(wanted)


def _wanted_output(output: _Output, binary: bool, declared: Mapping[str, Tensor]) -> Wanted:
    parameters = output.parameters or {}
    tensor = declared_output(output.name, parameters, declared)
    return Wanted(tensor, _flag(parameters, "binary_data", binary, f"output {output.name!r}"))


def timeout(parameters: Mapping[str, Any]) -> float | None:
    """Returns the timeout in seconds, from ``timeout`` in microseconds; None if it is 0 or absent."""
    value = parameters.get("timeout")
    if value is None:
        return None
    if type(value) is not int or not 0 <= value < 2**63:
        raise InvalidRequest(f"the request: timeout is {value!r}, want microseconds")
    return value / 1e6 if value else None


def _flag(parameters: Mapping[str, Any], key: str, default: bool, where: str) -> bool:
    value = parameters.get(key)
    if value is None:
        return default
    if type(value) is not bool:
        raise InvalidRequest(f"{where}: {key} is {value!r}, want true or false")
    return value
