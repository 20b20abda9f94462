"""The batching of waiting requests: it is optional, and nobody gets another's answer."""

import contextlib
import http.client
import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.signature import Signature
from edgemodel.artifact import Tensor
from inference_server.protocol.infer import Inference, Outputs, Wanted
from inference_server.scheduling import batching
from tests.unit.inference_server import artifacts
from tests.unit.inference_server.processes import DEADLINE_SECONDS, RunningServer, serving_process, until

pytestmark = pytest.mark.slow

X, SCORES = Tensor("x", "FP32", (-1, 4)), Tensor("scores", "FP32", (-1, 2))


def inference(*shape: int, outputs: tuple[Tensor, ...] = (SCORES,)) -> Inference:
    return Inference(None, {"x": np.zeros(shape, np.float32)}, Outputs(Wanted(tensor, False) for tensor in outputs))


def test_a_model_takes_batches_only_with_an_open_first_dimension_everywhere() -> None:
    assert batching.has_items(Signature({"x": X}, {"scores": SCORES}))
    assert not batching.has_items(Signature({"x": X}, {"total": Tensor("total", "FP32", ())}))
    assert not batching.has_items(Signature({"x": Tensor("x", "FP32", (1, 4))}, {"scores": SCORES}))


def test_requests_of_the_same_shape_and_outputs_go_together_in_order() -> None:
    other = Tensor("other", "FP32", (-1, 2))
    asked = [inference(1, 4), inference(1, 8), inference(2, 4), inference(1, 4, outputs=(other,)), inference(1, 8)]
    assert batching.groups(asked, 16) == [[0, 2], [1, 4], [3]]


def test_a_batch_has_at_most_so_many_items_and_a_larger_request_runs_alone() -> None:
    assert batching.groups([inference(3, 4), inference(2, 4), inference(9, 4), inference(1, 4)], 4) == [
        [0],
        [1],
        [2],
        [3],
    ]
    assert batching.groups([inference(1, 4)] * 5, 2) == [[0, 1], [2, 3], [4]]


def test_an_empty_request_is_not_lost() -> None:
    assert batching.groups([inference(0, 4)], 8) == [[0]]
    assert batching.groups([inference(0, 4), inference(8, 4), inference(0, 4)], 8) == [[0, 1, 2]]


def test_a_batch_is_taken_apart_again() -> None:
    several = [Inference(None, {"x": np.full((n, 2), n, np.float32)}, Outputs()) for n in (1, 3, 2)]
    stacked = batching.stack(several)["x"]
    parts = batching.take_apart([stacked, stacked * 10], [1, 3, 2])
    assert parts is not None
    assert [[array.tolist() for array in part] for part in parts] == [
        [[[n, n]] * n, [[n * 10, n * 10]] * n] for n in (1, 3, 2)
    ]
    assert batching.take_apart([np.float32(1)], [1]) is None
    assert batching.take_apart([np.zeros((5, 2))], [1, 3]) is None


@pytest.fixture(scope="module", params=["1", "4"], ids=lambda threads: f"{threads} workers")
def batching_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    directory = artifacts.write(tmp_path_factory.mktemp("rows"), artifacts.rows())
    with serving_process(directory, "--concurrency", request.param, "--max-batch-items", "8") as server:
        yield server


def ask(server: RunningServer, rows: Any, **more: Any) -> Any:
    data = np.asarray(rows, np.float32)
    body = {"inputs": [{"name": "x", "shape": list(data.shape), "datatype": "FP32", "data": data.ravel().tolist()}]}
    return server.infer({**body, **more})


def test_waiting_requests_run_as_one_and_each_gets_its_own_answer(batching_server: RunningServer) -> None:
    random = np.random.default_rng(5)
    asked = [random.standard_normal((1 + n % 3, 64)).astype(np.float32) for n in range(48)]
    begin = threading.Barrier(len(asked))

    def one(rows: Any) -> Any:
        begin.wait(30)
        return ask(batching_server, rows)

    with ThreadPoolExecutor(len(asked)) as pool:
        answers = list(pool.map(one, asked))
    for rows, answer in zip(asked, answers, strict=True):
        assert answer.status == 200, answer.body
        (output,) = answer.json()["outputs"]
        assert output["shape"] == [len(rows)]
        np.testing.assert_allclose(output["data"], rows.sum(axis=1), rtol=1e-3, atol=1e-3)
    (stats,) = batching_server.get("/v2/models/tiny/stats").json()["model_stats"]
    assert stats["inference_count"] >= len(asked)
    assert stats["execution_count"] < stats["inference_count"], "nothing ran together"
    assert max(batch["batch_size"] for batch in stats["batch_stats"]) > 1


def test_many_clients_of_several_workers_get_each_their_own_answer(tmp_path: Path) -> None:
    """The model is small, so that workers compete."""
    directory = artifacts.write(tmp_path, artifacts.rows(1))
    with serving_process(directory, "--concurrency", "4", "--max-batch-items", "4") as server:

        def client(number: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_SECONDS)
            with contextlib.closing(connection):
                for turn in range(150):
                    value = number * 1000 + turn
                    items = turn % 3  # 0: an empty request
                    body = artifacts.infer_body({"x": np.full((items, 64), value, np.float32)})
                    connection.request("POST", "/v2/models/tiny/infer", body)
                    answer = json.loads(connection.getresponse().read())
                    assert answer["outputs"][0]["data"] == [value * 64] * items

        with ThreadPoolExecutor(16) as pool:
            for done in [pool.submit(client, number) for number in range(16)]:
                done.result()
        (stats,) = server.get("/v2/models/tiny/stats").json()["model_stats"]
        assert stats["inference_count"] == 16 * 150


def test_a_bad_request_among_those_that_wait_harms_no_other(batching_server: RunningServer) -> None:
    begin = threading.Barrier(24)

    def one(number: int) -> tuple[int, int]:
        begin.wait(30)
        rows = np.full((1, 63 if number % 3 == 0 else 64), number)
        answer = ask(batching_server, rows)
        if answer.status == 200:
            assert answer.json()["outputs"][0]["data"] == [pytest.approx(64 * number)]
        return number, answer.status

    with ThreadPoolExecutor(24) as pool:
        found = dict(pool.map(one, range(24)))
    assert found == {number: 400 if number % 3 == 0 else 200 for number in range(24)}


def test_a_refused_request_is_reported_and_the_others_are_answered(tmp_path: Path) -> None:
    directory = artifacts.write(tmp_path, artifacts.lookup())
    with serving_process(directory, "--concurrency", "1", "--max-batch-items", "8") as server:
        begin = threading.Barrier(24)

        def one(number: int) -> tuple[int, Any]:
            begin.wait(30)
            index = 99 if number % 4 == 0 else number % 3
            answer = server.infer({"inputs": [{"name": "index", "shape": [1], "datatype": "INT64", "data": [index]}]})
            return number, answer.json()["outputs"][0]["data"] if answer.status == 200 else answer.status

        with ThreadPoolExecutor(24) as pool:
            found = dict(pool.map(one, range(24)))
        assert found == {number: 400 if number % 4 == 0 else [float(10 * (number % 3 + 1))] for number in range(24)}


def test_a_model_without_items_serves_as_if_batching_were_off(tmp_path: Path) -> None:
    with serving_process(artifacts.write(tmp_path, artifacts.slow(2)), "--max-batch-items", "8") as server:
        answer = ask(server, np.ones((2, 64)))
        assert answer.json()["outputs"][0]["data"] == [pytest.approx(128)]


@pytest.mark.parametrize("way", [[], ["--disable-fast-path"]], ids=["fast path", "without fast path"])
@pytest.mark.parametrize("batch", ["1", "8"])
def test_a_request_whose_client_went_away_while_it_waited_is_not_run(
    tmp_path: Path, way: Sequence[str], batch: str
) -> None:
    directory = artifacts.write(tmp_path, artifacts.rows())
    with (
        serving_process(directory, "--concurrency", "1", "--max-batch-items", batch, *way) as server,
        ThreadPoolExecutor(1) as pool,
    ):
        long = pool.submit(ask, server, np.ones((1024, 64), np.float32))
        until(lambda: server.counted("edgemodel_queue_duration_seconds_count") == 1, "the first is in work")
        leaving = server.connect()
        body = artifacts.infer_body({"x": np.ones((1, 64), np.float32)})
        leaving.sendall(
            b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        leaving.close()
        assert long.result().status == 200
        until(lambda: server.counted('outcome="client_error"') == 1, "the other counts as its client's error")
        (stats,) = server.get("/v2/models/tiny/stats").json()["model_stats"]
        assert stats["inference_count"] == 1
