"""Shadow replay: a candidate answers earlier requests, and only counts result from it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_runtime.signature import Signature
from edgemodel import metrics as contract
from edgemodel import serving
from edgemodel.artifact import Golden, Tensor
from inference_server.models import replay
from inference_server.models.replay import MAX_BYTES, Record, ReplayResult, Ring
from inference_server.protocol.infer import Inference, Outputs, Wanted
from tests.unit.inference_server import artifacts
from tests.unit.inference_server.processes import RunningServer, serving_process

pytestmark = pytest.mark.slow

TOKEN = "f00d"
X, Y, TEXT = Tensor("x", "FP32", (-1, 2)), Tensor("y", "FP32", (-1, 2)), Tensor("t", "BYTES", (-1,))
CLASSES = Signature({"x": X}, {"y": Y})


def inference(x: Any) -> Inference:
    return Inference(None, {"x": np.asarray(x, np.float32)}, Outputs([Wanted(Y, False)]))


def record(x: Any, y: Any) -> Record:
    return Record({"x": np.asarray(x, np.float32)}, {"y": np.asarray(y, np.float32)})


def test_the_latest_requests_are_remembered_and_no_more() -> None:
    ring = Ring(3)
    for number in range(5):
        ring.note(inference([[number, 0]]), [np.float32([[0, number]])])
    assert [one.inputs["x"][0, 0] for one in ring.records()] == [2, 3, 4]
    nothing = Ring(0)
    nothing.note(inference([[1, 1]]), [np.float32([[1, 1]])])
    assert nothing.records() == []


def test_what_is_remembered_is_bounded_in_bytes() -> None:
    ring = Ring(4096)
    rows = MAX_BYTES // 5 // 12
    for number in range(8):
        ring.note(inference(np.full((rows, 2), number)), [np.zeros((rows, 1), np.float32)])
    assert [one.inputs["x"][0, 0] for one in ring.records()] == [3, 4, 5, 6, 7]
    assert sum(one.size_bytes for one in ring.records()) <= MAX_BYTES


def test_what_is_remembered_does_not_hold_the_body_of_its_request() -> None:
    ring = Ring(1)
    body = np.arange(100_000, dtype=np.float32)
    ring.note(Inference(None, {"x": body[:2].reshape(1, 2)}, Outputs([Wanted(Y, False)])), [np.float32([[0, 0]])])
    (one,) = ring.records()
    assert one.inputs["x"].base is None or one.inputs["x"].base.nbytes < 100


def test_records_go_to_another_process_and_come_back_bit_by_bit() -> None:
    signature = Signature({"x": X, "t": TEXT}, {"y": Y})
    asked = [
        Record(
            {"x": np.float32([[np.nan, 1.5]]), "t": np.array(["größe"], object)}, {"y": np.float32([[-0.0, np.inf]])}
        ),
        record(np.zeros((0, 2)), np.zeros((0, 2))),
    ]
    found = replay.decode(replay.encode(asked, signature))
    for one, other in zip(asked, found, strict=True):
        for arrays, others in ((one.inputs, other.inputs), (one.outputs, other.outputs)):
            assert arrays.keys() == others.keys()
            for name, array in arrays.items():
                assert array.shape == others[name].shape
                assert array.tolist() == others[name].tolist() or array.tobytes() == others[name].tobytes()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 8,
        b"\0" * 7 + b"\x02[]",
        b"\0" * 7 + b"\x04[[1]]",
        b"\0" * 7 + b'\x1f[[[["x","FP32",[9,9],4]],[]]]abcd',
    ],
)
def test_damaged_records_are_refused_or_are_none(data: bytes) -> None:
    if data.endswith(b"\x02[]"):
        assert replay.decode(data) == []
        return
    with pytest.raises(ValueError, match="cannot be read"):
        replay.decode(data)


def test_items_of_one_class_agree() -> None:
    asked = [record([[0, 1], [2, 3]], [[0, 9], [9, 0]]), record([[4, 5]], [[1, 0]])]
    assert replay.replay(
        lambda feeds, _: [np.float32([[0, 1]] * len(feeds["x"]))], CLASSES, asked, None
    ) == ReplayResult(1, 2)


def test_values_agree_within_a_share_of_their_spread() -> None:
    asked = [Record({"x": np.zeros((2, 2), np.float32)}, {"y": np.float32([100, 50])})]
    values = Signature({"x": X}, {"y": Tensor("y", "FP32", (-1,))})
    assert replay.replay(lambda *_: [np.float32([100.9, 50])], values, asked, None) == ReplayResult(2, 0)
    assert replay.replay(lambda *_: [np.float32([103, 50])], values, asked, None) == ReplayResult(1, 1)


def test_bfloat16_is_compared_by_its_values_and_not_by_its_bits() -> None:
    minus_one, one = 0xBF80, 0x3F80
    signature = Signature({"x": X}, {"y": Tensor("y", "BF16", (-1, 2))})
    asked = [Record({"x": np.zeros((1, 2), np.float32)}, {"y": np.array([[minus_one, one]], np.uint16)})]
    assert replay.replay(lambda *_: [np.array([[0, one]], np.uint16)], signature, asked, None) == ReplayResult(1, 0)
    assert replay.replay(lambda *_: [np.array([[one, 0]], np.uint16)], signature, asked, None) == ReplayResult(0, 1)


def test_texts_are_equal_or_not() -> None:
    signature = Signature({"x": X}, {"t": Tensor("t", "BYTES", (-1, 2))})
    asked = [Record({"x": np.zeros((1, 2), np.float32)}, {"t": np.array([["cat", "dog"]], object)})]
    assert replay.replay(lambda *_: asked[0].outputs.values(), signature, asked, None) == ReplayResult(1, 0)
    other = [np.array([["cat", "cow"]], object)]
    assert replay.replay(lambda *_: other, signature, asked, None) == ReplayResult(0, 1)


def test_the_class_is_that_of_the_models_first_output_whatever_was_requested_first() -> None:
    signature = Signature({"x": X}, {"y": Y, "boxes": Tensor("boxes", "FP32", (-1, 4))})
    answers = {"y": np.float32([[0, 1]]), "boxes": np.float32([[1, 0, 0, 0]])}
    asked = [Record({"x": np.zeros((1, 2), np.float32)}, {"boxes": np.float32([[0, 0, 0, 1]]), "y": answers["y"]})]
    run = lambda _, names: [answers[name] for name in names]  # noqa: E731
    assert replay.replay(run, signature, asked, None) == ReplayResult(1, 0)
    without = [Record(asked[0].inputs, {"boxes": asked[0].outputs["boxes"]})]
    assert replay.replay(run, signature, without, None) == ReplayResult(0, 0)


def test_texts_count_with_all_that_they_take_and_a_large_request_does_not_push_the_others_out() -> None:
    ring = Ring(4096)
    ring.note(inference([[1, 1]]), [np.float32([[1, 1]])])
    empty = np.array([""] * 500_000, object)
    ring.note(Inference(None, {"t": empty}, Outputs([Wanted(Y, False)])), [np.float32([[0, 0]])])
    assert len(ring.records()) == 1


def test_the_rule_is_that_of_the_golden_set() -> None:
    asked = [record([[0, 0]], [[1.0, 3.0]])]
    golden = Golden(items=1, agreement="Close", tolerance=0.1, min_percent="100")
    assert replay.replay(lambda *_: [np.float32([[1.0, 3.1]])], CLASSES, asked, golden) == ReplayResult(1, 0)
    assert replay.replay(lambda *_: [np.float32([[1.0, 4.0]])], CLASSES, asked, golden) == ReplayResult(0, 1)


def test_a_request_that_the_candidate_refuses_or_answers_in_another_shape_disagrees() -> None:
    def refuse(*_: Any) -> Any:
        raise RuntimeError("no such input")

    asked = [record([[0, 1], [2, 3]], [[0, 9], [9, 0]])]
    assert replay.replay(refuse, CLASSES, asked, None) == ReplayResult(0, 2)
    assert replay.replay(lambda *_: [np.float32([[0, 9]])], CLASSES, asked, None) == ReplayResult(0, 2)


def test_a_request_for_an_output_that_the_candidate_lacks_disagrees() -> None:
    def answer(_: Any, outputs: Any) -> Any:
        if outputs != ["values"]:
            raise RuntimeError("no such output")
        return [np.float32([[1]])]

    one = Signature({"x": Tensor("x", "FP32", (-1, 2))}, {"values": Tensor("values", "FP32", (-1, 1))})
    values = {"values": np.float32([[1]])}
    asked = [Record({"x": np.float32([[0, 1]])}, {**values, **more}) for more in ({}, {"gone": np.float32([[5]])})]
    assert replay.replay(answer, one, asked, None) == ReplayResult(1, 1)


def test_it_ends_when_its_time_is_over_with_the_latest_first() -> None:
    asked = [record([[number, 0]], [[0, 1]]) for number in range(5)]
    seen: list[float] = []

    def run(feeds: Any, _: Any) -> Any:
        seen.append(float(feeds["x"][0, 0]))
        return [np.float32([[0, 1]])]

    assert replay.replay(run, CLASSES, asked, None, max_seconds=-1) == ReplayResult(0, 0)
    assert replay.replay(run, CLASSES, asked, None) == ReplayResult(5, 0)
    assert seen == [4, 3, 2, 1, 0]


def remembering(directory: Path, **environment: str) -> Any:
    told = {serving.SHADOW_REPLAY_MAX_REQUESTS: "64", serving.SHADOW_REPLAY_TOKEN: TOKEN, **environment}
    return serving_process(directory, environment=told)


def ask(server: RunningServer, items: int) -> None:
    answer = server.infer(artifacts.infer_body({"x": artifacts.samples(items, seed=items)}))
    assert answer.status == 200


def replayed(server: RunningServer) -> tuple[float, float]:
    agree, disagree = (server.counted(contract.REPLAY_ITEMS, f'"{result}"') for result in contract.GOLDEN_RESULTS)
    return agree, disagree


def test_a_candidate_answers_the_requests_of_the_server_before_it(tmp_path: Path) -> None:
    with remembering(artifacts.write(tmp_path / "stable", artifacts.mlp())) as stable:
        for items in (1, 2, 3):
            ask(stable, items)
        follow = {serving.SHADOW_REPLAY_FROM: f"http://127.0.0.1:{stable.port}"}
        with remembering(artifacts.write(tmp_path / "same", artifacts.mlp()), **follow) as same:
            assert "agrees on 6 of 6 recent items" in str(same.log)
            assert replayed(same) == (6, 0)
        with remembering(artifacts.write(tmp_path / "other", artifacts.upside_down_mlp()), **follow) as other:
            assert replayed(other) == (0, 6)


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}])
def test_requests_are_shown_only_with_the_token(tmp_path: Path, headers: dict[str, str]) -> None:
    with remembering(artifacts.write_mlp(tmp_path)) as server:
        ask(server, 1)
        assert server.request("GET", "/v2/models/tiny/replay", headers=headers).status == 404
        right = {"Authorization": f"Bearer {TOKEN}"}
        (one,) = replay.decode(server.request("GET", "/v2/models/tiny/replay", headers=right).body)
        assert one.inputs["x"].tobytes() == artifacts.samples(1, seed=1).tobytes()


def test_a_server_without_a_token_remembers_nothing_for_others(mlp_server: RunningServer) -> None:
    assert mlp_server.request("GET", "/v2/models/tiny/replay", headers={"Authorization": "Bearer None"}).status == 404


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://nowhere.invalid:1"])
def test_a_server_without_a_predecessor_serves(tmp_path: Path, url: str) -> None:
    with remembering(artifacts.write_mlp(tmp_path), **{serving.SHADOW_REPLAY_FROM: url}) as server:
        ask(server, 1)
        assert contract.REPLAY_ITEMS + "{" not in server.get("/metrics").body.decode()


def test_a_reloaded_model_answers_the_requests_of_the_one_before(tmp_path: Path) -> None:
    artifacts.write(tmp_path, artifacts.mlp())
    with serving_process(tmp_path, "--shadow-replay-max-requests", "8", "--model-control", "explicit") as server:
        ask(server, 3)
        artifacts.write(tmp_path, artifacts.upside_down_mlp())
        assert server.request("POST", "/v2/repository/models/tiny/load").status == 200
        assert replayed(server) == (0, 3)
