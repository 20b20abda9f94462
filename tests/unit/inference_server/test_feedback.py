"""Labels for earlier predictions: by the id of the request, for the revision that answered it."""

import json
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from edgemodel import metrics as contract
from inference_server.errors import PredictionNotFound
from inference_server.models import feedback
from tests.unit.inference_server import artifacts
from tests.unit.inference_server.processes import Answer, RunningServer, serving_process, until
from tests.unit.inference_server.test_metrics import scrape, value

Array = np.ndarray[Any, np.dtype[Any]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with serving_process(artifacts.write_mlp(tmp_path_factory.mktemp("mlp"))) as process:
        yield process


def predict(server: RunningServer, request: str, items: int = 3) -> list[int]:
    """Returns the classes that the server answered."""
    x = artifacts.samples(items, seed=sum(request.encode()))
    tensor = {"name": "x", "shape": list(x.shape), "datatype": "FP32", "data": x.ravel().tolist()}
    answer = server.infer({"id": request, "inputs": [tensor]}).json()
    scores = np.array(answer["outputs"][0]["data"]).reshape(items, -1)
    return [int(position) for position in scores.argmax(axis=1)]


def tell(server: RunningServer, body: Any, model: str = artifacts.MODEL) -> Answer:
    return server.request("POST", f"/v2/models/{model}/feedback", body)


def test_right_and_wrong_predictions_are_counted_separately(server: RunningServer) -> None:
    before = scrape(server)
    first, second, third = predict(server, "a")
    answer = tell(server, {"id": "a", "labels": [first, second, (third + 1) % artifacts.CLASSES]})
    assert answer.json() == {
        "model_name": "tiny",
        "model_version": "tiny-0123456789",
        "right": 2,
        "wrong": 1,
    }
    after = scrape(server)
    for correct, more in (("true", 2), ("false", 1)):
        counted = [value(samples, contract.FEEDBACK_TOTAL, correct=correct) for samples in (before, after)]
        assert counted[1] - counted[0] == more


def test_a_label_counts_once(server: RunningServer) -> None:
    labels = predict(server, "once")
    assert tell(server, {"id": "once", "labels": labels}).status == 200
    again = tell(server, {"id": "once", "labels": labels})
    assert again.status == 404
    assert "'once'" in again.json()["error"]


def test_the_request_that_used_an_id_last_is_the_one_that_is_meant(server: RunningServer) -> None:
    predict(server, "twice", 2)
    labels = predict(server, "twice", 3)
    assert tell(server, {"id": "twice", "labels": labels}).json()["right"] == 3


def test_feedback_is_not_an_inference_request(server: RunningServer) -> None:
    predict(server, "counted")
    before = scrape(server)
    tell(server, {"id": "counted", "labels": [0]})
    after = scrape(server)
    for outcome in contract.OUTCOMES:
        counted = [value(samples, contract.REQUESTS_TOTAL, outcome=outcome) for samples in (before, after)]
        assert counted[0] == counted[1]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 400, "not JSON"),
        ({"id": "a"}, 400, "labels"),
        ({"id": 7, "labels": [1]}, 400, "id"),
        ({"id": "a", "labels": 1}, 400, "labels"),
        ({"id": "a", "labels": [1.5]}, 400, "labels"),
        ({"id": "a", "labels": [True]}, 400, "labels"),
        ({"id": "a", "labels": [1], "label": 1}, 400, "label"),
        ({"id": "nobody", "labels": [1]}, 404, "'nobody'"),
    ],
)
def test_the_error_for_bad_feedback_says_what_is_expected(
    server: RunningServer, body: Any, status: int, said: str
) -> None:
    answer = tell(server, body)
    assert answer.status == status
    assert said in answer.json()["error"]


@pytest.mark.slow
def test_feedback_takes_a_worker_and_never_holds_up_the_health_endpoints(tmp_path: Path) -> None:
    """The only worker is busy and there is no queue, so that nothing can expand and decode it."""
    directory = artifacts.write(tmp_path, artifacts.slow())
    long = artifacts.samples(1)[:, :1].repeat(64 * 2000).tobytes()
    with (
        serving_process(directory, "--concurrency", "1", "--queue-length", "0") as server,
        ThreadPoolExecutor(1) as pool,
    ):
        inference = pool.submit(server.infer, long, {"Inference-Header-Content-Length": "0"})
        until(lambda: value(scrape(server), contract.QUEUE_SECONDS + "_count") == 1, "the worker is busy")
        refused = tell(server, {"id": "a", "labels": [1]})
        assert server.get("/v2/health/live").status == 200
        assert not inference.done()
        assert inference.result().status == 200
        assert tell(server, {"id": "a", "labels": [1]}).status == 404
    assert refused.status == 503
    assert refused.headers["retry-after"] == "1"


def test_a_wrong_number_of_labels_is_refused_and_may_be_corrected(server: RunningServer) -> None:
    labels = predict(server, "three")
    answer = tell(server, {"id": "three", "labels": labels[:2]})
    assert answer.status == 400
    assert "3 items" in answer.json()["error"]
    assert tell(server, {"id": "three", "labels": labels}).json()["right"] == 3


def test_another_model_and_another_method_are_refused(server: RunningServer) -> None:
    assert tell(server, {"id": "a", "labels": [1]}, model="other").status == 404
    assert server.get("/v2/models/tiny/feedback").status == 405


def test_memory_is_bounded_and_the_oldest_are_forgotten_first() -> None:
    predictions = feedback.Predictions()
    for number in range(feedback.MAX_REQUESTS + 1):
        predictions.remember(str(number), np.eye(2, dtype=np.float32))
    with pytest.raises(PredictionNotFound):
        predictions.judge(feedback.Feedback("0", [0, 1]))
    assert predictions.judge(feedback.Feedback("1", [0, 1])) == (2, 0)


def texts(length: int, items: int = 1) -> Array:
    """Returns different texts, which no other array shares."""
    return np.array([[f"{item:0{length}d}"] for item in range(items)], object)


def test_a_request_with_a_long_id_is_not_remembered_and_the_answer_says_the_limit(server: RunningServer) -> None:
    longest = "i" * feedback.MAX_TEXT_LENGTH
    assert tell(server, {"id": longest, "labels": predict(server, longest)}).json()["right"] == 3
    answer = tell(server, {"id": longest + "i", "labels": predict(server, longest + "i")})
    assert answer.status == 404
    assert "at most 256 characters" in answer.error


def test_a_long_text_is_not_remembered_as_a_class() -> None:
    predictions = feedback.Predictions()
    predictions.remember("a", texts(feedback.MAX_TEXT_LENGTH))
    assert predictions.judge(feedback.Feedback("a", ["0" * feedback.MAX_TEXT_LENGTH])) == (1, 0)
    predictions.remember("a", texts(feedback.MAX_TEXT_LENGTH + 1))
    with pytest.raises(PredictionNotFound, match="at most 256 characters"):
        predictions.judge(feedback.Feedback("a", ["0"]))


@pytest.mark.parametrize("output", [texts(feedback.MAX_TEXT_LENGTH + 1), np.array([0.5], np.float32)])
def test_a_forgotten_request_is_not_confused_with_an_earlier_one_of_its_id(output: Array) -> None:
    predictions = feedback.Predictions()
    predictions.remember("a", np.eye(1, 2, dtype=np.float32))
    predictions.remember("a", output)
    with pytest.raises(PredictionNotFound):
        predictions.judge(feedback.Feedback("a", [0]))


@pytest.mark.slow
def test_memory_is_bounded_however_many_texts_there_are() -> None:
    predictions = feedback.Predictions()
    tracemalloc.start()
    try:
        for number in range(150):
            predictions.remember(str(number), texts(feedback.MAX_TEXT_LENGTH, feedback.MAX_ITEMS))
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert used < 1.2 * feedback.MAX_BYTES
    labels: list[feedback.Label] = [""] * feedback.MAX_ITEMS
    with pytest.raises(PredictionNotFound):
        predictions.judge(feedback.Feedback("0", labels))
    assert predictions.judge(feedback.Feedback("149", labels)) == (0, feedback.MAX_ITEMS)


def test_what_has_its_feedback_or_is_replaced_takes_no_room() -> None:
    predictions = feedback.Predictions()
    output = texts(feedback.MAX_TEXT_LENGTH, feedback.MAX_ITEMS)
    labels: list[feedback.Label] = output[:, 0].tolist()
    predictions.remember("first", output)
    for _ in range(100):
        predictions.remember("replaced", output)
        predictions.remember("judged", output)
        predictions.judge(feedback.Feedback("judged", labels))
    assert predictions.judge(feedback.Feedback("first", labels)) == (feedback.MAX_ITEMS, 0)


@pytest.mark.slow
def test_a_batch_of_classes_is_remembered_as_long_as_a_single_one() -> None:
    predictions = feedback.Predictions()
    output = np.full((feedback.MAX_ITEMS, 1), 999)
    for number in range(feedback.MAX_REQUESTS):
        predictions.remember(str(number), output)
    labels: list[feedback.Label] = [999] * feedback.MAX_ITEMS
    assert predictions.judge(feedback.Feedback("0", labels)) == (feedback.MAX_ITEMS, 0)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (np.array([[0.1, 0.9], [0.8, 0.2]], np.float32), [1, 0]),
        (np.array([[[0.1], [0.9]]], np.float32), [1]),
        (np.array([3, 5], np.int64), [3, 5]),
        (np.array([["cat"], ["dog"]], object), ["cat", "dog"]),
        (np.array([0.5, 0.7], np.float32), None),
        (np.array(0.5, np.float32), None),
        (np.zeros((0, 3), np.float32), None),
    ],
)
def test_the_class_of_an_item(output: Array, expected: list[Any] | None) -> None:
    assert feedback.classes(output) == expected


def predict_half(server: RunningServer, request: str, datatype: str, items: Array) -> None:
    """Predicts ``items``, bits of ``datatype``, which the model returns unchanged."""
    parameters = {"binary_data_size": items.nbytes}
    given = {"name": "x", "shape": list(items.shape), "datatype": datatype, "parameters": parameters}
    head = json.dumps({"id": request, "inputs": [given], "parameters": {"binary_data_output": True}}).encode()
    answer = server.infer(head + items.tobytes(), {"Inference-Header-Content-Length": str(len(head))})
    assert answer.status == 200, answer.body


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_scores_in_half_precision_are_compared_as_numbers(tmp_path: Path, datatype: str) -> None:
    """The bit pattern of every negative number is larger than that of every positive one."""
    kind = {"FP16": TensorProto.FLOAT16, "BF16": TensorProto.BFLOAT16}[datatype]
    scores = np.array([[-2, 0.5, 0.25], [-1, -4, -3], [0, 1, 2]], np.float32)
    bits = scores.astype(np.float16) if datatype == "FP16" else (scores.view(np.uint32) >> 16).astype(np.uint16)
    with serving_process(artifacts.write(tmp_path, artifacts.identities({"x": kind}))) as server:
        predict_half(server, "a", datatype, bits)
        assert tell(server, {"id": "a", "labels": [1, 0, 2]}).json()["right"] == 3
        predict_half(server, "one score an item", datatype, bits[:, :1])
        assert tell(server, {"id": "one score an item", "labels": [1, 0, 2]}).status == 404


def test_the_model_directory_is_read_only_to_feedback(tmp_path: Path) -> None:
    """The server writes no predictions to disk."""
    directory = artifacts.write_mlp(tmp_path / "model")
    before = sorted(path.name for path in directory.iterdir())
    with serving_process(directory) as process:
        tell(process, {"id": "a", "labels": predict(process, "a")})
    assert sorted(path.name for path in directory.iterdir()) == before
