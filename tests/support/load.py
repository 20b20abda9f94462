"""A client on an edge node, which sends requests to one EdgeModel and counts failures.

With ``--prompt`` it asks for text, as a stream, and a stream without its end is a failure. It runs
as a program in the node's network namespace (see ``--help``); half of the connections are kept alive, the other
half are new for each request. It prints one JSON object when SIGTERM ends it.
"""

import argparse
import http.client
import itertools
import json
import signal
import threading
import time
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

FEATURES = 16
BEYOND = 10.0
"""A value of the first feature that ``tiny_models.mlp(fails_beyond=…)`` fails on."""


class Client(threading.Thread):
    """A client that sends one request after the other."""

    TIMEOUT: ClassVar = 5.0
    """The longest time in seconds without a byte of an answer."""

    def __init__(self, options: argparse.Namespace, number: int, until: float, stop: threading.Event) -> None:
        super().__init__()
        self.options, self.number, self.until = options, number, until
        self.keep = number % 2 == 0
        self.root = f"/v2/models/{options.model}"
        self.x, self.labels = _samples(options.samples)
        self.good = 0
        self.labelled = 0
        self.failures: list[tuple[float, str]] = []
        self.versions: dict[str, int] = {}
        self.connection: http.client.HTTPConnection | None = None
        self.stop = stop

    def run(self) -> None:
        """Sends requests until the time is over, or until it is stopped."""
        for count in itertools.count():
            started = time.monotonic()
            if started >= self.until or self.stop.is_set():
                return
            self._ask(count)
            if self.options.per_second:
                self.stop.wait(max(0.0, started + 1 / self.options.per_second - time.monotonic()))

    def _ask(self, count: int) -> None:
        x = self.x[count % len(self.x)].tolist()
        if self.options.odd_one_in and count % self.options.odd_one_in == 0:
            x[0] = BEYOND
        body: dict[str, Any] = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, FEATURES], "data": x}]}
        if self.labels is not None:
            body["id"] = f"{self.number}-{count}"
        answer = self._post("infer", body)
        if answer is None:
            return
        self.good += 1
        version = answer["model_version"]
        self.versions[version] = self.versions.get(version, 0) + 1
        if self.labels is not None:
            label = int(self.labels[count % len(self.x)])
            told = self._post("feedback", {"id": body["id"], "labels": [label]}, may_be_gone=True)
            self.labelled += told is not None

    def _post(self, what: str, body: Any, may_be_gone: bool = False) -> Any:
        """Returns the answer; None for a failure, which is counted, except a 404 with ``may_be_gone``."""
        try:
            status, data = self._answer(f"{self.root}/{what}", body)
            if status == 200:
                return json.loads(data)
            if status != 404 or not may_be_gone:
                self._failed(f"{status} {data[:200]!r}")
        except (OSError, http.client.HTTPException) as error:
            self._close()
            self._failed(f"{type(error).__name__}: {error}")
        return None

    def _answer(self, path: str, body: Any) -> tuple[int, bytes]:
        """Returns status and content. Raises OSError or HTTPException, also for content that ends early."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.options.address, self.options.port, timeout=self.TIMEOUT)
        self.connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        response = self.connection.getresponse()
        data = response.read()
        if not self.keep or response.will_close:
            self._close()
        return response.status, data

    def _failed(self, what: str) -> None:
        self.failures.append((time.time(), what))

    def _close(self) -> None:
        if self.connection is not None:
            self.connection.close()
        self.connection = None


class Reader(Client):
    """A client that reads one streamed answer after the other."""

    TIMEOUT = 60.0

    def _ask(self, count: int) -> None:
        messages = [{"role": "user", "content": self.options.prompt}]
        body = {"model": self.options.model, "messages": messages, "stream": True, "seed": count}
        try:
            status, data = self._answer("/v1/chat/completions", body)
        except (OSError, http.client.HTTPException) as error:
            self._close()
            self._failed(f"{type(error).__name__}: {error}")
            return
        events = [line.removeprefix(b"data: ") for line in data.split(b"\n\n") if line]
        if status != 200 or events[-1:] != [b"[DONE]"]:
            self._failed(f"{status} {data[-200:]!r}")
            return
        finish = json.loads(events[-2])["choices"][0]["finish_reason"]
        if finish not in ("stop", "length"):
            self._failed(f"the stream ends with {finish!r}")
            return
        self.good += 1
        self.versions[finish] = self.versions.get(finish, 0) + 1


def _samples(path: Path | None) -> tuple[Any, Any]:
    if path is None:
        return np.full((1, FEATURES), 0.5, np.float32), None
    with np.load(path) as file:
        return file["x"], file["label"]


def main() -> None:
    """Loads a server, and prints what the clients saw as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("model")
    parser.add_argument("seconds", type=float)
    parser.add_argument("connections", type=int)
    parser.add_argument("--per-second", type=float, default=0, help="requests of each connection; 0: without pause")
    parser.add_argument("--odd-one-in", type=int, default=0, help="every so many-th request has an odd value")
    parser.add_argument("--samples", type=Path, help=".npz with x and label: labels are sent back as feedback")
    parser.add_argument("--prompt", help="what a model that generates text is asked")
    options = parser.parse_args()
    until = time.monotonic() + options.seconds
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    kind = Client if options.prompt is None else Reader
    clients = [kind(options, number, until, stop) for number in range(options.connections)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    versions: dict[str, int] = {}
    for client in clients:
        for version, number in client.versions.items():
            versions[version] = versions.get(version, 0) + number
    failures = sorted(failure for client in clients for failure in client.failures)
    seen = {
        "good": sum(client.good for client in clients),
        "labelled": sum(client.labelled for client in clients),
        "failed": len(failures),
        "failures": [{"at": at, "what": what} for at, what in failures[:10]],
        "versions": versions,
    }
    print(json.dumps(seen))


if __name__ == "__main__":
    main()
