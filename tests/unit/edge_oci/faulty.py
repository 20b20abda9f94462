"""A proxy in front of a registry that simulates failures of networks and registries, and records every request."""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


@dataclass(frozen=True)
class Answer:
    """An answer of the proxy in place of the registry's."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"{}"


@dataclass(frozen=True)
class CutAnswer:
    """The registry's answer, with the connection cut after the given number of bytes of its body."""

    after: int


@dataclass(frozen=True)
class CutRequest:
    """A connection that is cut when the given number of bytes of the request's body have arrived."""

    after: int


@dataclass(frozen=True)
class Change:
    """The registry's answer with other bytes."""

    body: Callable[[bytes], bytes]


Fault = Answer | CutAnswer | CutRequest | Change


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    """The path with its query."""
    headers: dict[str, str]
    status: int | None
    """The status of the answer; None if the connection was cut."""


class FaultyProxy:
    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.requests: list[Request] = []
        self.host = ""
        self._faults: list[tuple[str, str, Fault]] = []
        self._lock = Lock()

    def will(self, method: str, part: str, *faults: Fault) -> None:
        """Plans faults: each meets one request of ``method`` whose path contains ``part``, in this order."""
        self._faults += [(method, part, fault) for fault in faults]

    def seen(self, method: str, part: str = "") -> list[Request]:
        return [request for request in self.requests if request.method == method and part in request.path]

    def take(self, method: str, path: str) -> Fault | None:
        with self._lock:
            for planned in self._faults:
                if planned[0] == method and planned[1] in path:
                    self._faults.remove(planned)
                    return planned[2]
        return None


@contextmanager
def faulty(upstream: str) -> Iterator[FaultyProxy]:
    """Yields a proxy in front of ``upstream`` (host:port, or empty if every request meets a planned Answer)."""
    proxy = FaultyProxy(upstream)

    class Handler(_Handler):
        owner = proxy

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy.host = f"127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    owner: FaultyProxy
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        fault = self.owner.take(self.command, self.path)
        length = int(self.headers.get("Content-Length", 0))
        if isinstance(fault, CutRequest):
            self.rfile.read(min(fault.after, length))
            self._note(None)
            self.close_connection = True
            return
        body = self.rfile.read(length)
        if isinstance(fault, Answer):
            self._answer(fault.status, fault.headers, fault.body)
            return
        status, headers, content = self._forward(body)
        if isinstance(fault, Change):
            content = fault.body(content)
        cut = fault.after if isinstance(fault, CutAnswer) else None
        self._answer(status, headers, content, cut=cut)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - names that http.server wants

    def _forward(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.owner.upstream, timeout=20)
        # The Host header travels too, so that Locations lead back here.
        connection.request(self.command, self.path, body=body, headers=dict(self.headers.items()))
        answer = connection.getresponse()
        content = answer.read()
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP_BY_HOP}
        if self.command == "HEAD" and answer.getheader("Content-Length"):
            headers["Content-Length"] = str(answer.getheader("Content-Length"))
        connection.close()
        return answer.status, headers, content

    def _answer(self, status: int, headers: dict[str, str], content: bytes, *, cut: int | None = None) -> None:
        self._note(None if cut is not None else status)
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content if cut is None else content[:cut])
        if cut is not None:
            self.close_connection = True

    def _note(self, status: int | None) -> None:
        self.owner.requests.append(Request(self.command, self.path, dict(self.headers.items()), status))

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing; ``requests`` has what matters."""
