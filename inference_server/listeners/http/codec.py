"""The codec of an infer request over HTTP, and of its answer in the requested form. Pure."""

from collections.abc import Mapping, Sequence

from edge_runtime.datatypes import Array
from inference_server.identity import Identity
from inference_server.listeners.http import content_encoding
from inference_server.listeners.http.responses import OK, Response
from inference_server.protocol import infer
from inference_server.protocol.infer import HEADER_LENGTH, Inference, RequestSignature
from inference_server.protocol.tensors import Buffer


class HttpRequestCodec:
    """The codec of the body of one infer request and its response."""

    __slots__ = ("_body", "_headers", "_max_body_bytes", "is_binary", "is_compressed", "size")

    def __init__(self, headers: dict[bytes, bytes], body: Buffer, max_body_bytes: int) -> None:
        """Takes ``max_body_bytes``, the limit of the expanded ``body``."""
        self._headers, self._body, self._max_body_bytes = headers, body, max_body_bytes
        self.size = len(body)
        self.is_binary = HEADER_LENGTH in headers
        self.is_compressed = b"content-encoding" in headers

    def read(self, signature: RequestSignature) -> Inference:
        """Returns the request. Raises RequestError."""
        headers = self._headers
        return infer.decode(expanded(self._body, headers, self._max_body_bytes), headers.get(HEADER_LENGTH), signature)

    def write(self, inference: Inference, identity: Identity, arrays: Sequence[Array]) -> Response:
        """Returns the response, compressed if the request allows it."""
        return compressed(infer.encode(inference, identity.model, identity.revision, arrays), self._headers)


def expanded(body: Buffer, headers: Mapping[bytes, bytes], max_bytes: int) -> Buffer:
    """Returns ``body`` without the coding that ``headers`` name. Raises RequestError, also beyond ``max_bytes``."""
    coding = headers.get(b"content-encoding")
    return body if coding is None else content_encoding.expand(body, coding, max_bytes)


def compressed(reply: infer.Reply, headers: Mapping[bytes, bytes]) -> Response:
    """Returns ``reply``, compressed if the request's ``headers`` allow it and it is worth it."""
    accepted = headers.get(b"accept-encoding")
    if accepted is None or len(reply.body) < content_encoding.REPLY_MIN_BYTES:
        return Response(OK, reply.body, reply.headers)
    coding = content_encoding.choose(accepted)
    if coding is None:
        return Response(OK, reply.body, reply.headers)
    body = content_encoding.compress(reply.body, coding)
    return Response(OK, body, (*reply.headers, (b"content-encoding", coding)))
