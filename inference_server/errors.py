"""The errors that a client can get, and the only place that turns an exception into an answer.

A listener raises and catches these, and writes the ``Failure`` in its protocol.
"""

from typing import NamedTuple

from edge_runtime.backend import RefusedInputs
from edgemodel import metrics
from edgemodel.error_words import in_words

MAX_MESSAGE_LENGTH = 1000
"""The largest length of an error message, which may quote the request, in characters."""


class RequestError(Exception):
    """The base of all errors of a request. The message is for the client."""

    status = 400
    """The HTTP status."""
    code = "INVALID_ARGUMENT"
    """The canonical status code, as gRPC and others name it."""
    outcome = metrics.CLIENT_ERROR
    """The outcome by which an infer request with this error counts: one of ``edgemodel.metrics.OUTCOMES``."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """The HTTP headers of the answer."""
    retry_after_seconds: int | None = None
    """The seconds after which the client should retry; None if a retry would not help."""
    parameter: str | None = None
    """The name of the field of the request that is wrong; None if no single one is."""


class InvalidRequest(RequestError):
    """The request violates the protocol; the message says what was given and what is expected."""

    def __init__(self, message: str, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter


class UnfitRequest(InvalidRequest):
    """The request is well-formed but does not fit this model, and may fit another."""

    outcome = metrics.REFUSED


class ModelNotReady(RequestError):
    """The model exists but cannot answer yet (400, as the protocol defines it for a model that is not ready)."""

    code = "UNAVAILABLE"


class NotReady(RequestError):
    """The answer of the readiness probe while the models are loading."""

    status = 503
    code = "UNAVAILABLE"


class ModelNotFound(RequestError):
    """The server has no model of that name, or not in that version."""

    status = 404
    code = "NOT_FOUND"


class PathNotFound(RequestError):
    """The server has nothing at that path, or does not show it to this client."""

    status = 404
    code = "NOT_FOUND"


class PredictionNotFound(RequestError):
    """The feedback names a request whose prediction is not remembered."""

    status = 404
    code = "NOT_FOUND"


class MethodNotAllowed(RequestError):
    """The path exists, but does not take this method."""

    status = 405
    code = "UNIMPLEMENTED"

    def __init__(self, method: str, path: str, allowed: str) -> None:
        super().__init__(f"{path} does not take {method}, it takes {allowed}")
        self.headers = ((b"allow", allowed.encode()),)


class BodyTooLarge(RequestError):
    """The body, as sent or expanded, exceeds the limit."""

    status = 413
    code = "RESOURCE_EXHAUSTED"

    def closing(self) -> "BodyTooLarge":
        """Returns itself, for a body that was not read to its end: the connection cannot be used again."""
        self.headers = ((b"connection", b"close"),)
        return self


class HeadTooLarge(RequestError):
    """The request line and headers exceed the limit."""

    status = 431
    code = "RESOURCE_EXHAUSTED"


class UnsupportedCoding(RequestError):
    """The body has a content coding that this server does not know."""

    status = 415
    headers = ((b"accept-encoding", b"gzip, deflate"),)


class Busy(RequestError):
    """The queue is full: the client should retry."""

    status = 503
    code = "UNAVAILABLE"
    outcome = metrics.SERVER_ERROR
    retry_after_seconds = 1


class TooManySequences(RequestError):
    """The server generates and queues as many sequences as it may: the client should retry."""

    status = 429
    code = "RESOURCE_EXHAUSTED"
    outcome = metrics.SERVER_ERROR
    retry_after_seconds = 1


class KeyRefused(RequestError):
    """The client shows no key of this server."""

    status = 401
    code = "UNAUTHENTICATED"
    headers = ((b"www-authenticate", b"Bearer"),)


class Expired(RequestError):
    """The request's time was over before its work began."""

    status = 503
    code = "DEADLINE_EXCEEDED"
    outcome = metrics.SERVER_ERROR
    retry_after_seconds = 1


class Disconnected(RequestError):
    """The client went away before its request was complete; nobody reads the answer."""

    code = "CANCELLED"


def client_disconnected() -> Disconnected:
    """Returns the error of a request whose client left while it was arriving or in work."""
    return Disconnected("the client went away before its request was complete")


class Failure(NamedTuple):
    """An error in the place of an answer; the fields are those of RequestError."""

    status: int
    code: str
    message: str
    outcome: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    retry_after_seconds: int | None = None
    parameter: str | None = None


def failure_of(error: Exception) -> Failure:
    """Returns the answer for ``error``. An exception that is not a RequestError is the server's fault."""
    if isinstance(error, RefusedInputs):
        error = UnfitRequest(str(error))
    if isinstance(error, RequestError):
        message = str(error)[:MAX_MESSAGE_LENGTH]
        return Failure(
            error.status,
            error.code,
            message,
            error.outcome,
            error.headers,
            error.retry_after_seconds,
            error.parameter,
        )
    message = f"inference failed: {in_words(error, MAX_MESSAGE_LENGTH)}"[:MAX_MESSAGE_LENGTH]
    return Failure(500, "INTERNAL", message, metrics.SERVER_ERROR)
