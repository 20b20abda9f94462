"""Several models in one process: index, load, unload, configuration, statistics; and a swap that no request notices."""

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
import tritonclient.http as triton

from edgemodel import metrics as contract
from tests.unit.inference_server.processes import RunningServer, serving_process

pytestmark = pytest.mark.slow

NO_NAMES = {"EDGEMODEL_MODEL": "", "EDGEMODEL_REVISION": "", "EDGEMODEL_VARIANT": ""}


def write_model(path: Path, factor: float = 1.0) -> Path:
    """Writes ``y = factor * x`` as an ONNX file."""
    model = onnx.parser.parse_model(f"""
        <ir_version: 10, opset_import: ["" : 17]>
        g (float[N, 2] x) => (float[N, 2] y) {{
            f = Constant <value_float: float = {factor}> ()
            y = Mul (x, f)
        }}""")
    onnx.save(model, path)
    return path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    paths = [str(write_model(tmp_path / f"{name}.onnx", factor)) for name, factor in (("one", 1.0), ("two", 2.0))]
    with serving_process(Path(paths[0]), *paths, "--model-control", "explicit", environment=NO_NAMES) as server:
        server.wait_for_event("ready")  # the second
        yield server


def infer(server: RunningServer, model: str) -> Any:
    request = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}]}
    return server.infer(request, model=model)


def index(server: RunningServer, **request: Any) -> dict[str, str]:
    answer = server.request("POST", "/v2/repository/index", request or None)
    assert answer.status == 200
    return {item["name"]: item["state"] for item in answer.json()}


def test_each_model_answers_under_its_name(server: RunningServer) -> None:
    for model, data in (("one", [1.0, 2.0]), ("two", [2.0, 4.0])):
        answer = infer(server, model).json()
        assert (answer["model_name"], answer["outputs"][0]["data"]) == (model, data)
    assert infer(server, "three").status == 404
    assert "this server has 'one', 'two'" in infer(server, "three").error
    assert index(server) == {"one": "READY", "two": "READY"}


def test_an_unloaded_model_is_reported_and_can_be_loaded_again(server: RunningServer) -> None:
    assert server.request("POST", "/v2/repository/models/two/unload").status == 200
    assert index(server) == {"one": "READY", "two": "UNAVAILABLE"}
    assert index(server, ready=True) == {"one": "READY"}
    assert infer(server, "two").status == 400
    assert "was unloaded" in infer(server, "two").error
    assert server.get("/v2/models/two/ready").status == 400
    assert infer(server, "one").status == 200
    assert server.get("/v2/health/ready").status == 200
    assert server.request("POST", "/v2/repository/models/two/load").status == 200
    assert infer(server, "two").status == 200


def test_a_file_that_changed_is_another_version_after_it_is_loaded(server: RunningServer, tmp_path: Path) -> None:
    before = infer(server, "two").json()["model_version"]
    write_model(tmp_path / "two.onnx", 3.0)
    assert infer(server, "two").json()["outputs"][0]["data"] == [2.0, 4.0]
    assert server.request("POST", "/v2/repository/models/two/load").status == 200
    answer = infer(server, "two").json()
    assert answer["outputs"][0]["data"] == [3.0, 6.0]
    assert answer["model_version"] != before
    assert server.get(f"/v2/models/two/versions/{before}").status == 404
    assert server.get(f"/v2/models/two/versions/{answer['model_version']}").status == 200


def test_a_model_that_cannot_be_loaded_leaves_the_one_that_serves(server: RunningServer, tmp_path: Path) -> None:
    (tmp_path / "two.onnx").write_bytes(b"no model")
    answer = server.request("POST", "/v2/repository/models/two/load")
    assert answer.status == 400
    assert "model 'two' was not loaded: ModelLoadFailed" in answer.error
    assert infer(server, "two").json()["outputs"][0]["data"] == [2.0, 4.0]
    assert server.request("POST", "/v2/repository/models/two/unload").status == 200
    assert server.request("POST", "/v2/repository/models/two/load").status == 400
    assert "ModelLoadFailed" not in infer(server, "two").error
    assert "two.onnx" in infer(server, "two").error


def test_no_request_fails_while_its_model_is_swapped(server: RunningServer, tmp_path: Path) -> None:
    stop = threading.Event()
    seen: set[float] = set()
    failed: list[Any] = []

    def ask() -> None:
        while not stop.is_set():
            answer = infer(server, "two")
            if answer.status == 200:
                seen.add(answer.json()["outputs"][0]["data"][0])
            else:
                failed.append(answer)

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    for factor in range(3, 13):
        write_model(tmp_path / "new.onnx", float(factor)).replace(tmp_path / "two.onnx")
        assert server.request("POST", "/v2/repository/models/two/load").status == 200
    stop.set()
    for client in clients:
        client.join()
    assert not failed
    assert len(seen) > 3


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("index", b"{", 400, "an index request is"),
        ("index", b'{"ready": 1}', 400, "an index request is"),
        ("models/two/load", b"[]", 400, "a load or unload request is"),
        ("models/two/load", b'{"parameters": {"config": "{}"}}', 400, "parameters config are not supported"),
        ("models/nine/load", b"", 404, "model 'nine' is unknown"),
        ("models/nine/unload", b"", 404, "model 'nine' is unknown"),
        ("index", b" " * 70_000, 413, "limit of 65536"),
    ],
)
def test_a_wrong_request_to_the_repository_is_reported(
    server: RunningServer, path: str, body: bytes, status: int, message: str
) -> None:
    answer = server.request("POST", f"/v2/repository/{path}", body)
    assert answer.status == status
    assert message in answer.error


def test_models_are_not_loaded_or_unloaded_by_request_unless_it_was_allowed(mlp_server: RunningServer) -> None:
    for word in ("load", "unload"):
        answer = mlp_server.request("POST", f"/v2/repository/models/tiny/{word}")
        assert answer.status == 400
        assert "--model-control explicit" in answer.error
    assert index(mlp_server) == {"tiny": "READY"}


def test_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    first = write_model(tmp_path / "m.onnx")
    (tmp_path / "other").mkdir()
    second = shutil.copy(first, tmp_path / "other")
    server = RunningServer(first, str(first), str(second), environment=NO_NAMES)
    assert server.wait_end() == 3
    assert "has the same name 'm': rename one" in server.wait_for_event("the model cannot be served")["error"]


def test_the_configuration_is_returned(server: RunningServer) -> None:
    assert server.get("/v2/models/one/config").json() == {
        "name": "one",
        "platform": "onnxruntime_onnx",
        "backend": "onnxruntime",
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": 0,
        "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [-1, 2]}],
        "output": [{"name": "y", "data_type": "TYPE_FP32", "dims": [-1, 2]}],
    }


def test_statistics_count_the_requests(server: RunningServer) -> None:
    for _ in range(3):
        infer(server, "one")
    server.infer(b"no JSON", model="one")
    (one,) = server.get("/v2/models/one/stats").json()["model_stats"]
    assert (one["name"], one["inference_count"], one["execution_count"]) == ("one", 3, 3)
    counts = {name: entry["count"] for name, entry in one["inference_stats"].items()}
    assert counts == {
        "success": 3, "fail": 1, "queue": 4, "compute_input": 3, "compute_infer": 3, "compute_output": 3,
        "cache_hit": 0, "cache_miss": 0,
    }  # fmt: skip
    spent = sum(one["inference_stats"][name]["ns"] for name in ("compute_input", "compute_infer", "compute_output"))
    assert 0 < spent < one["inference_stats"]["success"]["ns"]
    assert {item["name"] for item in server.get("/v2/models/stats").json()["model_stats"]} == {"one", "two"}


def test_the_series_of_each_model_have_its_name(server: RunningServer) -> None:
    infer(server, "two")
    text = server.get("/metrics").body.decode()
    for model, count in (("one", 0), ("two", 1)):
        lines = [
            line
            for line in text.splitlines()
            if line.startswith(contract.REQUESTS_TOTAL) and f'model="{model}"' in line and 'outcome="ok"' in line
        ]
        assert [float(line.rsplit(" ", 1)[1]) for line in lines] == [count]


def test_the_example_of_a_model_is_a_request_that_it_answers(server: RunningServer) -> None:
    example = server.get("/v2/models/two/example").json()
    assert example == {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [0.0, 0.0]}]}
    assert server.infer(example, model="two").status == 200


def test_a_tensor_that_json_cannot_say_has_no_example(types_server: RunningServer) -> None:
    answer = types_server.get("/v2/models/tiny/example")
    assert answer.status == 400
    assert "FP16 has no JSON form" in answer.error


def test_triton_clients_find_their_way(server: RunningServer) -> None:
    with triton.InferenceServerClient(f"127.0.0.1:{server.port}") as client:
        assert {item["name"] for item in client.get_model_repository_index()} == {"one", "two"}
        client.unload_model("one")
        assert not client.is_model_ready("one")
        client.load_model("one")
        assert client.is_model_ready("one")
        assert client.get_model_config("one")["max_batch_size"] == 0
        assert client.get_inference_statistics("one")["model_stats"][0]["name"] == "one"
        assert len(client.get_inference_statistics()["model_stats"]) == 2
        assert json.dumps(client.get_model_metadata("two"))
