"""Bad requests by the thousand: each is refused with a reason, and does no harm."""

import http.client
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import grpc
import pytest

from tests.support.speaking import assert_speaks_to_a_user
from tests.unit.inference_server import artifacts, bad_requests
from tests.unit.inference_server.bad_requests import Bad
from tests.unit.inference_server.processes import DEADLINE_SECONDS, RunningServer, serving_process, until

pytestmark = pytest.mark.slow

MORE_MEMORY = 48_000_000
"""The bytes by which a server may grow, far less than the requests of one test have: remembered heads, garbage, and
what the allocator keeps."""
EVERY = 50
"""The number of wrong requests after which a valid one follows."""
HTTP = {
    bad_requests.structured: 5000,
    bad_requests.textual: 2000,
    bad_requests.binary: 2500,
    bad_requests.coded: 1000,
}
MESSAGES = 1500


@pytest.fixture(scope="module", params=["fast path", "without fast path"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    directory = artifacts.write_mlp(tmp_path_factory.mktemp("mlp"))
    way = ["--disable-fast-path"] if request.param == "without fast path" else []
    with serving_process(directory, "--max-body-bytes", "1000000", "--grpc-port", "0", *way) as server:
        yield server


class Right:
    """A request whose answer is known to the bit."""

    def __init__(self) -> None:
        inputs = artifacts.samples(2, seed=3)
        self.body = artifacts.infer_body({"x": inputs})
        (scores,) = artifacts.plain_run(artifacts.mlp(), {"x": inputs})
        self.data = scores.ravel().tolist()


@pytest.mark.parametrize("make", HTTP, ids=lambda make: make.__name__)
def test_bad_requests_are_refused_with_a_reason(server: RunningServer, make: Callable[[Random], Bad]) -> None:
    random, right = Random(make.__name__), Right()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_SECONDS)
    before = State(server)
    rules: Counter[str] = Counter()
    for number in range(HTTP[make]):
        bad = make(random)
        connection.request("POST", "/v2/models/tiny/infer", bad.body, dict(bad.headers))
        response = connection.getresponse()
        answer = response.read()
        told = f"{bad.rule}: {bad.body[:300]!r} {bad.headers} -> {response.status} {answer[:300]!r}"
        assert 400 <= response.status < 500, told
        assert_speaks_to_a_user(json.loads(answer)["error"], told)
        rules[bad.rule] += 1
        if number % EVERY == 0:
            connection.request("POST", "/v2/models/tiny/infer", right.body)
            response = connection.getresponse()
            assert json.loads(response.read())["outputs"][0]["data"] == right.data
    connection.close()
    assert min(rules.values()) > 20, "each rule was broken, and often"
    before.still_holds(server)


def test_bad_grpc_requests_are_refused_with_a_reason(server: RunningServer) -> None:
    random, right = Random("gRPC"), artifacts.samples(2, seed=3)
    (scores,) = artifacts.plain_run(artifacts.mlp(), {"x": right})
    before = State(server)
    rules: Counter[str] = Counter()
    with grpc.insecure_channel(f"127.0.0.1:{server.log[0]['grpc_port']}") as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for number in range(MESSAGES):
            rule, data = bad_requests.message(random)
            with pytest.raises(grpc.RpcError) as caught:
                infer(data, timeout=DEADLINE_SECONDS)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT, (rule, data, caught.value)
            assert_speaks_to_a_user(caught.value.details() or "", rule)
            rules[rule] += 1
            if number % EVERY == 0:
                asked = bad_requests.service_pb2.ModelInferRequest(model_name="tiny")
                asked.inputs.add(name="x", datatype="FP32", shape=right.shape)
                asked.raw_input_contents.append(right.tobytes())
                reply = bad_requests.service_pb2.ModelInferResponse.FromString(infer(asked.SerializeToString()))
                assert reply.raw_output_contents[0] == scores.tobytes()
    assert min(rules.values()) > 20
    before.still_holds(server)


def test_there_are_at_least_ten_thousand_of_them() -> None:
    assert sum(HTTP.values()) + MESSAGES >= 10_000


class State:
    """The resources of a server: memory, threads, files."""

    def __init__(self, server: RunningServer) -> None:
        self.memory, self.threads, self.files = _held(server)

    def still_holds(self, server: RunningServer) -> None:
        """Asserts that the server holds no more than before, except MORE_MEMORY and connections that it has not yet
        seen closed."""
        assert server.process.poll() is None
        until(lambda: _held(server)[2] <= self.files + 2, "connections are closed")
        memory, threads, _ = _held(server)
        assert memory - self.memory < MORE_MEMORY
        assert threads <= self.threads + 64  # grpcio's, at most those of its pool


def _held(server: RunningServer) -> tuple[int, int, int]:
    process = Path(f"/proc/{server.process.pid}")
    pages = int((process / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(process / "task")), len(os.listdir(process / "fd"))
