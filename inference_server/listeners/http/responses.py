"""What goes back to a client."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

MESSAGE_MAX = 1000
"""Characters of an error message; it may quote what the client sent."""

OK = int(HTTPStatus.OK)  # looking an enum's member up takes longer than all else that is done with it

_encode = msgspec.json.Encoder().encode

Headers = tuple[tuple[bytes, bytes], ...]
AS_JSON: Headers = ((b"content-type", b"application/json"),)


class Response(msgspec.Struct, frozen=True, gc=False):
    """A Struct, because one is made for each request."""

    status: int
    body: bytes
    headers: Headers = AS_JSON


def json(value: Any) -> Response:
    return Response(OK, _encode(value))


def error(status: int, message: str, headers: Sequence[tuple[bytes, bytes]] = ()) -> Response:
    return Response(status, _encode({"error": message}), (*AS_JSON, *headers))


def shortened(message: str) -> str:
    return message[:MESSAGE_MAX]
