"""Reads a request's body from the connection, up to a limit."""

from inference_server.errors import BodyTooLarge, client_disconnected
from inference_server.listeners.http.asgi import Receive


async def read_body(headers: dict[bytes, bytes], receive: Receive, limit: int) -> bytes:
    """Returns the whole body, as sent. Raises BodyTooLarge beyond ``limit`` bytes, Disconnected.

    The rest of a body that is too large is read and discarded, up to as much again, because a client that is still
    sending would not see the answer. One that waits for ``100 Continue`` is answered at once.
    """
    announced = int(headers.get(b"content-length", b"0"))
    too_large = BodyTooLarge(f"the body has more bytes than the limit of {limit}")
    if announced > limit and b"expect" in headers:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    more = True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise client_disconnected()
        chunk = event.get("body", b"")
        more = event.get("more_body", False)
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        elif size > 2 * limit:
            raise too_large.closing()
        else:
            chunks.clear()
    if size > limit:
        raise too_large
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
