"""Responses to an HTTP client."""

from http import HTTPStatus
from typing import Any

import msgspec

from inference_server.errors import Failure
from inference_server.protocol import openai
from inference_server.protocol.infer import JSON_HEADERS, Headers

OK = int(HTTPStatus.OK)  # looking up a member of an enum would take longer than everything else

_encode = msgspec.json.Encoder().encode


class Response(msgspec.Struct, frozen=True, gc=False):
    """The response to one request; a Struct, which is quick to make."""

    status: int
    body: bytes
    headers: Headers = JSON_HEADERS


def json(value: Any) -> Response:
    """Returns a successful response with ``value`` as JSON."""
    return Response(OK, _encode(value))


def of_failure(failure: Failure) -> Response:
    """Returns ``{"error": …}``."""
    return _of_failure(failure, _encode({"error": failure.message}))


def of_failure_in_openai(failure: Failure) -> Response:
    """Returns an error as the endpoints of OpenAI's interface have it."""
    return _of_failure(failure, openai.failure(failure))


def _of_failure(failure: Failure, body: bytes) -> Response:
    headers = (*JSON_HEADERS, *failure.headers)
    if failure.retry_after_seconds is not None:
        headers += ((b"retry-after", b"%d" % failure.retry_after_seconds),)
    return Response(failure.status, body, headers)
