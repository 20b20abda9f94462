"""The server over HTTP, by plain requests."""

import contextlib
import gzip
import json
import math
import socket
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from tests.unit.inference_server import artifacts
from tests.unit.inference_server.processes import RunningServer, serving_process, until

VERSION = "tiny-0123456789"


def mlp_request(items: int = 1, **more: Any) -> dict[str, Any]:
    data = artifacts.samples(items)
    return {"inputs": [{"name": "x", "shape": [items, 16], "datatype": "FP32", "data": data.ravel().tolist()}], **more}


def expected_scores(items: int = 1) -> Any:
    return artifacts.plain_run(artifacts.mlp(), {"x": artifacts.samples(items)})[0]


def test_the_server_and_its_health_are_returned(mlp_server: RunningServer) -> None:
    assert mlp_server.get("/v2").json()["extensions"] == [
        "binary_tensor_data",
        "model_configuration",
        "model_repository",
        "statistics",
    ]
    assert mlp_server.get("/v2/health/live").status == 200
    assert mlp_server.get("/v2/health/ready").status == 200
    assert mlp_server.request("HEAD", "/v2/health/ready").status == 200


@pytest.mark.parametrize("path", ["/v2/models/tiny", f"/v2/models/tiny/versions/{VERSION}"])
def test_the_model_is_described_with_or_without_its_version(mlp_server: RunningServer, path: str) -> None:
    assert mlp_server.get(path).json() == {
        "name": "tiny",
        "versions": [VERSION],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 16]}],
        "outputs": [{"name": "scores", "datatype": "FP32", "shape": [-1, 4]}],
    }
    assert mlp_server.get(f"{path}/ready").json() == {"name": "tiny", "ready": True}


def test_a_raw_binary_request_is_answered_in_binary(mlp_server: RunningServer) -> None:
    answer = mlp_server.infer(artifacts.samples(3).tobytes(), {"Inference-Header-Content-Length": "0"})
    assert answer.headers["content-type"] == "application/octet-stream"
    split = int(answer.headers["inference-header-content-length"])
    assert json.loads(answer.body[:split])["outputs"][0]["parameters"] == {"binary_data_size": 48}
    assert answer.body[split:] == expected_scores(3).tobytes()


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_request_is_accepted(mlp_server: RunningServer, coding: str, pack: Any) -> None:
    body = pack(json.dumps(mlp_request(2)).encode())
    answer = mlp_server.infer(body, {"Content-Encoding": coding})
    assert answer.status == 200
    assert answer.json()["outputs"][0]["data"] == expected_scores(2).ravel().tolist()


def test_a_long_reply_is_compressed_when_the_client_takes_it(mlp_server: RunningServer) -> None:
    answer = mlp_server.infer(mlp_request(100), {"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(answer.body))["outputs"][0]["shape"] == [100, 4]
    assert "content-encoding" not in mlp_server.infer(mlp_request(100)).headers


@pytest.mark.parametrize("path", ["/v2/models", "/v2/models/", "/v2//models"])
def test_the_models_are_listed_by_name(mlp_server: RunningServer, path: str) -> None:
    assert mlp_server.get(path).json() == {"models": ["tiny"]}


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded", "text/plain"])
def test_the_content_type_does_not_matter(mlp_server: RunningServer, content_type: str) -> None:
    assert mlp_server.infer(mlp_request(), {"Content-Type": content_type}).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("GET", "/", 404, "there is no /"),
        ("GET", "/v2/models//ready", 404, "model '' is unknown, this server has 'tiny'"),
        ("POST", "/v1/models/tiny:predict", 404, "/v1/models/tiny:predict, /openapi.json lists what there is"),
        ("GET", "/v2/models/tiny/versions", 404, "there is no /v2/models/tiny/versions"),
        ("GET", "/v2/models/other", 404, "model 'other' is unknown, this server has 'tiny'"),
        ("GET", "/v2/models/other/ready", 404, "model 'other' is unknown"),
        ("GET", "/v2/models/tiny/infer", 405, "/v2/models/tiny/infer does not take GET, it takes POST"),
        ("POST", "/v2/health/live", 405, "/v2/health/live does not take POST, it takes GET, HEAD"),
        ("DELETE", "/metrics", 405, "does not take DELETE"),
    ],
)
def test_a_wrong_path_or_method_is_reported(
    mlp_server: RunningServer, method: str, path: str, status: int, message: str
) -> None:
    answer = mlp_server.request(method, path)
    assert answer.status == status
    assert message in answer.error
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("body", "headers", "status", "message"),
    [
        (b"{", {}, 400, "the request is not JSON"),
        (b"", {}, 400, "the request is not JSON"),
        (b"{}", {"Inference-Header-Content-Length": "3"}, 400, "the body has only 2 bytes"),
        (b"{}", {"Content-Encoding": "br"}, 415, "Content-Encoding is 'br', want gzip or deflate"),
        (b"{}", {"Content-Encoding": "gzip"}, 400, "the compressed body is damaged"),
        (
            gzip.compress(bytes(2_000_000), mtime=0),
            {"Content-Encoding": "gzip"},
            413,
            "expands to more than the limit of 1000000",
        ),
        (bytes(1_000_001), {}, 413, "the body has more bytes than the limit of 1000000"),
    ],
)
def test_an_unreadable_body_is_reported(
    mlp_server: RunningServer, body: bytes, headers: dict[str, str], status: int, message: str
) -> None:
    answer = mlp_server.infer(body, headers)
    assert (answer.status, message in answer.error) == (status, True), answer


def test_what_a_client_sent_is_quoted_up_to_a_limit(mlp_server: RunningServer) -> None:
    answer = mlp_server.infer({"inputs": [{"name": "n" * 100_000, "shape": [1], "datatype": "FP32", "data": [1]}]})
    assert answer.status == 400
    assert len(answer.error) == 1000


def test_a_body_at_the_limit_is_read(mlp_server: RunningServer) -> None:
    body = json.dumps(mlp_request()).encode()
    assert mlp_server.infer(body + b" " * (1_000_000 - len(body))).status == 200


def test_every_numeric_type_comes_back_as_it_went(types_server: RunningServer) -> None:
    head_inputs: list[dict[str, Any]] = []
    wanted: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for name, array in sorted(extremes().items()):
        blobs.append(array.tobytes())
        parameters = {"binary_data_size": len(blobs[-1])}
        head_inputs.append({"name": name, "shape": [1, array.size], "datatype": name, "parameters": parameters})
        wanted.append({"name": f"{name}.out", "parameters": {"binary_data": True}})
    blobs.append(struct.pack("<I", 3) + "aü".encode())
    head_inputs.append(
        {"name": "BYTES", "shape": [1, 1], "datatype": "BYTES", "parameters": {"binary_data_size": len(blobs[-1])}}
    )
    wanted.append({"name": "BYTES.out", "parameters": {"binary_data": True}})
    request = json.dumps({"inputs": head_inputs, "outputs": wanted}).encode()
    answer = types_server.infer(b"".join((request, *blobs)), {"Inference-Header-Content-Length": str(len(request))})
    assert answer.status == 200, answer.body
    split = int(answer.headers["inference-header-content-length"])
    assert answer.body[split:] == b"".join(blobs)


def extremes() -> dict[str, Any]:
    arrays: dict[str, Any] = {"BOOL": np.array([True, False])}
    for bits in (8, 16, 32, 64):
        for kind in ("int", "uint"):
            info = np.iinfo(f"{kind}{bits}")
            arrays[f"{kind.upper()}{bits}"] = np.array([info.min, info.max], info.dtype)
    for bits in (16, 32, 64):
        finfo = np.finfo(f"float{bits}")
        values = [finfo.max, finfo.smallest_subnormal, -0.0, math.inf, math.nan]
        arrays[f"FP{bits}"] = np.array(values, finfo.dtype)
    return arrays


def test_bfloat16_travels_bit_by_bit(tmp_path: Path) -> None:
    blob = struct.pack("<4H", 0x3F80, 0xC000, 0x7F80, 0x0001)
    types = {"BF16": TensorProto.BFLOAT16, "FP32": TensorProto.FLOAT}
    directory = artifacts.write(tmp_path, artifacts.identities(types))
    inputs = [
        {"name": "BF16", "shape": [2, 2], "datatype": "BF16", "parameters": {"binary_data_size": 8}},
        {"name": "FP32", "shape": [1, 1], "datatype": "FP32", "data": [1.5]},
    ]
    outputs = [{"name": "BF16.out", "parameters": {"binary_data": True}}, {"name": "FP32.out"}]
    head = json.dumps({"inputs": inputs, "outputs": outputs}).encode()
    with serving_process(directory) as server:
        answer = server.infer(head + blob, {"Inference-Header-Content-Length": str(len(head))})
    assert answer.status == 200, answer.body
    assert answer.body.endswith(blob)
    assert b'"data":[1.5]' in answer.body


def test_an_index_out_of_the_models_table_is_the_clients_error(tmp_path: Path) -> None:
    def request(index: int) -> dict[str, Any]:
        return {"inputs": [{"name": "index", "shape": [1], "datatype": "INT64", "data": [index]}]}

    with serving_process(artifacts.write(tmp_path, artifacts.lookup())) as server:
        assert server.infer(request(2)).json()["outputs"][0]["data"] == [30]
        answer = server.infer(request(3))
    assert answer.status == 400
    assert "the model refuses the inputs" in answer.error


def test_a_full_queue_answers_503_with_retry_after(tmp_path: Path) -> None:
    directory = artifacts.write(tmp_path, artifacts.slow())
    body = artifacts.samples(1)[:, :1].repeat(64 * 400).tobytes()
    with serving_process(directory, "--concurrency", "1", "--queue-length", "1") as server:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: server.infer(body, {"Inference-Header-Content-Length": "0"}), range(8)))
        assert server.get("/v2/health/live").status == 200
        statuses = {answer.status for answer in answers}
        assert statuses == {200, 503}
        refused = next(answer for answer in answers if answer.status == 503)
        assert refused.headers["retry-after"] == "1"
        assert "limit 2" in refused.error
        assert server.infer(body, {"Inference-Header-Content-Length": "0"}).status == 200


@pytest.mark.parametrize("way", [(), ("--disable-fast-path",)])
@pytest.mark.slow
def test_a_request_whose_time_is_over_before_its_turn_is_not_begun(tmp_path: Path, way: tuple[str, ...]) -> None:
    """One worker has a request of seconds; of two waiting ones, one has a timeout of a microsecond."""
    long = {"name": "x", "shape": [600, 64], "datatype": "FP32", "parameters": {"binary_data_size": 600 * 64 * 4}}
    with serving_process(artifacts.write(tmp_path, artifacts.slow()), "--concurrency", "1", *way) as server:

        def ask(timeout: int) -> Any:
            head = json.dumps({"inputs": [long], "parameters": {"timeout": timeout}}).encode()
            return server.infer(head + bytes(600 * 64 * 4), {"Inference-Header-Content-Length": str(len(head))})

        with ThreadPoolExecutor(3) as pool:
            answers = list(pool.map(ask, (0, 0, 1)))
        refused = [answer for answer in answers if answer.status == 503]
        assert len(refused) == 1
        assert "s for its turn, its limit is 1e-06 s" in refused[0].error
        assert refused[0].headers["retry-after"] == "1"


@pytest.mark.slow
def test_a_limit_for_all_requests_is_kept(tmp_path: Path) -> None:
    body = artifacts.samples(1)[:, :1].repeat(64 * 1500).tobytes()
    raw = {"Inference-Header-Content-Length": "0"}
    flags = ("--concurrency", "1", "--timeout-seconds", "1")
    with serving_process(artifacts.write(tmp_path, artifacts.slow()), *flags) as server:
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda _: server.infer(body, raw), range(12)))
        assert {answer.status for answer in answers} == {200, 503}
        assert any("its limit is 1 s" in answer.error for answer in answers if answer.status == 503)


@pytest.mark.parametrize("timeout", [-1, 1.5, "1", True, 2**63])
def test_an_invalid_timeout_is_reported(mlp_server: RunningServer, timeout: Any) -> None:
    answer = mlp_server.infer(mlp_request(parameters={"timeout": timeout}))
    assert answer.status == 400
    assert "want microseconds" in answer.error


# --- connections, by raw sockets ---


def read_response(connection: Any) -> tuple[bytes, bytes]:
    """Returns the head and body of one response with a content length."""
    data = b""
    while b"\r\n\r\n" not in data:
        received = connection.recv(65536)
        assert received, f"the connection ended within {data!r}"
        data += received
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length"))
    while len(body) < length:
        body += connection.recv(65536)
    return head, body


def raw_infer(body: bytes, *headers: bytes, length: int | None = None) -> bytes:
    announced = b"Content-Length: %d" % (len(body) if length is None else length)
    lines = [b"POST /v2/models/tiny/infer HTTP/1.1", b"Host: x", announced, *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def test_pipelined_requests_are_answered_in_their_order(mlp_server: RunningServer) -> None:
    with mlp_server.connect() as connection:
        connection.sendall(b"".join(raw_infer(json.dumps(mlp_request(id=str(n))).encode()) for n in range(5)))
        stream = connection.makefile("rb")
        for n in range(5):
            headers = list(iter(stream.readline, b"\r\n"))
            length = next(int(line.split(b":")[1]) for line in headers if line.startswith(b"content-length"))
            assert json.loads(stream.read(length))["id"] == str(n)


def test_a_body_in_single_bytes_is_put_together(mlp_server: RunningServer) -> None:
    with mlp_server.connect() as connection:
        for byte in raw_infer(json.dumps(mlp_request()).encode()):
            connection.sendall(bytes([byte]))
        assert read_response(connection)[0].startswith(b"HTTP/1.1 200")


def test_a_chunked_body_is_accepted(mlp_server: RunningServer) -> None:
    body = json.dumps(mlp_request()).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:7], body[7:])) + b"0\r\n\r\n"
    head = b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with mlp_server.connect() as connection:
        connection.sendall(head + chunks)
        assert read_response(connection)[0].startswith(b"HTTP/1.1 200")


def test_a_client_that_expects_100_continue_gets_it(mlp_server: RunningServer) -> None:
    body = json.dumps(mlp_request()).encode()
    request = raw_infer(body, b"Expect: 100-continue")
    with mlp_server.connect() as connection:
        connection.sendall(request[: -len(body)])
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert read_response(connection)[0].startswith(b"HTTP/1.1 200")


def test_a_client_that_asks_first_with_too_much_is_refused_before_it_sends(mlp_server: RunningServer) -> None:
    with mlp_server.connect() as connection:
        connection.sendall(raw_infer(b"", b"Expect: 100-continue", length=10_000_000))
        head, body = read_response(connection)
        assert head.startswith(b"HTTP/1.1 413")
        assert b"connection: close" in head
        assert b"limit of 1000000" in body
        assert connection.recv(1) == b""


def test_a_refusal_of_a_client_that_asks_first_ends_the_connection(mlp_server: RunningServer) -> None:
    with mlp_server.connect() as connection:
        connection.sendall(raw_infer(b"", b"Expect: 100-continue", length=100).replace(b"/tiny/", b"/other/"))
        head, _ = read_response(connection)
        assert head.startswith(b"HTTP/1.1 404")
        assert b"connection: close" in head


def test_a_body_far_beyond_the_limit_ends_the_connection(mlp_server: RunningServer) -> None:
    with mlp_server.connect() as connection:
        connection.sendall(raw_infer(b"", length=10_000_000))
        for _ in range(21):
            connection.sendall(bytes(100_000))
        head, _ = read_response(connection)
        assert head.startswith(b"HTTP/1.1 413")
        assert b"connection: close" in head


@pytest.mark.parametrize("seed", range(4))
def test_random_data_ends_no_server(mlp_server: RunningServer, seed: int) -> None:
    random = Random(seed)
    valid = raw_infer(json.dumps(mlp_request()).encode())
    for _ in range(50):
        damaged = bytearray(valid)
        for _ in range(random.randint(1, 5)):
            damaged[random.randrange(len(damaged))] = random.randrange(256)
        with mlp_server.connect() as connection:
            connection.sendall(damaged)
            connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionError):
                while connection.recv(65536):
                    pass
    assert mlp_server.infer(mlp_request()).status == 200


def loopbacks() -> list[str]:
    """Returns the loopback addresses of this machine, which may lack IPv6."""
    found = socket.getaddrinfo("localhost", None, type=socket.SOCK_STREAM)
    return sorted({"127.0.0.1", *(str(address[0]) for *_, address in found)})


@pytest.mark.parametrize("address", loopbacks())
def test_every_loopback_address_is_served(address: str, mlp_server: RunningServer) -> None:
    with socket.create_connection((address, mlp_server.port), timeout=5) as connection:
        connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_response(connection)[0].startswith(b"HTTP/1.1 200")


def test_a_connection_serves_on_after_a_body_that_was_too_large(mlp_server: RunningServer) -> None:
    with mlp_server.connect() as connection:
        connection.sendall(raw_infer(bytes(1_500_000)))
        assert read_response(connection)[0].startswith(b"HTTP/1.1 413")
        connection.sendall(raw_infer(json.dumps(mlp_request()).encode()))
        assert read_response(connection)[0].startswith(b"HTTP/1.1 200")


def test_a_client_that_disconnects_half_way_does_no_harm(mlp_server: RunningServer) -> None:
    with mlp_server.connect() as connection:
        connection.sendall(raw_infer(b"{", length=100))
    until(lambda: mlp_server.infer(mlp_request()).status == 200, "an answer to another client")


def test_connection_close_is_honoured(mlp_server: RunningServer) -> None:
    with mlp_server.connect() as connection:
        connection.sendall(raw_infer(json.dumps(mlp_request()).encode(), b"Connection: close"))
        assert b"connection: close" in read_response(connection)[0]
        assert connection.recv(1) == b""


def test_a_head_beyond_the_limit_is_refused_while_it_comes(mlp_server: RunningServer) -> None:
    with mlp_server.connect() as connection:
        connection.sendall(b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\n")
        filler = b"X-Filler: " + b"x" * 8000 + b"\r\n"
        with contextlib.suppress(OSError):  # it is not read to its end
            for _ in range(1000):
                connection.sendall(filler)
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b'{"error":"the request line and its headers have more than the limit of 65536 bytes"}' in answer


def test_a_head_below_the_limit_and_long_bodies_behind_short_heads_are_read(mlp_server: RunningServer) -> None:
    body = artifacts.infer_body({"x": artifacts.samples(2000)})
    assert len(body) > 200_000
    for headers in ({"X-Filler": "x" * 60_000}, {}):
        assert mlp_server.infer(body, headers).status == 200


def test_malformed_requests_get_a_json_error(mlp_server: RunningServer) -> None:
    with mlp_server.connect() as connection:
        connection.sendall(b"\x16\x03\x01 this is TLS\r\n\r\n")
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert "neither HTTPS nor HTTP/2" in json.loads(answer.split(b"\r\n\r\n", 1)[1])["error"]


def test_trailers_without_end_are_refused(mlp_server: RunningServer) -> None:
    with mlp_server.connect() as connection:
        connection.sendall(b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
        with contextlib.suppress(OSError):
            for _ in range(2000):
                connection.sendall(b"a: b\r\n" * 100)
        assert connection.recv(65536).startswith(b"HTTP/1.1 4")


def test_a_client_that_pipelines_too_much_is_disconnected(mlp_server: RunningServer) -> None:
    with mlp_server.connect() as connection:
        with contextlib.suppress(OSError):
            connection.sendall(b"GET /v2/models/tiny/stats HTTP/1.1\r\nHost: x\r\n\r\n" * 2000)
        received = b""
        with contextlib.suppress(OSError):
            while piece := connection.recv(65536):
                received += piece
    assert b"HTTP/1.1 400 " in received
    assert received.count(b"HTTP/1.1 200 ") < 2000
    assert mlp_server.get("/v2/health/live").status == 200


def test_a_shape_of_a_million_dimensions_is_refused_at_once(mlp_server: RunningServer) -> None:
    body = {"inputs": [{"name": "x", "shape": [9] * 300_000, "datatype": "FP32", "data": [0]}]}
    answer = mlp_server.infer(body)
    assert answer.status == 400
    assert "shape of 300000 dimensions, want [-1, 16]" in answer.error


def test_sizes_that_contradict_each_other_are_the_clients_error(tmp_path: Path) -> None:
    directory = artifacts.write(tmp_path, artifacts.sum_of_two())
    with serving_process(directory) as server:

        def ask(first: int, second: int) -> Any:
            feeds = {"a": np.ones((1, first), np.float32), "b": np.ones((1, second), np.float32)}
            return server.infer(artifacts.infer_body(feeds))

        assert ask(3, 3).json()["outputs"][0]["data"] == [2.0] * 3
        refused = ask(3, 4)
        assert refused.status == 400
        assert refused.error == "S is 3 in input 'a' and 4 in input 'b'"
        assert server.counted("edgemodel_inference_requests_total", 'outcome="server_error"') == 0


@pytest.mark.slow
@pytest.mark.parametrize(("arena", "kept"), [("Shrink", False), ("Keep", True)])
def test_the_memory_of_a_burst_is_released_or_kept(tmp_path: Path, arena: str, kept: bool) -> None:
    directory = artifacts.write(tmp_path, artifacts.rows(2))
    with serving_process(directory, "--concurrency", "1", "--memory-arena", arena) as server:

        def ask(rows: int) -> None:
            body = np.ones((rows, 64), np.float32).tobytes()
            assert server.infer(body, {"Inference-Header-Content-Length": "0"}).status == 200

        def resident() -> float:
            return server.counted("edgemodel_memory_bytes")

        for _ in range(30):
            ask(1)
        before = resident()
        ask(40_000)  # 80 MB for each of its intermediate tensors
        ask(1)
        assert (resident() - before > 80_000_000) is kept
