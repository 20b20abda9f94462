"""The fast path: an inference request goes from its bytes to its answer without ASGI, at a third of the cost.

uvicorn still owns the connection. Every other request goes through ``app.App`` unchanged: other paths, a model that is
not ready, chunked bodies, ``Expect``, upgrades, HTTP/1.0, long heads, several requests in one piece of data, answers
that the client does not read. Both ways give the same answers.

Clients repeat the same head, so parsed heads are cached. The parser is uvicorn's, with all its strictness.
"""

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from inference_server.errors import client_disconnected
from inference_server.listeners.http.app import App
from inference_server.listeners.http.codec import HttpRequestCodec, compressed
from inference_server.listeners.http.connection import Connection
from inference_server.listeners.http.content_encoding import REPLY_MIN_BYTES
from inference_server.listeners.http.json_fast_path import FastModel
from inference_server.listeners.http.responses import OK, Response
from inference_server.protocol.infer import HEADER_LENGTH, JSON_HEADERS, Reply
from inference_server.scheduling.workers import QueuedWork

MAX_HEADS = 256
MAX_FAST_HEAD_BYTES = 2048
"""The largest head on the fast path, in bytes. MAX_HEADS cached ones, with their parsed form, take about a megabyte."""
ALIGNMENT = 16
JOIN_BYTES = 65536
"""The size above which a body is written after its head, instead of being copied behind it."""

_PADDING = bytes(ALIGNMENT)

_USED_OF_UVICORN = {
    "__init__": ("self", "config", "server_state", "app_state", "_loop"),
    "connection_made": ("self", "transport"),
    "connection_lost": ("self", "exc"),
    "data_received": ("self", "data"),
    "on_body": ("self", "body"),
    "on_headers_complete": ("self",),
    "on_message_begin": ("self",),
    "on_message_complete": ("self",),
    "send_400_response": ("self", "msg"),
    "shutdown": ("self",),
    "timeout_keep_alive_handler": ("self",),
}


_STATE_OF_UVICORN: Mapping[type, frozenset[str]] = {
    HttpToolsProtocol: frozenset(
        {
            "_unset_keepalive_if_required", "cycle", "flow", "headers", "loop", "pipeline", "server_state",
            "timeout_keep_alive", "timeout_keep_alive_handler", "timeout_keep_alive_task", "total_requests",
            "transport", "url",
        }
    ),
    RequestResponseCycle: frozenset({"more_body", "response_complete"}),
    FlowControl: frozenset({"pause_reading", "resume_reading", "write_paused"}),
}  # fmt: skip
"""The attributes that the fast path reads and sets on uvicorn's objects, by the class whose methods use them too."""


def fits() -> bool:
    """Returns whether this uvicorn is one that the fast path knows; otherwise all requests go through ASGI.

    Its methods have the same parameters, and work on the same attributes.
    """
    signatures = all(
        tuple(inspect.signature(vars(HttpToolsProtocol).get(name, fits)).parameters) == parameters
        for name, parameters in _USED_OF_UVICORN.items()
    )
    return signatures and all(names <= _names_in(kind) for kind, names in _STATE_OF_UVICORN.items())


def _names_in(kind: type) -> set[str]:
    """Returns the names of the methods of ``kind``, and of all attributes and functions that their code uses."""
    codes = [value.__code__ for value in vars(kind).values() if inspect.isfunction(value)]
    return set(vars(kind)) | {name for code in codes for name in code.co_names}


class Head(NamedTuple):
    """The parsed head of a plain POST."""

    path: str
    length: int
    """The size of the body in bytes."""
    headers: dict[bytes, bytes]
    keep_alive: bool
    may_be_plain: bool
    """True if the body is neither compressed nor has tensors as binary data."""
    padding: int
    """The bytes before the body that align the first tensor of binary data for the processor."""


class _Reading:
    """The parts of one head, as the parser finds them."""

    def __init__(self) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.complete = True


def read_head(data: bytes) -> Head | None:
    """Returns the parsed head; None for one that is not plain. ``data`` ends with the empty line."""
    reading = _Reading()
    parser = httptools.HttpRequestParser(reading)
    try:
        parser.feed_data(data)
        headers = dict(reading.headers)
        if (
            not reading.complete
            or parser.get_method() != b"POST"
            or parser.get_http_version() != "1.1"
            or parser.should_upgrade()
            or len(headers) != len(reading.headers)
            or b"content-length" not in headers
            or not headers.keys().isdisjoint((b"transfer-encoding", b"expect", b"upgrade"))
        ):
            return None
        path = unquote((httptools.parse_url(reading.url).path or b"").decode("ascii"))
        before = headers.get(HEADER_LENGTH)
        padding = -int(before) % ALIGNMENT if before is not None and before.isdigit() else 0
        length = int(headers[b"content-length"])
        may_be_plain = before is None and b"content-encoding" not in headers
        return Head(path, length, headers, parser.should_keep_alive(), may_be_plain, padding)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade, ValueError):
        return None


_heads: dict[bytes, Head | None] = {}


def _head(data: bytes) -> Head | None:
    try:
        return _heads[data]
    except KeyError:
        if len(_heads) >= MAX_HEADS:
            _heads.clear()
        head = _heads[data] = read_head(data)
        return head


class FastPathConnection(Connection):
    """A connection. At any time it belongs to uvicorn, or one of its requests is on the fast path."""

    def __init__(self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._app: App = config.loaded_app
        self._between_messages = True
        """True while uvicorn's parser has seen the end of every message that it has seen the beginning of."""
        self._head: Head | None = None
        """The head of the request whose body is still arriving; None if there is none."""
        self._model: FastModel | None = None
        """The model of that request. It is reset with the head: a connection must not keep a model that is unloaded."""
        self._chunks: list[bytes] = []
        self._missing = 0
        self._started = 0.0
        self._work: QueuedWork | None = None
        """The request in work; None if there is none."""
        self._waiting: list[bytes] = []
        """The data that arrived in the meantime."""

    def connection_made(self, transport: Any) -> None:
        """Starts the timer: a client that sends nothing is disconnected, too."""
        super().connection_made(transport)
        self.arm(self.timeout_keep_alive)

    def data_received(self, data: bytes) -> None:
        """Takes data for the fast path, or gives them to uvicorn."""
        self._active = perf_counter()
        if self._head is not None and self._model is not None:
            self._body(self._head, self._model, data)
        elif self._work is not None:
            self._waiting.append(data)
            self.flow.pause_reading()
        elif not self._take(data):
            super().data_received(data)

    def _take(self, data: bytes) -> bool:
        """Returns whether ``data`` begins a request for the fast path, which is then answered, or its body awaited."""
        cycle = self.cycle
        if not self._between_messages or (cycle is not None and not cycle.response_complete):
            return False
        end = data.find(b"\r\n\r\n", 0, MAX_FAST_HEAD_BYTES) + 4
        if end < 4 or self.flow.write_paused or self.transport.is_closing():
            return False
        head = _head(data[:end])
        if head is None or head.length > self._app.max_body_bytes:
            return False
        model = self._app.fast_models.get(head.path)
        missing = head.length - len(data) + end
        if model is None or missing < 0:
            return False
        self._started = self._active
        if missing:
            self._head, self._model, self._missing, self._since = head, model, missing, self._active
            self._chunks = [_PADDING[: head.padding], data[end:]]
        else:
            self._infer(head, model, memoryview(data)[end:])
        return True

    def _body(self, head: Head, model: FastModel, data: bytes) -> None:
        rest = b""
        if len(data) > self._missing:
            data, rest = data[: self._missing], data[self._missing :]
        self._chunks.append(data)
        self._missing -= len(data)
        if self._missing:
            return
        body = memoryview(b"".join(self._chunks))[head.padding :]
        self._forget_body()
        if rest:
            self._waiting.append(rest)
        self._infer(head, model, body)

    def _forget_body(self) -> None:
        self._head, self._model, self._chunks, self._since = None, None, [], None

    def _infer(self, head: Head, model: FastModel, body: memoryview) -> None:
        if head.may_be_plain and (infer_plain := model.infer_plain) is not None:
            try:
                reply = infer_plain(body, self._started)
            except Exception as error:
                self._send(head, self._app.error_response(error))
                return
            if reply is not None:
                self._send_plain(head, reply)
                return
        codec = HttpRequestCodec(head.headers, body, self._app.max_body_bytes)
        submit = self._app.service.submit
        work = submit(model.served, codec, self._started, self._active, partial(self._done, head))
        if work is not None:  # otherwise it is answered, and the next one may be in work
            self._work = work

    def _send_plain(self, head: Head, reply: bytes) -> None:
        if len(reply) < REPLY_MIN_BYTES and head.keep_alive and not self._app.draining and not self._waiting:
            self.transport.write(_PLAIN % len(reply) + reply)
        else:
            self._send(head, compressed(Reply(reply, JSON_HEADERS), head.headers))

    def _done(self, head: Head, response: Response | None, error: Exception | None) -> None:
        self._work = None
        self._active = perf_counter()
        if error is not None or response is None:
            response = self._app.error_response(error or RuntimeError("no answer"))
        self._send(head, response)

    def _send(self, head: Head, response: Response) -> None:
        transport = self.transport
        if transport.is_closing():
            return
        last = self._app.draining or not head.keep_alive
        self.server_state.total_requests += 1
        start = _start(response.status, response.headers, len(response.body), last)
        if len(response.body) <= JOIN_BYTES:
            transport.write(start + response.body)
        else:
            transport.writelines((start, response.body))
        if last:
            transport.close()
        elif self._waiting:
            self._go_on()

    def _go_on(self) -> None:
        """Takes the data that arrived after the request that was just answered."""
        data = b"".join(self._waiting)
        self._waiting = []
        self.flow.resume_reading()
        self.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Counts a request whose body was still arriving, and cancels the one that waits."""
        if self._model is not None:
            model = self._model.served.identity.model
            self._app.service.reject(model, client_disconnected(), self._started)
            self._forget_body()
        if self._work is not None:
            self._work.cancelled = True
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Notes that uvicorn's parser is inside a message."""
        self._between_messages = False
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """Notes that uvicorn's parser is between messages."""
        self._between_messages = True
        super().on_message_complete()

    def shutdown(self) -> None:
        """Closes an idle connection; one with a request on the fast path closes with its answer."""
        if self._head is None and self._work is None:
            super().shutdown()

    @property
    def works(self) -> bool:
        """True while a complete request has no answer yet, on either path."""
        return self._work is not None or super().works


_PLAIN = STATUS_LINE[OK] + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n"


def _start(status: int, headers: Sequence[tuple[bytes, bytes]], length: int, last: bool) -> bytes:
    if headers is JSON_HEADERS and status == OK and not last:
        return _PLAIN % length
    lines = [b"%s: %s\r\n" % header for header in headers]
    if last:
        lines.append(b"connection: close\r\n")
    return b"%s%scontent-length: %d\r\n\r\n" % (STATUS_LINE[status], b"".join(lines), length)
