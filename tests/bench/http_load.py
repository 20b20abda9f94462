"""Sends an HTTP server requests as fast as it answers, over a few kept-alive connections, one request at a time on
each.

It is a program of its own, without libraries, pinned by its caller to its own core: one Python process sends requests
faster than any of the servers answers. Each answer is read completely and has to be 200. It prints one JSON object.
"""

import argparse
import json
import select
import socket
import time
from pathlib import Path
from typing import Any

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class Connection:
    """A connection with at most one request in work."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0.0
        self._received = bytearray()
        self._want = 0
        """The size of the complete answer in bytes; 0 before its head is there."""

    def send(self, request: bytes) -> None:
        """Sends a request, and notes the time."""
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Returns whether the answer is complete. Raises ValueError for another status than 200."""
        data = self.socket.recv(1 << 18)
        if not data:
            raise ValueError("the server closed a connection")
        received = self._received
        received += data
        if not self._want:
            end = received.find(_HEAD_END)
            if end < 0:
                return False
            if not received.startswith(b"HTTP/1.1 200"):
                raise ValueError(bytes(received[:300]).decode(errors="replace"))
            head = bytes(received[:end]).lower()
            at = head.find(_LENGTH)
            if at < 0:
                raise ValueError("an answer without Content-Length")
            length = head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]
            self._want = end + len(_HEAD_END) + int(length)
        if len(received) < self._want:
            return False
        received.clear()
        self._want = 0
        return True


def load(address: tuple[str, int], request: bytes, connections: int, seconds: float, warm_up: float) -> dict[str, Any]:
    """Returns the result of requests for ``seconds`` after ``warm_up`` seconds; latencies in milliseconds."""
    poll = select.epoll()
    opened: dict[int, Connection] = {}
    for _ in range(connections):
        connection = Connection(address)
        opened[connection.socket.fileno()] = connection
        poll.register(connection.socket.fileno(), select.EPOLLIN)
        connection.send(request)
    begin = time.perf_counter() + warm_up
    end = begin + seconds
    now = 0.0
    took: list[float] = []
    while now < end:
        for number, _ in poll.poll():
            connection = opened[number]
            if connection.receive():
                now = time.perf_counter()
                if now >= begin:
                    took.append(now - connection.sent_at)
                connection.send(request)
    took.sort()
    return {
        "requests": len(took),
        "per_second": len(took) / seconds,
        **{f"p{p:g}": round(took[min(int(len(took) * p / 100), len(took) - 1)] * 1000, 4) for p in (50, 99, 99.9)},
    }


def main() -> None:
    """Loads a server, and prints the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("request", type=Path, help="file: head and body, as they are sent")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--warm-up", type=float, default=1)
    options = parser.parse_args()
    address = (options.host, options.port)
    found = load(address, options.request.read_bytes(), options.connections, options.seconds, options.warm_up)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
