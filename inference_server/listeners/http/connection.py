"""A connection of uvicorn, with limits on what a client may make it hold; malformed requests get a JSON error."""

from time import perf_counter

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from inference_server.errors import HeadTooLarge, InvalidRequest, RequestError, failure_of
from inference_server.listeners.http import responses

MAX_HEAD_BYTES = 65536
"""The bytes that may arrive while the parser makes no progress: in a head, or after chunks. The parser itself has no
limit. One piece of data is never split to be counted."""
MAX_PIPELINED = 128
"""The largest number of requests that may wait for the answer to an earlier one."""
MAX_MESSAGE_SECONDS = 600.0
"""The longest time from a request's first byte to its last, in seconds."""
NOT_HTTP = (
    "this is not a valid request of HTTP/1.1: check its first line, its headers and the sizes of its chunks; "
    "this port speaks neither HTTPS nor HTTP/2"
)
CUT_OFF = "the request ends before its body does: send as many bytes as content-length says, or the last chunk"


class TooManyPipelined(Exception):
    """The client pipelined too many requests; this ends the parser, and with it the connection."""


class Connection(HttpToolsProtocol):
    """A connection of one client."""

    _stuck_bytes = 0
    """The number of bytes since the parser last made progress."""
    _progress = 0
    """The number of heads, pieces of bodies and ends of messages that the parser found."""
    _active = 0.0
    """The ``perf_counter()`` at the latest arrival of data or answer."""
    _since: float | None = None
    """The ``perf_counter()`` at the beginning of the incomplete request; None if there is none."""

    def data_received(self, data: bytes) -> None:
        """Counts what arrives, and refuses a head that is too long; uvicorn's parser does the rest."""
        self._active = perf_counter()
        before = self._progress
        super().data_received(data)
        self._stuck_bytes = self._stuck_bytes + len(data) if self._progress == before else 0
        if self.transport.is_closing():
            return
        if self._stuck_bytes > MAX_HEAD_BYTES:
            self.refuse(
                HeadTooLarge(f"the request line and its headers have more than the limit of {MAX_HEAD_BYTES} bytes")
            )
        elif self.timeout_keep_alive_task is None:  # uvicorn stops it while a request arrives
            self.arm(self.timeout_keep_alive)

    def on_message_begin(self) -> None:
        """Starts the time of a request; the parser calls this at its first byte."""
        self._since = self._active
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Takes a complete head; the parser calls this. Raises TooManyPipelined, which ends the connection."""
        self._progress += 1
        super().on_headers_complete()
        if len(self.pipeline) > MAX_PIPELINED:
            raise TooManyPipelined

    def on_body(self, body: bytes) -> None:
        """Takes a piece of a body; the parser calls this."""
        self._progress += 1
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Ends the time of a request; the parser calls this after its last byte."""
        self._progress += 1
        self._since = None
        super().on_message_complete()

    @property
    def works(self) -> bool:
        """True while a complete request has no answer yet."""
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body

    def arm(self, seconds: float) -> None:
        """Starts the timer of idle connections."""
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Closes an idle connection. The timer also runs while requests come and go, so it checks first."""
        now = perf_counter()
        idle = now - self._active
        if self.transport.is_closing():
            return
        if self.works:
            self.arm(self.timeout_keep_alive)
        elif idle >= self.timeout_keep_alive or (self._since is not None and now - self._since > MAX_MESSAGE_SECONDS):
            self._drop()
        else:
            self.arm(max(self.timeout_keep_alive - idle, 1.0))

    def _drop(self) -> None:
        """Closes at once if answers are unread, which would stay in memory until the client reads them."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Frees what the connection holds, its timer too."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def send_400_response(self, msg: str) -> None:
        """Answers data that are not HTTP; the parser calls this."""
        self.refuse(InvalidRequest(NOT_HTTP))

    def eof_received(self) -> None:
        """Answers a request that the client ends too early, if it is that one's turn; the transport then closes."""
        cycle = self.cycle
        if self._since is None or self.pipeline or self.transport.is_closing():
            return
        is_its_own = cycle is not None and cycle.more_body and not cycle.response_started
        if cycle is None or is_its_own or (cycle.response_complete and not cycle.more_body):
            self.refuse(InvalidRequest(CUT_OFF))

    def refuse(self, error: RequestError) -> None:
        """Answers with ``error`` and closes the connection, because the beginning of the next request is unknown."""
        response = responses.of_failure(failure_of(error))
        headers = b"".join(b"%s: %s\r\n" % header for header in response.headers)
        end = b"content-length: %d\r\nconnection: close\r\n\r\n" % len(response.body)
        self.transport.write(STATUS_LINE[response.status] + headers + end + response.body)
        self.transport.close()
