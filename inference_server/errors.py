"""What a request can be answered with instead of a result. ``app`` turns each into ``{"error": …}``, in one place."""

from edgemodel import metrics


class RequestError(Exception):
    """Base of all: ``status`` is the HTTP status, ``outcome`` how it is counted, the message is for the caller."""

    status = 400
    outcome = metrics.CLIENT_ERROR
    headers: tuple[tuple[bytes, bytes], ...] = ()


class InvalidRequest(RequestError):
    """The request does not fit the protocol; the message says what was given and what is wanted."""


class UnfitRequest(InvalidRequest):
    """A well-formed request that does not fit this model, and may fit another."""

    outcome = metrics.REFUSED


class ModelNotReady(RequestError):
    """The model is named rightly but cannot answer yet (400, as the protocol has it for a model that is not ready)."""


class NotReady(RequestError):
    """The answer of the readiness probe while the model is loading."""

    status = 503


class ModelNotFound(RequestError):
    """This server has no model of that name, or not in that version."""

    status = 404


class PathNotFound(RequestError):
    status = 404


class PredictionNotFound(RequestError):
    """Feedback names a request whose prediction is not remembered."""

    status = 404


class MethodNotAllowed(RequestError):
    status = 405

    def __init__(self, method: str, path: str, allowed: str) -> None:
        super().__init__(f"{path} does not take {method}, it takes {allowed}")
        self.headers = ((b"allow", allowed.encode()),)


class BodyTooLarge(RequestError):
    """The body, as sent or expanded, is over the limit."""

    status = 413

    def closing(self) -> "BodyTooLarge":
        """The same, for a body that was not read to its end: the connection cannot be used again."""
        self.headers = ((b"connection", b"close"),)
        return self


class UnsupportedCoding(RequestError):
    status = 415
    headers = ((b"accept-encoding", b"gzip, deflate"),)


class Busy(RequestError):
    """The queue is full: the caller should come again."""

    status = 503
    outcome = metrics.SERVER_ERROR
    headers = ((b"retry-after", b"1"),)


class Expired(RequestError):
    """Its time was over before its work began."""

    status = 503
    outcome = metrics.SERVER_ERROR
    headers = ((b"retry-after", b"1"),)


class Disconnected(RequestError):
    """The caller went away before its request was complete; nobody reads the answer."""


def client_disconnected() -> Disconnected:
    return Disconnected("the client went away before its request was complete")
