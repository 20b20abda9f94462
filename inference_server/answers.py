"""What goes back to a client."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec

MESSAGE_MAX = 1000
"""Characters of an error message; it may quote what the client sent."""

_encode = msgspec.json.Encoder().encode

Headers = tuple[tuple[bytes, bytes], ...]
_JSON: Headers = ((b"content-type", b"application/json"),)


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes
    headers: Headers = _JSON


def json(value: Any) -> Response:
    return Response(HTTPStatus.OK, _encode(value))


def error(status: int, message: str, headers: Sequence[tuple[bytes, bytes]] = ()) -> Response:
    return Response(status, _encode({"error": message}), (*_JSON, *headers))


def shortened(message: str) -> str:
    return message[:MESSAGE_MAX]
