"""The end after SIGTERM: no request fails that was sent before its connection was announced to close."""

import contextlib
import http.client
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.unit.inference_server import artifacts
from tests.unit.inference_server.processes import DEADLINE_SECONDS, RunningServer, serving_process, until

pytestmark = pytest.mark.slow

RAW = {"Inference-Header-Content-Length": "0"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with serving_process(artifacts.write_mlp(tmp_path)) as server:
        yield server


def connect(server: RunningServer) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_SECONDS)
    connection.auto_open = 0  # no silent retry
    connection.connect()
    return connection


def infer(connection: http.client.HTTPConnection, body: bytes) -> bool:
    """Returns whether the connection stays open after an answer, which must be good."""
    connection.request("POST", "/v2/models/tiny/infer", body, RAW)
    response = connection.getresponse()
    response.read()
    assert response.status == 200
    return response.getheader("connection") != "close"


def until_refused(server: RunningServer) -> None:
    def refused() -> bool:
        try:
            server.connect().close()
        except ConnectionError:
            return True
        return False

    until(refused, "new connections are refused")


def test_clients_at_full_load_lose_no_request(server: RunningServer) -> None:
    body = artifacts.samples(1).tobytes()
    answered = [0] * 12
    all_warm = threading.Barrier(len(answered) + 1)

    def hammer(number: int) -> None:
        with contextlib.closing(connect(server)) as connection:
            assert infer(connection, body)
            all_warm.wait(DEADLINE_SECONDS)
            while infer(connection, body):
                answered[number] += 1

    with ThreadPoolExecutor(len(answered)) as pool:
        futures = [pool.submit(hammer, number) for number in range(len(answered))]
        all_warm.wait(DEADLINE_SECONDS)
        until(lambda: min(answered) > 5 or any(future.done() for future in futures), "every client is at work")
        server.terminate()
        for future in futures:
            future.result(DEADLINE_SECONDS)
    assert server.wait_end() == 0


def test_a_request_on_an_idle_connection_is_answered_after_the_signal(server: RunningServer) -> None:
    body = artifacts.samples(1).tobytes()
    with contextlib.closing(connect(server)) as used, contextlib.closing(connect(server)) as fresh:
        assert infer(used, body)
        server.terminate()
        until_refused(server)
        assert not infer(used, body)
        assert not infer(fresh, body)
    assert server.wait_end() == 0


def test_a_request_in_work_is_answered_and_an_idle_connection_closed(tmp_path: Path) -> None:
    directory = artifacts.write(tmp_path, artifacts.slow())
    body = artifacts.samples(1)[:, :1].repeat(64 * 2000).tobytes()
    with serving_process(directory, "--concurrency", "1", "--drain-seconds", "60") as server:
        with contextlib.closing(connect(server)) as busy, server.connect() as idle:
            busy.request("POST", "/v2/models/tiny/infer", body, RAW)
            until(lambda: b"edgemodel_queue_duration_seconds_count" in server.get("/metrics").body, "scrape")
            until(lambda: queued(server) == 1, "the request is in work")
            server.terminate()
            assert idle.recv(1) == b""
            response = busy.getresponse()
            assert response.status == 200
            assert response.getheader("connection") == "close"
            response.read()
        assert server.wait_end() == 0


def queued(server: RunningServer) -> int:
    lines = server.get("/metrics").body.decode().splitlines()
    return next(
        int(float(line.split()[-1])) for line in lines if line.startswith("edgemodel_queue_duration_seconds_count")
    )


def test_a_client_that_never_ends_its_request_does_not_hold_the_server(tmp_path: Path) -> None:
    with serving_process(artifacts.write_mlp(tmp_path), "--drain-seconds", "0") as server:
        connection = server.connect()
        connection.sendall(b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert server.get("/v2/health/live").status == 200
        server.terminate()
        assert server.wait_end() == 0
        connection.close()


def test_a_second_interrupt_ends_the_server_at_once(tmp_path: Path) -> None:
    with serving_process(artifacts.write_mlp(tmp_path), "--drain-seconds", "3600") as server:
        connection = server.connect()
        connection.sendall(b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert server.get("/v2/health/live").status == 200
        server.process.send_signal(signal.SIGINT)
        until_refused(server)
        server.process.send_signal(signal.SIGINT)
        assert server.wait_end() == 0
        connection.close()
