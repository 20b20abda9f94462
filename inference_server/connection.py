"""A connection of uvicorn's, with a limit on heads; what is no request is told in JSON, as ``app`` tells the rest."""

from http import HTTPStatus

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from inference_server import answers

MOST_HEAD_BYTES = 65536
"""Of a request: its line and its headers. The parser itself would read on for ever."""


class Connection(HttpToolsProtocol):
    _head_bytes = 0
    """That have come of a head that is not complete yet."""
    _in_head = True
    _messages = 0
    """That are complete."""

    def data_received(self, data: bytes) -> None:
        before = self._messages
        super().data_received(data)
        if not self._in_head:
            return
        if self._messages == before:  # else it began somewhere within ``data``, and what follows is counted
            self._head_bytes += len(data)
        if self._head_bytes > MOST_HEAD_BYTES and not self.transport.is_closing():
            self.refuse(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"the request line and its headers have more than the limit of {MOST_HEAD_BYTES} bytes",
            )

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes = False, 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        self._messages += 1
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """The parser found that what came is no HTTP."""
        self.refuse(HTTPStatus.BAD_REQUEST, msg)

    def refuse(self, status: int, message: str) -> None:
        """And close: where the next request would begin, nobody knows."""
        response = answers.error(status, message)
        headers = b"".join(b"%s: %s\r\n" % header for header in response.headers)
        end = b"content-length: %d\r\nconnection: close\r\n\r\n" % len(response.body)
        self.transport.write(STATUS_LINE[status] + headers + end + response.body)
        self.transport.close()
