"""A program that accepts connections on inherited sockets and forwards them into its own network namespace.

forward.py FD=HOST:PORT …

The sockets were opened on the host's loopback, so that an ordinary shell reaches into a namespace without a route to
it.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import suppress


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copies bytes until the reader ends or a connection fails, then closes the writer's direction only."""
    with suppress(OSError):
        while data := await reader.read(1 << 18):
            writer.write(data)
            await writer.drain()
    with suppress(OSError, RuntimeError):
        writer.write_eof()  # the other direction may still be open


async def relay(inbound: tuple[asyncio.StreamReader, asyncio.StreamWriter], host: str, port: int) -> None:
    """Connects to the target, copies in both directions until both end, and closes the connections."""
    writers = [inbound[1]]
    try:
        reader, writer = await asyncio.open_connection(host, port)
        writers.append(writer)
        await asyncio.gather(pump(inbound[0], writer), pump(reader, inbound[1]))
    except OSError:
        pass  # nobody there: the caller sees the connection end
    finally:
        for writer in writers:
            writer.close()


async def serve(listeners: list[tuple[int, str, int]]) -> None:
    """Accepts connections on inherited sockets, given as (descriptor, host, port), and relays each to its target."""
    servers = []
    for fd, host, port in listeners:

        async def accept(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str = host, port: int = port
        ) -> None:
            await relay((reader, writer), host, port)

        servers.append(await asyncio.start_server(accept, sock=socket.socket(fileno=fd)))
    await asyncio.gather(*(server.serve_forever() for server in servers))


def parse(argument: str) -> tuple[int, str, int]:
    """Returns (descriptor, host, port) of an argument ``FD=HOST:PORT``."""
    fd, _, target = argument.partition("=")
    host, _, port = target.rpartition(":")
    return int(fd), host, int(port)


if __name__ == "__main__":
    asyncio.run(serve([parse(argument) for argument in sys.argv[1:]]))
