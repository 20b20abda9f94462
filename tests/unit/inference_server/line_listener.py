"""A listener for tests: a line of JSON in, a line of JSON out, over TCP.

This file is all that a new listener takes. ``python -m tests.unit.inference_server.line_listener`` is the server with
it.
"""

import asyncio
import json
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Any

from edge_runtime.datatypes import Array
from inference_server import __main__ as program
from inference_server.errors import InvalidRequest
from inference_server.identity import Identity
from inference_server.listeners import LISTENERS
from inference_server.listeners.http.listener import listen
from inference_server.listeners.listener import ListenerType
from inference_server.protocol import infer
from inference_server.protocol.infer import Inference, RequestSignature
from inference_server.server_process import exit_at_once
from inference_server.service import InferenceService
from inference_server.settings import ServerSettings, integer_between

MAX_LINE_BYTES = 1_000_000


class LineCodec:
    is_binary = False
    is_compressed = False

    def __init__(self, request: Any) -> None:
        self._body = json.dumps(request).encode()
        self.size = len(self._body)

    def read(self, signature: RequestSignature) -> Inference:
        return infer.decode(self._body, None, signature)

    def write(self, inference: Inference, identity: Identity, arrays: Sequence[Array]) -> bytes:
        return infer.encode(inference, identity.model, identity.revision, arrays).body


class LineListener:
    """A listener of lines ``{"model": …, "version": …, "request": …}``, the request as over HTTP; an answer has the
    same form.

    An error is ``{"error": …, "code": …}``.
    """

    def __init__(self, port: int) -> None:
        self._socket = listen("127.0.0.1", port)
        self.port = int(self._socket.getsockname()[1])
        self._service: InferenceService
        self._server: asyncio.Server

    async def start(self, service: InferenceService) -> None:
        self._service = service
        self._server = await asyncio.start_server(self._serve, sock=self._socket, limit=MAX_LINE_BYTES)

    async def stop(self, grace_seconds: float) -> None:
        self._server.close()

    def log_fields(self) -> Mapping[str, Any]:
        return {"line_port": self.port}

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while line := await reader.readline():
                writer.write(await self._answer(line) + b"\n")
        writer.close()

    async def _answer(self, line: bytes) -> bytes:
        started = perf_counter()
        try:
            asked = _parsed(line)

            async def receive() -> LineCodec:
                return LineCodec(asked["request"])

            answer: bytes = await self._service.infer(asked["model"], asked["version"], receive, started, _never)
            return answer
        except Exception as error:
            failure = self._service.failure(error)
            return json.dumps({"error": failure.message, "code": failure.code}).encode()


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        raise InvalidRequest(f"the line is not JSON: {error}") from error


async def _never() -> None:
    """Never returns: a client that leaves is not noticed before its answer."""
    await asyncio.Event().wait()


def _add_flags(parser: ArgumentParser) -> None:
    parser.add_argument("--line-port", type=integer_between(0, 65535))


def _listen(settings: ServerSettings) -> LineListener | None:
    port = settings.listener_flags["line_port"]
    return None if port is None else LineListener(port)


LINES = ListenerType("lines", _add_flags, _listen)

if __name__ == "__main__":
    LISTENERS.append(LINES)
    exit_at_once(program.main())
