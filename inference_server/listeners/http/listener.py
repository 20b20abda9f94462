"""The HTTP listener: uvicorn in the event loop of the process, with a shutdown that fails no request.

uvicorn closes idle connections when it is told to stop, and loses a request that is just then arriving on one. Here
every answer after ``stop`` says ``Connection: close``, and an idle connection is closed after a time; HTTP/1.1 has no
way to announce that to a client that sends nothing.
"""

import asyncio
import math
import socket
from collections.abc import Mapping
from time import monotonic
from typing import Any

import uvicorn

from inference_server.listeners.http.app import App
from inference_server.listeners.http.connection import Connection
from inference_server.listeners.http.fast_path import FastPathConnection, fits
from inference_server.service import InferenceService

IDLE_SECONDS = 1.0
"""The time after ``stop`` in which an idle connection may still bring one more request."""
_POLL_SECONDS = 0.01


class HttpListener:
    """The HTTP server of a process."""

    def __init__(self, host: str, port: int, *, max_body_bytes: int, fast_path: bool) -> None:
        """Opens the port: 0 is any free one, an empty ``host`` every address. Raises OSError."""
        self._socket = listen(host, port)
        self.port = int(self._socket.getsockname()[1])
        self._max_body_bytes = max_body_bytes
        self._has_fast_path = fits() and fast_path
        self._app: App
        self._server: uvicorn.Server

    async def start(self, service: InferenceService) -> None:
        """Begins to answer, with the fast path if this uvicorn is known."""
        self._app = App(service, max_body_bytes=self._max_body_bytes)
        config = uvicorn.Config(
            self._app,
            http=FastPathConnection if self._has_fast_path else Connection if fits() else "httptools",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=75,
        )
        config.load()
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)
        await self._server.startup([self._socket])

    async def stop(self, grace_seconds: float) -> None:
        """Accepts no new clients, asks the present ones to leave, and returns when all answers are sent, or after about
        ``grace_seconds``."""
        self._app.draining = True
        server = self._server
        for one in server.servers:
            one.close()
        deadline = monotonic() + IDLE_SECONDS
        while server.server_state.connections and monotonic() < deadline:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(_POLL_SECONDS)
        server.config.timeout_graceful_shutdown = math.ceil(grace_seconds)
        await server.shutdown([self._socket])

    def log_fields(self) -> Mapping[str, Any]:
        """Returns the port, and whether the fast path is on."""
        return {"port": self.port, "fast_path": self._has_fast_path}


def listen(host: str, port: int) -> socket.socket:
    """Returns a listening socket. An empty ``host`` is every IPv4 and IPv6 address; port 0 is any free one. Raises
    OSError."""
    if host:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=2048)
    return socket.create_server(("", port), backlog=2048)
