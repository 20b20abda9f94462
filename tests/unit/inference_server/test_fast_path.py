"""The requests that take the fast path, and the changes of a connection between it and ASGI at any time."""

import contextlib
import http.client
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from edgemodel import metrics as contract
from inference_server.listeners.http import fast_path
from inference_server.listeners.http.fast_path import ALIGNMENT, Head, read_head
from tests.unit.inference_server import artifacts
from tests.unit.inference_server.processes import RunningServer, serving_process, until
from tests.unit.inference_server.test_metrics import scrape, value
from tests.unit.inference_server.test_server import mlp_request, raw_infer, read_response

GET = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"


def head(*lines: str, start: str = "POST /v2/models/m/infer HTTP/1.1") -> Head | None:
    return read_head("\r\n".join((start, "Host: x", *lines, "", "")).encode())


def test_this_uvicorn_has_what_the_fast_path_needs() -> None:
    assert fast_path.fits()


def test_a_uvicorn_with_another_signature_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_path.HttpToolsProtocol, "data_received", lambda self, data, flags: None)
    assert not fast_path.fits()
    monkeypatch.delattr(fast_path.HttpToolsProtocol, "data_received")
    assert not fast_path.fits()


def test_a_uvicorn_that_works_on_other_attributes_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def resumed(self: Any) -> None:
        self.reading_paused = False

    monkeypatch.setattr(fast_path.FlowControl, "__init__", resumed)
    monkeypatch.delattr(fast_path.FlowControl, "pause_writing")
    monkeypatch.delattr(fast_path.FlowControl, "resume_writing")
    assert not fast_path.fits()


def test_a_plain_head_is_read() -> None:
    headers = {b"host": b"x", b"content-length": b"12", b"accept-encoding": b"gzip"}
    wanted = Head("/v2/models/m/infer", 12, headers, keep_alive=True, may_be_plain=True, padding=0)
    assert head("Content-Length: 12", "Accept-Encoding: gzip") == wanted


@pytest.mark.parametrize(
    ("path", "read"),
    [
        ("/v2/models/m%20n/infer", "/v2/models/m n/infer"),
        ("/v2/models/m/infer?x=1", "/v2/models/m/infer"),
        ("/v2/models/%C3%A4/infer", "/v2/models/ä/infer"),
        ("http://x/v2/models/m/infer", "/v2/models/m/infer"),
        ("http://x", ""),
    ],
)
def test_the_path_is_that_of_asgi(path: str, read: str) -> None:
    found = head("Content-Length: 1", start=f"POST {path} HTTP/1.1")
    assert found is not None
    assert found.path == read


def test_a_client_that_closes_is_known() -> None:
    found = head("Content-Length: 1", "Connection: close")
    assert found is not None
    assert not found.keep_alive


@pytest.mark.parametrize(
    "lines",
    [
        (),
        ("Transfer-Encoding: chunked",),
        ("Content-Length: 1", "Transfer-Encoding: chunked"),
        ("Content-Length: 1", "Content-Length: 1"),
        ("Content-Length: 1", "Content-Length: 2"),
        ("Content-Length: -1",),
        ("Content-Length: +1",),
        ("Content-Length: 1x",),
        ("Content-Length: ",),
        ("Content-Length: 99999999999999999999999",),
        ("Content-Length: 1", "Expect: 100-continue"),
        ("Content-Length: 1", "Connection: upgrade", "Upgrade: websocket"),
        ("Content-Length: 1", "Accept: a", "Accept: b"),
        ("Content-Length: 1", "No colon"),
        ("Content-Length: 1", "Sp ace: 1"),
        ("Content-Length: 1", "X: a\n b"),
        ("Content-Length: 1", "X: \0"),
    ],
)
def test_what_is_not_plain_is_left_to_uvicorn(lines: tuple[str, ...]) -> None:
    assert head(*lines) is None


@pytest.mark.parametrize(
    "start",
    [
        "GET /v2/models/m/infer HTTP/1.1",
        "POST /v2/models/m/infer HTTP/1.0",
        "POST /v2/models/m/infer HTTP/2.0",
        "POST /v2/models/m/infer",
        "POST  HTTP/1.1",
        "",
        "\x16\x03\x01",
    ],
)
def test_another_start_is_left_to_uvicorn(start: str) -> None:
    assert head("Content-Length: 1", start=start) is None


def test_heads_are_remembered_within_a_bound() -> None:
    for number in range(3 * fast_path.MAX_HEADS):
        fast_path._head(b"POST / HTTP/1.1\r\nHost: %d\r\nContent-Length: 1\r\n\r\n" % number)
        assert len(fast_path._heads) <= fast_path.MAX_HEADS


def status_of(connection: socket.socket) -> int:
    return int(read_response(connection)[0].split()[1])


def test_a_connection_changes_between_the_fast_path_and_asgi(mlp_server: RunningServer) -> None:
    body = json.dumps(mlp_request()).encode()
    chunked = b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    in_chunks = chunked + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    with mlp_server.connect() as connection:
        for request in (raw_infer(body), GET, raw_infer(body), in_chunks, raw_infer(b"x"), in_chunks, GET, GET) * 3:
            connection.sendall(request)
            assert status_of(connection) == (400 if request.endswith(b"\r\n\r\nx") else 200)


@pytest.mark.parametrize("cut", [1, 20, 60, 100, 140, 200])
def test_pieces_of_any_size_are_put_together(mlp_server: RunningServer, cut: int) -> None:
    requests = b"".join(raw_infer(json.dumps(mlp_request(id=str(n))).encode()) + GET for n in range(3))
    with mlp_server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(requests), cut):
            connection.sendall(requests[start : start + cut])
        stream = connection.makefile("rb")
        for n in range(3):
            assert json.loads(_body(stream))["id"] == str(n)
            assert json.loads(_body(stream)) == {"live": True}


def _body(stream: Any) -> bytes:
    headers = list(iter(stream.readline, b"\r\n"))
    return bytes(stream.read(next(int(h.split(b":")[1]) for h in headers if h.startswith(b"content-length"))))


def test_what_comes_while_a_request_is_in_work_waits_for_its_answer(tmp_path: Path) -> None:
    slow = artifacts.samples(1)[:, :1].repeat(64 * 50).tobytes()
    raw = b"Inference-Header-Content-Length: 0"
    with serving_process(artifacts.write(tmp_path, artifacts.slow())) as server, server.connect() as connection:
        stream = connection.makefile("rb")
        for _ in range(3):
            connection.sendall(raw_infer(slow, raw))
            connection.sendall(GET)
            connection.sendall(raw_infer(b"x", raw)[:-30])
            connection.sendall(raw_infer(b"x", raw)[-30:])
            assert b"outputs" in _body(stream)
            assert json.loads(_body(stream)) == {"live": True}
            assert b"error" in _body(stream)


def test_a_client_that_goes_away_within_its_body_is_counted_as_its_own_error(tmp_path: Path) -> None:
    with serving_process(artifacts.write_mlp(tmp_path)) as server:
        with server.connect() as connection:
            connection.sendall(raw_infer(b"{", length=100))
        until(
            lambda: value(scrape(server), contract.REQUESTS_TOTAL, outcome="client_error") == 1,
            "the request is counted",
        )


def test_work_of_a_client_that_is_gone_is_not_begun(tmp_path: Path) -> None:
    """One worker has a long request; twenty wait whose clients disconnect, and end at once after it."""
    long = artifacts.samples(1)[:, :1].repeat(64 * 600).tobytes()
    raw = b"Inference-Header-Content-Length: 0"
    with serving_process(artifacts.write(tmp_path, artifacts.slow()), "--concurrency", "1") as server:
        with server.connect() as first:
            first.sendall(raw_infer(long, raw))
            until(lambda: value(scrape(server), contract.QUEUE_SECONDS + "_count") == 1, "the first is in work")
            with contextlib.ExitStack() as leaving:
                for _ in range(20):
                    leaving.enter_context(server.connect()).sendall(raw_infer(long, raw))
                until(lambda: _connections(server.port) >= 21, "all are connected")
            assert status_of(first) == 200
        until(lambda: sum(_outcomes(server).values()) == 21, "all are counted")
        assert _outcomes(server)["client_error"] >= 15


def _outcomes(server: RunningServer) -> dict[str, float]:
    samples = scrape(server)
    return {outcome: value(samples, contract.REQUESTS_TOTAL, outcome=outcome) for outcome in contract.OUTCOMES}


def _connections(port: int) -> int:
    """Returns the number of the server's established connections, from the kernel's table."""
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return sum(line[1].endswith(f":{port:04X}") and line[3] == "01" for line in lines)


@pytest.mark.slow
def test_a_client_that_does_not_read_its_answers_gets_no_more_of_them(tmp_path: Path) -> None:
    """Its answers fill the buffers of both sides, after which its requests are not read."""
    directory = artifacts.write(tmp_path, artifacts.identities({"FP32": 1}))
    request = {"inputs": [{"name": "FP32", "shape": [1, 50_000], "datatype": "FP32", "data": [0.1] * 50_000}]}
    asked = raw_infer(json.dumps(request).encode())
    with serving_process(directory) as server, server.connect() as connection:
        connection.settimeout(2)
        with pytest.raises(TimeoutError):
            connection.sendall(asked * 500)
        assert server.get("/v2/health/live").status == 200
        assert value(scrape(server), contract.MEMORY_BYTES) < 300e6


@pytest.mark.parametrize("length", range(17))
def test_binary_data_behind_json_of_any_length_lies_aligned(length: int) -> None:
    head = read_head(
        b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
        b"Inference-Header-Content-Length: %d\r\n\r\n" % length
    )
    assert head is not None
    assert not head.may_be_plain
    assert (head.padding + length) % ALIGNMENT == 0
    assert 0 <= head.padding < ALIGNMENT


@pytest.mark.parametrize("pieces", [1, 2, 7])
@pytest.mark.parametrize("items", [5, 3000, 20_000])
@pytest.mark.slow
def test_binary_data_in_pieces_is_answered_bit_by_bit(tmp_path: Path, pieces: int, items: int) -> None:
    """The body is short, collected in place, or longer than that."""
    inputs = artifacts.samples(items)
    (scores,) = artifacts.plain_run(artifacts.mlp(), {"x": inputs})
    tensor = {"name": "x", "datatype": "FP32", "shape": [items, 16], "parameters": {"binary_data_size": inputs.nbytes}}
    with serving_process(artifacts.write_mlp(tmp_path)) as server, server.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for filler in range(4):  # JSON of other lengths, on one connection
            text = json.dumps(
                {"id": "x" * filler, "inputs": [tensor], "parameters": {"binary_data_output": True}}
            ).encode()
            body = text + inputs.tobytes()
            head = b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(body)
            head += b"Inference-Header-Content-Length: %d\r\n\r\n" % len(text)
            step = -(-len(body) // pieces)
            connection.sendall(head + body[:step])
            for start in range(step, len(body), step):
                connection.sendall(body[start : start + step])
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            assert answer.status == 200
            assert answer.read().endswith(scores.tobytes())
