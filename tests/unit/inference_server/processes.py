"""The real server as a subprocess, and deadlines in place of sleeps."""

import contextlib
import http.client
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgemodel import serving
from examples.lab.waiting import wait_for

REPOSITORY = Path(__file__).parents[3]
IDENTITY = {
    serving.NAMESPACE: "factory",
    serving.MODEL: "tiny",
    serving.REVISION: "tiny-0123456789",
    serving.VARIANT: "default",
    serving.NODE: "node-1",
}
DEADLINE_SECONDS = 30.0
AS_IN_THE_IMAGE = "tests.unit.inference_server.as_in_the_image"
"""The module that runs another one with what the image has."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    """The headers, with names in lower case."""
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json()["error"])


class RunningServer:
    def __init__(
        self,
        directory: Path,
        *flags: str,
        environment: Mapping[str, str] | None = None,
        module: str = "inference_server",
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *flags],
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": f"{REPOSITORY / 'operator'}:{REPOSITORY}",
                "PYTHONDONTWRITEBYTECODE": "1",
                **IDENTITY,
                serving.PORT: "0",
                serving.MODEL_DIRECTORY: str(directory),
                serving.WARM_UP_SECONDS: "0",
                **(environment or {}),
            },
            cwd="/",
            stderr=subprocess.PIPE,
        )
        self.log: list[dict[str, Any]] = []
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        threading.Thread(target=self._read_log, daemon=True).start()
        self.port = 0

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(line)
        self._lines.put(None)

    def wait_for_event(self, message: str) -> dict[str, Any]:
        """Returns the first log line with ``message``; fails if the process ends or the deadline passes before it."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while (line := self._lines.get(timeout=max(deadline - time.monotonic(), 0.001))) is not None:
            self.log.append(json.loads(line))
            if self.log[-1]["message"] == message:
                return self.log[-1]
        raise AssertionError(f"the server ended without {message!r}: {self.log}")

    def wait_listening(self) -> "RunningServer":
        self.port = self.wait_for_event("listening")["port"]
        return self

    def wait_ready(self) -> "RunningServer":
        self.wait_listening()
        self.wait_for_event("ready")
        return self

    def wait_end(self) -> int:
        return self.process.wait(DEADLINE_SECONDS)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()

    def request(
        self, method: str, path: str, body: bytes | Any | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Sends one request on a connection of its own; a body that is not bytes is sent as JSON, and without a
        type."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE_SECONDS)
        with contextlib.closing(connection):
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, data, dict(headers or {}))
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def counted(self, *words: str) -> float:
        """Returns the sum of the samples of ``/metrics`` whose lines have all ``words``."""
        lines = self.get("/metrics").body.decode().splitlines()
        found = [line for line in lines if not line.startswith("#") and all(word in line for word in words)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in found)

    def infer(self, body: bytes | Any, headers: Mapping[str, str] | None = None, model: str = "tiny") -> Answer:
        return self.request("POST", f"/v2/models/{model}/infer", body, headers)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE_SECONDS)


@contextlib.contextmanager
def serving_process(
    directory: Path,
    *flags: str,
    environment: Mapping[str, str] | None = None,
    module: str = "inference_server",
) -> Iterator[RunningServer]:
    """Yields a ready server, whose program is ``module``; it is killed at the end."""
    server = RunningServer(directory, *flags, environment=environment, module=module)
    try:
        yield server.wait_ready()
    finally:
        server.kill()


def until(condition: Callable[[], bool], what: str) -> None:
    """Waits for ``condition`` of a server, often, since it lasts for milliseconds; an exception is not awaited."""
    wait_for(what, condition, timeout_s=DEADLINE_SECONDS, interval_s=0.005, not_yet=())
