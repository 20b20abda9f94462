"""The protocol table: the same requests get the same answers, and are counted alike, through every listener."""

import ast
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from edge_runtime.datatypes import DATATYPES
from edgemodel import metrics as contract
from edgemodel import serving
from inference_server.errors import InvalidRequest, ModelNotFound, RequestError, UnfitRequest
from tests.unit.inference_server import artifacts
from tests.unit.inference_server.clients import Client, GrpcClient, HttpClient, Input, LineClient, Reply, Request
from tests.unit.inference_server.processes import REPOSITORY, RunningServer, serving_process

VERSION = "tiny-0123456789"
LINE_SERVER = "tests.unit.inference_server.line_listener"


@dataclass(frozen=True)
class Way:
    """One way into the server."""

    client: Client
    fast_path: bool = True


WAYS = {
    "HTTP, JSON": Way(HttpClient(binary=False)),
    "HTTP, binary": Way(HttpClient(binary=True)),
    "HTTP without fast path, JSON": Way(HttpClient(binary=False), fast_path=False),
    "HTTP without fast path, binary": Way(HttpClient(binary=True), fast_path=False),
    "gRPC, typed": Way(GrpcClient(raw=False)),
    "gRPC, raw": Way(GrpcClient(raw=True)),
    "gRPC, stream": Way(GrpcClient(raw=True, stream=True)),
    "lines, the listener of this test": Way(LineClient()),
}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, RunningServer]]:
    """Yields servers of ``artifacts.mlp`` with all listeners, by whether HTTP has its fast path."""
    directory = artifacts.write_mlp(tmp_path_factory.mktemp("mlp"))
    serving = partial(serving_process, directory, "--grpc-port", "0", "--line-port", "0", module=LINE_SERVER)
    with serving() as fast, serving_process(directory, "--disable-fast-path") as slow:
        yield {True: fast, False: slow}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    return WAYS[request.param]


@pytest.fixture
def server(way: Way, servers: dict[bool, RunningServer]) -> RunningServer:
    return servers[way.fast_path]


def x(items: int = 1, **changes: Any) -> Input:
    data = artifacts.samples(items).ravel().tolist()
    return Input(**{"name": "x", "datatype": "FP32", "shape": [items, artifacts.FEATURES], "data": data, **changes})


def counts(server: RunningServer) -> dict[str, float]:
    """Returns the numbers of infer requests by outcome; ``duration`` has those that were answered, ``queue`` those that
    had their turn."""
    outcomes = {
        outcome: server.counted(contract.REQUESTS_TOTAL, f'outcome="{outcome}"') for outcome in contract.OUTCOMES
    }
    (model,) = server.get("/v2/models/tiny/stats").json()["model_stats"]
    return {
        **outcomes,
        "duration": server.counted(contract.DURATION_SECONDS + "_count"),
        "queue": server.counted(contract.QUEUE_SECONDS + "_count"),
        "answered": model["inference_count"],
        "run": model["execution_count"],
    }


def counted_since(before: dict[str, float], server: RunningServer) -> dict[str, float]:
    return {name: count - before[name] for name, count in counts(server).items() if count != before[name]}


def test_every_way_counts_a_request_of_the_warm_up_as_one(way: Way, tmp_path: Path) -> None:
    flags = ["--grpc-port", "0", "--line-port", "0", *([] if way.fast_path else ["--disable-fast-path"])]
    directory, long = artifacts.write_mlp(tmp_path), {serving.WARM_UP_SECONDS: "3600"}
    warm = f'{contract.WARM_UP_LABEL}="{contract.WARM_UP}"'
    with serving_process(directory, *flags, environment=long, module=LINE_SERVER) as server:
        assert way.client.ask(server, Request([x()])).code == "OK"
        assert way.client.ask(server, Request([x(name="y")])).code != "OK"
        for words in (
            [contract.REQUESTS_TOTAL, 'outcome="ok"'],
            [contract.REQUESTS_TOTAL, 'outcome="refused"'],
            [f"{contract.DURATION_SECONDS}_count"],
        ):
            assert server.counted(*words, warm) == server.counted(*words) == 1


@pytest.mark.parametrize("items", [0, 1, 3, 100])
@pytest.mark.parametrize(
    "more",
    [{}, {"id": "a-1"}, {"version": VERSION}, {"outputs": ["scores"]}, {"parameters": {"timeout": 20_000_000}}],
    ids=["plain", "with an id", "of a version", "with its output named", "with a timeout"],
)
def test_every_way_answers_bit_by_bit_as_onnxruntime(
    way: Way, server: RunningServer, items: int, more: dict[str, Any]
) -> None:
    (scores,) = artifacts.plain_run(artifacts.mlp(), {"x": artifacts.samples(items)})
    reply = way.client.ask(server, Request([x(items)], **more))
    outputs = {"scores": ("FP32", [items, artifacts.CLASSES], scores.tobytes())}
    assert reply == Reply("OK", "", "tiny", VERSION, more.get("id"), outputs)


@dataclass(frozen=True)
class Refusal:
    request: Request
    error: type[RequestError]
    messages: Sequence[str]
    """The possible messages, one of which must be in the answer: how data are counted depends on their form."""


REFUSALS = {
    "an unknown model": Refusal(
        Request([x()], model="other"), ModelNotFound, ["model 'other' is unknown, this server has 'tiny'"]
    ),
    "an unknown version": Refusal(
        Request([x()], version="9"), ModelNotFound, [f"version '9' is unknown, this server has '{VERSION}'"]
    ),
    "an unknown input": Refusal(Request([x(name="y")]), UnfitRequest, ["input 'y' is unknown, the model has 'x'"]),
    "no input": Refusal(Request([]), UnfitRequest, ["input 'x' is missing, the model wants 'x'"]),
    "an input twice": Refusal(Request([x(), x()]), InvalidRequest, ["input 'x' is given twice"]),
    "another datatype": Refusal(Request([x(datatype="FP64")]), UnfitRequest, ["input 'x': datatype FP64, want FP32"]),
    "another shape": Refusal(
        Request([x(shape=[1, 15], data=[0.0] * 15)]), UnfitRequest, ["input 'x': shape [1, 15], want [-1, 16]"]
    ),
    "another number of dimensions": Refusal(
        Request([x(shape=[16])]), UnfitRequest, ["input 'x': shape [16], want [-1, 16]"]
    ),
    "a negative dimension": Refusal(
        Request([x(shape=[1, -16])]), InvalidRequest, ["input 'x': shape [1, -16] has a negative dimension"]
    ),
    "too many elements": Refusal(
        Request([x(shape=[2**62, 16])]), InvalidRequest, ["is too large, limit 2147483647 elements"]
    ),
    "less data than its shape says": Refusal(
        Request([x(shape=[3, 16])]),
        InvalidRequest,
        ["data has 16 elements, want 48", "64 bytes of data, want 192", "fp32_contents has 16 elements, want 48"],
    ),
    "no data": Refusal(
        Request([x(data=[])]),
        InvalidRequest,
        ["data has 0 elements, want 16", "0 bytes of data, want 64", "fp32_contents has 0 elements, want 16"],
    ),
    "an unknown output": Refusal(
        Request([x()], outputs=["y"]), UnfitRequest, ["output 'y' is unknown, the model has 'scores'"]
    ),
    "an output twice": Refusal(
        Request([x()], outputs=["scores", "scores"]), InvalidRequest, ["output 'scores' is asked for twice"]
    ),
    "a timeout that is none": Refusal(
        Request([x()], parameters={"timeout": -1}), InvalidRequest, ["timeout is -1, want microseconds"]
    ),
    "a timeout in words": Refusal(
        Request([x()], parameters={"timeout": "soon"}), InvalidRequest, ["timeout is 'soon', want microseconds"]
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_every_way_refuses_alike_counts_once_and_serves_on(way: Way, server: RunningServer, case: str) -> None:
    refusal = REFUSALS[case]
    before = counts(server)
    reply = way.client.ask(server, refusal.request)
    codes = {
        refusal.error.code,
        f"HTTP {refusal.error.status}",
        *([""] if way.client == GrpcClient(True, True) else []),
    }
    assert reply.code in codes
    assert any(message in reply.message for message in refusal.messages), reply.message
    found = counted_since(before, server)
    queued = {} if refusal.error is ModelNotFound else {"queue": 1}
    assert found == {refusal.error.outcome: 1, **queued}
    assert way.client.ask(server, Request([x()])).code == "OK"


@pytest.mark.slow
def test_every_way_counts_each_answer_once(way: Way, server: RunningServer) -> None:
    """The first are answered by workers; the later ones, quick by then, by the receiving thread if the listener allows
    it."""
    before = counts(server)
    for _ in range(40):
        way.client.ask(server, Request([x()]))
    assert counted_since(before, server) == dict.fromkeys(("ok", "duration", "queue", "answered", "run"), 40)


@pytest.fixture(scope="module")
def slow_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, RunningServer]]:
    """Yields servers of a slow model, with one worker and one place in its queue."""
    directory = artifacts.write(tmp_path_factory.mktemp("slow"), artifacts.slow())
    flags = ("--concurrency", "1", "--queue-length", "1")
    serving = partial(serving_process, directory, *flags, "--grpc-port", "0", "--line-port", "0", module=LINE_SERVER)
    with serving() as fast, serving_process(directory, *flags, "--disable-fast-path") as slow:
        yield {True: fast, False: slow}


@pytest.mark.slow
def test_every_way_reports_a_full_queue_to_its_client(way: Way, slow_servers: dict[bool, RunningServer]) -> None:
    server = slow_servers[way.fast_path]
    request = Request([Input("x", "FP32", [200, 64], [0.5] * (200 * 64))])
    before = counts(server)
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: way.client.ask(server, request), range(8)))
    refused = [reply for reply in replies if reply.code != "OK"]
    assert 0 < len(refused) < 8
    assert {reply.code for reply in refused} <= {"UNAVAILABLE", "HTTP 503", ""}
    assert all(reply.message == "2 requests are in work or waiting, limit 2" for reply in refused)
    found = counted_since(before, server)
    assert (found["ok"], found["server_error"]) == (8 - len(refused), len(refused))


def test_every_way_reports_a_timeout_to_its_client(way: Way, slow_servers: dict[bool, RunningServer]) -> None:
    """The timeout of a microsecond has passed before any request has its turn."""
    server = slow_servers[way.fast_path]
    before = counts(server)
    reply = way.client.ask(server, Request([Input("x", "FP32", [1, 64], [0.5] * 64)], parameters={"timeout": 1}))
    assert reply.code in {"DEADLINE_EXCEEDED", "HTTP 503", ""}
    assert "its limit is 1e-06 s" in reply.message
    assert counted_since(before, server) == {"server_error": 1, "queue": 1}


COUNTING = {"record_request", "record", "observe_queue_time", "update_cost"}


SAME = {"HTTP 400": "INVALID_ARGUMENT", "HTTP 404": "NOT_FOUND"}


def _some_input(random: Random) -> Input:
    """Returns an input, which has at most one thing wrong."""
    items = random.choice((0, 1, 2, 3))
    data = artifacts.samples(items).ravel().tolist() if items else []
    right = x(items, data=data, shape=[items, artifacts.FEATURES])
    changes: list[dict[str, Any]] = [
        {"data": [*data, 1.0]},
        {"data": data[1:] or [1.0]},
        {"data": [math.nan, *data[1:]] if data else []},
        {"data": [*data[:-1], random.choice((math.inf, -math.inf, 1e38))] if data else []},
        {"shape": [items]},
        {"shape": [items, artifacts.FEATURES, 1]},
        {"shape": [-1, artifacts.FEATURES]},
        {"shape": [items, artifacts.FEATURES + 1], "data": [0.5] * (items * (artifacts.FEATURES + 1))},
        {"name": random.choice(("y", "X", "", "ä"))},
        {"datatype": random.choice(("FP64", "INT64")), "data": [1] * len(data)},
    ]
    return replace(right, **random.choice(changes)) if random.random() < 0.6 else right


def _some_request(random: Random) -> Request:
    return Request(
        [_some_input(random) for _ in range(random.choice((1,) * 12 + (0, 2)))],
        model=random.choice(("tiny",) * 16 + ("other", "Tiny")),
        version=random.choice((None,) * 10 + (VERSION, "1")),
        id=random.choice((None, "a", "ä" * 10)),
        outputs=random.choice(((),) * 10 + (("scores",), ("nothing",), ("scores", "scores"))),
        parameters=random.choice(({},) * 6 + ({"unknown": 1}, {"unknown": "x"}, {"priority": 1}, {"timeout": -1})),
    )


def _told(reply: Reply) -> tuple[str, list[tuple[str, str, list[int], list[float]]]]:
    """Returns the code, and the outputs with their values; JSON has one word, null, for all that is not finite."""
    outputs = []
    for name, (kind, shape, data) in sorted(reply.outputs.items()):
        values = np.frombuffer(data, DATATYPES[kind].numpy)
        outputs.append((name, kind, list(shape), np.where(np.isfinite(values), values, -1e30).tolist()))
    return SAME.get(reply.code, reply.code), outputs


@pytest.mark.slow
def test_generated_requests_get_the_same_answer_through_every_listener(servers: dict[bool, RunningServer]) -> None:
    random, codes = Random("listeners"), Counter[str]()
    for _ in range(120):
        request = _some_request(random)
        replies = {name: way.client.ask(servers[way.fast_path], request) for name, way in WAYS.items()}
        # An error on a stream is a message without a code.
        told = [_told(reply) for reply in replies.values() if reply.code]
        assert told == [told[0]] * len(told), (request, replies)
        assert (told[0][0] == "OK") == all(reply.code == "OK" for reply in replies.values()), (request, replies)
        codes[told[0][0]] += 1
    assert codes.keys() == {"OK", "INVALID_ARGUMENT", "NOT_FOUND"}
    assert min(codes.values()) >= 5, codes


@pytest.mark.slow
def test_only_the_service_counts_infer_requests() -> None:
    """The rule holds for every listener, and for every end of a request."""
    folder = REPOSITORY / "inference_server"
    callers = {
        str(path.relative_to(folder))
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in COUNTING
    }
    # A worker is the first to know that a request has its turn; it reports that to the service's own item.
    assert callers == {"service.py", "scheduling/workers.py"}
