"""A request in the form in which it came, and its answer in the form that was asked for: HTTP. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from edge_runtime.datatypes import Array
from inference_server.listeners.http.responses import OK, Response
from inference_server.observability.metrics import Identity
from inference_server.protocol import content_encoding, infer
from inference_server.protocol.infer import Inference, RequestSignature
from inference_server.protocol.tensors import Buffer


class RequestCodec(Protocol):
    size: int
    """Bytes of the request."""

    def read(self, signature: RequestSignature) -> Inference:
        """Raises RequestError."""

    def write(self, inference: Inference, identity: Identity, arrays: Sequence[Array]) -> Any:
        """``arrays`` belong to ``inference.wanted``, in its order."""


class HttpRequestCodec:
    __slots__ = ("_body", "_headers", "_max_body_bytes", "size")

    def __init__(self, headers: dict[bytes, bytes], body: Buffer, max_body_bytes: int) -> None:
        """``max_body_bytes``: what ``body`` may expand to."""
        self._headers, self._body, self._max_body_bytes = headers, body, max_body_bytes
        self.size = len(body)

    def read(self, signature: RequestSignature) -> Inference:
        headers = self._headers
        coding = headers.get(b"content-encoding")
        body = self._body if coding is None else content_encoding.expand(self._body, coding, self._max_body_bytes)
        return infer.decode(body, headers.get(infer.HEADER_LENGTH), signature)

    def write(self, inference: Inference, identity: Identity, arrays: Sequence[Array]) -> Response:
        reply = infer.encode(inference, identity.model, identity.revision, arrays)
        return coded(reply, self._headers)


def coded(reply: infer.Reply, headers: Mapping[bytes, bytes]) -> Response:
    """Compressed where the request, which has ``headers``, allows it and it is worth it."""
    accepted = headers.get(b"accept-encoding")
    if accepted is None or len(reply.body) < content_encoding.REPLY_MIN_BYTES:
        return Response(OK, reply.body, reply.headers)
    coding = content_encoding.choose(accepted)
    if coding is None:
        return Response(OK, reply.body, reply.headers)
    return Response(OK, content_encoding.compress(reply.body, coding), (*reply.headers, (b"content-encoding", coding)))
