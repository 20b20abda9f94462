"""The errors that a client can get, and the one place where an exception becomes what a client is told.

A listener raises and catches these, and writes the ``Failure`` in the words of its protocol.
"""

from typing import NamedTuple

from edge_runtime.backend import RefusedInputs
from edgemodel import metrics

MAX_MESSAGE_LENGTH = 1000
"""Characters of an error message; it may quote what the client sent."""


class RequestError(Exception):
    """Base of all. The message is for the client."""

    status = 400
    """The HTTP status."""
    code = "INVALID_ARGUMENT"
    """The canonical status code, as gRPC and others name it."""
    outcome = metrics.CLIENT_ERROR
    """How an infer request counts that ends with it: one of ``edgemodel.metrics.OUTCOMES``."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Headers that go with it over HTTP."""
    retry_after_seconds: int | None = None
    """When the client should come again; None where that would not help."""


class InvalidRequest(RequestError):
    """The request does not fit the protocol; the message says what was given and what is wanted."""


class UnfitRequest(InvalidRequest):
    """A well-formed request that does not fit this model, and may fit another."""

    outcome = metrics.REFUSED


class ModelNotReady(RequestError):
    """The model is named rightly but cannot answer yet (400, as the protocol has it for a model that is not ready)."""

    code = "UNAVAILABLE"


class NotReady(RequestError):
    """The answer of the readiness probe while the models are loading."""

    status = 503
    code = "UNAVAILABLE"


class ModelNotFound(RequestError):
    """This server has no model of that name, or not in that version."""

    status = 404
    code = "NOT_FOUND"


class PathNotFound(RequestError):
    """This server has nothing at that path, or does not show it to this client."""

    status = 404
    code = "NOT_FOUND"


class PredictionNotFound(RequestError):
    """Feedback names a request whose prediction is not remembered."""

    status = 404
    code = "NOT_FOUND"


class MethodNotAllowed(RequestError):
    status = 405
    code = "UNIMPLEMENTED"

    def __init__(self, method: str, path: str, allowed: str) -> None:
        super().__init__(f"{path} does not take {method}, it takes {allowed}")
        self.headers = ((b"allow", allowed.encode()),)


class BodyTooLarge(RequestError):
    """The body, as sent or expanded, is over the limit."""

    status = 413
    code = "RESOURCE_EXHAUSTED"

    def closing(self) -> "BodyTooLarge":
        """Returns itself, for a body that was not read to its end: the connection cannot be used again."""
        self.headers = ((b"connection", b"close"),)
        return self


class HeadTooLarge(RequestError):
    """The request line and headers are over the limit."""

    status = 431
    code = "RESOURCE_EXHAUSTED"


class UnsupportedCoding(RequestError):
    """The body has a content coding that this server does not know."""

    status = 415
    headers = ((b"accept-encoding", b"gzip, deflate"),)


class Busy(RequestError):
    """The queue is full: the client should come again."""

    status = 503
    code = "UNAVAILABLE"
    outcome = metrics.SERVER_ERROR
    retry_after_seconds = 1


class Expired(RequestError):
    """Its time was over before its work began."""

    status = 503
    code = "DEADLINE_EXCEEDED"
    outcome = metrics.SERVER_ERROR
    retry_after_seconds = 1


class Disconnected(RequestError):
    """The client went away before its request was complete; nobody reads the answer."""

    code = "CANCELLED"


def client_disconnected() -> Disconnected:
    return Disconnected("the client went away before its request was complete")


class Failure(NamedTuple):
    """Stands for an error where a client gets its answer; the fields are those of RequestError."""

    status: int
    code: str
    message: str
    outcome: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    retry_after_seconds: int | None = None


def failure_of(error: Exception) -> Failure:
    """Returns what a client is told of ``error``. An exception of another kind is the server's fault."""
    if isinstance(error, RefusedInputs):
        error = UnfitRequest(str(error))
    if isinstance(error, RequestError):
        message = str(error)[:MAX_MESSAGE_LENGTH]
        return Failure(error.status, error.code, message, error.outcome, error.headers, error.retry_after_seconds)
    message = f"inference failed: {error}"[:MAX_MESSAGE_LENGTH]
    return Failure(500, "INTERNAL", message, metrics.SERVER_ERROR)
