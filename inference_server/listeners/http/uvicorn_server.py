"""uvicorn, with an end that fails no request.

uvicorn closes idle connections the moment it is told to stop, and a request that is just then under
way on one is lost. Here every answer after the signal says ``Connection: close`` first, and a connection
that stays idle is closed after a time; HTTP/1.1 has no way to announce that to a client that does not ask.
"""

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Protocol

import uvicorn

from inference_server.listeners.http.app import App
from inference_server.listeners.http.connection import Connection
from inference_server.listeners.http.fast_path import FastPathConnection, fits

IDLE_SECONDS = 1.0
"""How long after the signal a kept-alive connection may still bring one more request."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_POLL_SECONDS = 0.01


class Beside(Protocol):
    """What runs with the server, in its event loop."""

    def begin(self) -> None:
        """Connections are taken from now on."""

    async def end(self) -> None:
        """The signal has come."""


class Server(uvicorn.Server):
    def __init__(self, app: App, *, drain_seconds: int, disable_fast_path: bool, beside: Beside) -> None:
        """``drain_seconds``: for requests in work to end."""
        fast = fits() and not disable_fast_path
        super().__init__(
            uvicorn.Config(
                app,
                loop="uvloop",
                http=FastPathConnection if fast else Connection if fits() else "httptools",
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=drain_seconds,
            )
        )
        self.has_fast_path = fast
        self._app = app
        self._beside = beside

    def stop(self) -> None:
        """End as after a signal; from any thread."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._beside.begin()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.draining = True
        ending = asyncio.ensure_future(self._beside.end())
        for server in self.servers:
            server.close()
        deadline = monotonic() + IDLE_SECONDS
        while self.server_state.connections and monotonic() < deadline:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(_POLL_SECONDS)
        await super().shutdown(sockets)
        await ending

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Like uvicorn's, but without raising the signal again at the end, which would not be exit status 0."""
        before = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def listen(host: str, port: int) -> socket.socket:
    """An empty ``host`` is every address, of IPv6 and IPv4 both; port 0 is any free one. Raises OSError."""
    if host:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=2048)
    return socket.create_server(("", port), backlog=2048)
