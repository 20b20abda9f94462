"""The bodies of the repository extension over HTTP. Pure."""

from typing import Any

import msgspec

from edgemodel.error_words import in_words
from inference_server.errors import InvalidRequest
from inference_server.models.control import check_parameters


class Index(msgspec.Struct):
    """The body of an index request."""

    ready: bool = False
    """True if only ready models are wanted."""


class Load(msgspec.Struct):
    """The body of a load or unload request."""

    parameters: dict[str, Any] = {}


_index = msgspec.json.Decoder(Index).decode
_load = msgspec.json.Decoder(Load).decode


def decode_index(body: bytes) -> Index:
    """Returns the request. Raises InvalidRequest."""
    try:
        return _index(body) if body.strip() else Index()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f'an index request is {{"ready": true}} or empty: {in_words(error)}') from error


def decode_load(body: bytes) -> None:
    """Raises InvalidRequest for any parameter: a model is loaded from the server's own files."""
    try:
        request = _load(body) if body.strip() else Load()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"a load or unload request is {{}} or empty: {in_words(error)}") from error
    check_parameters(request.parameters)
