"""The end of a server whose model must not serve, and its behaviour until it is ready."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from edge_runtime.backend import LoadFailure
from edgemodel import reasons, serving
from edgemodel.artifact import Golden
from inference_server import server_process, settings
from inference_server.models.repository import ModelRepository
from tests.unit.inference_server import artifacts
from tests.unit.inference_server.processes import IDENTITY, RunningServer, serving_process

pytestmark = pytest.mark.slow


def ending(directory: Path, tmp_path: Path) -> tuple[str, str]:
    """Returns the (reason, message) of the termination log, after the server ended with EXIT_MODEL."""
    log = tmp_path / "termination-log"
    log.touch()
    server = RunningServer(directory, "--termination-log", str(log))
    try:
        assert server.wait_end() == serving.EXIT_MODEL
    finally:
        server.kill()
    parsed = serving.parse_ending(log.read_text())
    assert parsed is not None
    return parsed


def test_a_model_with_other_answers_ends_with_observed_and_limit(tmp_path: Path) -> None:
    directory = artifacts.write_mlp(tmp_path / "model", items=64, wrong=56)
    assert ending(directory, tmp_path) == (
        reasons.GOLDEN_MISMATCH,
        "golden set agrees on 12.5 %, limit 99.5 % (n = 64)",
    )


@pytest.mark.parametrize("spoilt", ["golden set", "model"])
def test_a_server_that_ends_because_of_its_model_is_never_ready(tmp_path: Path, spoilt: str) -> None:
    """A successful readiness probe in that moment would end the earlier pod, which serves."""
    directory = artifacts.write_mlp(tmp_path, items=64, wrong=56 if spoilt == "golden set" else 0)
    if spoilt == "model":
        (directory / "model.onnx").write_bytes(b"no ONNX")
    repository = server_process.repository(settings.parse(["--model-directory", str(directory)], IDENTITY))
    assert isinstance(repository, ModelRepository)
    (name,) = repository.entries
    assert isinstance(repository.load(name), LoadFailure)
    assert not repository.ready


def test_a_model_that_was_changed_is_not_even_loaded(tmp_path: Path) -> None:
    wanted = "sha256:" + "a" * 64
    directory = artifacts.write(tmp_path / "model", b"changed", artifact_digest=wanted)
    reason, message = ending(directory, tmp_path)
    assert reason == reasons.DIGEST_MISMATCH
    assert f"expected {wanted}, got sha256:" in message


def test_a_model_that_cannot_be_loaded_is_reported_with_the_reason(tmp_path: Path) -> None:
    reason, message = ending(artifacts.write(tmp_path / "model", b"no ONNX"), tmp_path)
    assert reason == reasons.MODEL_LOAD_FAILED
    assert "rotobuf parsing failed" in message


def test_a_missing_model_is_reported(tmp_path: Path) -> None:
    directory = artifacts.write_mlp(tmp_path / "model")
    (directory / "model.onnx").unlink()
    reason, message = ending(directory, tmp_path)
    assert reason == reasons.MODEL_LOAD_FAILED
    assert message.endswith("model.onnx: there is no such file or folder")
    assert message.count("model.onnx") == 1


def test_a_path_that_does_not_exist_is_named_as_it_was_given(tmp_path: Path) -> None:
    reason, message = ending(tmp_path / "nothing.onnx", tmp_path)
    assert reason == reasons.MODEL_LOAD_FAILED
    assert message == f"{tmp_path / 'nothing.onnx'}: there is no such file or folder"


@pytest.mark.parametrize("manifest", [None, b"{}", b"[]", b"not JSON"])
def test_an_invalid_manifest_is_reported(tmp_path: Path, manifest: bytes | None) -> None:
    directory = artifacts.write_mlp(tmp_path / "model")
    (directory / "manifest.json").unlink()
    if manifest is not None:
        (directory / "manifest.json").write_bytes(manifest)
    reason, message = ending(directory, tmp_path)
    assert reason == reasons.MODEL_LOAD_FAILED
    assert "manifest.json" in message


def test_a_golden_set_that_runs_pickles_is_refused(tmp_path: Path) -> None:
    golden = Golden(1, "Argmax", 0.0, "99")
    arrays = {"input.x": np.array([print], object), "output.scores": np.zeros((1, 4), np.float32)}
    directory = artifacts.write(tmp_path / "model", artifacts.mlp(), golden=golden, arrays=arrays)
    reason, message = ending(directory, tmp_path)
    assert reason == reasons.MODEL_LOAD_FAILED
    assert "Object arrays cannot be loaded" in message


def test_a_golden_set_that_the_model_cannot_run_is_reported(tmp_path: Path) -> None:
    golden = Golden(2, "Argmax", 0.0, "99")
    arrays = {"input.x": np.zeros((2, 15), np.float32), "output.scores": np.zeros((2, 4), np.float32)}
    directory = artifacts.write(tmp_path / "model", artifacts.mlp(), golden=golden, arrays=arrays)
    reason, message = ending(directory, tmp_path)
    assert reason == reasons.MODEL_LOAD_FAILED
    assert "the model fails on its golden set" in message


def test_without_a_termination_log_none_is_made(tmp_path: Path) -> None:
    directory = artifacts.write(tmp_path / "model", b"no ONNX")
    server = RunningServer(directory, "--termination-log", str(tmp_path / "absent"))
    try:
        assert server.wait_for_event("the model cannot be served")["reason"] == reasons.MODEL_LOAD_FAILED
        assert server.wait_end() == serving.EXIT_MODEL
    finally:
        server.kill()
    assert not (tmp_path / "absent").exists()


def test_a_port_in_use_ends_with_1(tmp_path: Path, mlp_server: RunningServer) -> None:
    server = RunningServer(artifacts.write_mlp(tmp_path), "--port", str(mlp_server.port))
    try:
        assert "another program has that port" in server.wait_for_event("cannot listen")["error"]
        assert server.wait_end() == 1
    finally:
        server.kill()


@pytest.fixture
def loading_server(tmp_path: Path) -> "tuple[RunningServer, Path]":
    """Returns a server that loads until the model, a sparse file whose digest takes minutes, is written anew."""
    directory = artifacts.write_mlp(tmp_path)
    model = directory / "model.onnx"
    os.truncate(model, 64 << 30)
    return RunningServer(directory).wait_listening(), model


def test_while_it_loads_the_server_is_live_and_not_ready(loading_server: tuple[RunningServer, Path]) -> None:
    server, model = loading_server
    try:
        assert server.get("/v2/health/live").status == 200
        not_ready = server.get("/v2/health/ready")
        assert not_ready.status == 503
        assert not_ready.error == "the model is being loaded and tested"
        for answer in (server.get("/v2/models/tiny"), server.get("/v2/models/tiny/ready"), server.infer(b"{}")):
            assert answer.status == 400
            assert answer.error == "model 'tiny' is not ready: the model is being loaded and tested"
        assert server.get("/v2/models/other").status == 404
        assert b"edgemodel_inference_requests_total{" in server.get("/metrics").body
        model.write_bytes(b"other bytes")
        assert server.wait_end() == serving.EXIT_MODEL
    finally:
        server.kill()


def test_a_signal_while_it_loads_ends_it_with_0(loading_server: tuple[RunningServer, Path]) -> None:
    server, _ = loading_server
    try:
        server.terminate()
        assert server.wait_end() == 0
    finally:
        server.kill()


def test_it_needs_no_place_to_write_and_writes_nowhere(tmp_path: Path) -> None:
    """The library onnxruntime would keep a database of telemetry in the home directory."""
    directory = artifacts.write_mlp(tmp_path / "model")
    (tmp_path / "home").mkdir()
    with serving_process(directory, environment={"HOME": str(tmp_path / "home")}):
        assert list((tmp_path / "home").iterdir()) == []
    nowhere = {"TMPDIR": "/nowhere", "HOME": "/nowhere"}
    server = RunningServer(directory, "--termination-log", "/dev/null", environment=nowhere)
    try:
        server.wait_ready()
        assert server.get("/v2/health/ready").status == 200
        server.terminate()
        assert server.wait_end() == 0
    finally:
        server.kill()


def test_log_lines_are_json_and_none_is_for_a_request(tmp_path: Path) -> None:
    server = RunningServer(artifacts.write_mlp(tmp_path)).wait_ready()
    try:
        server.infer(b"{")
        server.get("/nothing")
        with server.connect() as connection:
            connection.sendall(b"no HTTP\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 400")
        server.terminate()
        server.wait_for_event("ended")
    finally:
        server.kill()
    assert [line["message"] for line in server.log] == ["listening", "ready", "ended"]
    ready = server.log[1]
    assert ready["golden"] == "golden set agrees on 100 %, limit 99.5 % (n = 16)"
    assert ready["digest"] == json.loads((tmp_path / "manifest.json").read_text())["artifactDigest"]
