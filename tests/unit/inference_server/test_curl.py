"""The client curl, which people try first."""

import gzip
import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.inference_server import artifacts
from tests.unit.inference_server.processes import DEADLINE_SECONDS, RunningServer


def curl(server: RunningServer, path: str, *arguments: str | Path) -> bytes:
    url = f"http://127.0.0.1:{server.port}{path}"
    command = ["curl", "--silent", "--show-error", "--fail-with-body", *map(str, arguments), url]
    done = subprocess.run(command, capture_output=True, timeout=DEADLINE_SECONDS, check=False)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout


@pytest.fixture
def inputs() -> Any:
    return artifacts.samples(2)


@pytest.fixture
def scores(inputs: Any) -> Any:
    return artifacts.plain_run(artifacts.mlp(), {"x": inputs})[0]


def test_json_typed_on_the_command_line(mlp_server: RunningServer, inputs: Any, scores: Any) -> None:
    body = artifacts.infer_body({"x": inputs}).decode()
    reply = json.loads(curl(mlp_server, "/v2/models/tiny/infer", "--data", body))  # sent as a form, as curl does
    assert np.float32(reply["outputs"][0]["data"]).tobytes() == scores.tobytes()


def test_a_file_in_pieces_and_compressed(mlp_server: RunningServer, inputs: Any, scores: Any, tmp_path: Path) -> None:
    file = tmp_path / "request.json.gz"
    file.write_bytes(gzip.compress(artifacts.infer_body({"x": inputs})))
    headers = ("--header", "Content-Encoding: gzip", "--header", "Transfer-Encoding: chunked")
    reply = json.loads(curl(mlp_server, "/v2/models/tiny/infer", *headers, "--data-binary", f"@{file}"))
    assert np.float32(reply["outputs"][0]["data"]).tobytes() == scores.tobytes()


def test_raw_floats_there_and_back(mlp_server: RunningServer, inputs: Any, scores: Any, tmp_path: Path) -> None:
    file = tmp_path / "x.raw"
    file.write_bytes(inputs.tobytes())
    header = ("--header", "Inference-Header-Content-Length: 0")
    reply = curl(mlp_server, "/v2/models/tiny/infer", *header, "--data-binary", f"@{file}")
    assert reply.endswith(scores.tobytes())


@pytest.mark.parametrize("how", [["--http1.0"], ["--expect100-timeout", "5", "--header", "Expect: 100-continue"]])
def test_old_and_careful_clients(mlp_server: RunningServer, inputs: Any, scores: Any, how: list[str]) -> None:
    body = artifacts.infer_body({"x": inputs}).decode()
    reply = json.loads(curl(mlp_server, "/v2/models/tiny/infer", *how, "--data", body))
    assert np.float32(reply["outputs"][0]["data"]).tobytes() == scores.tobytes()


def test_a_compressed_reply(mlp_server: RunningServer, tmp_path: Path) -> None:
    file = tmp_path / "request.json"
    file.write_bytes(artifacts.infer_body({"x": artifacts.samples(500)}))
    reply = json.loads(curl(mlp_server, "/v2/models/tiny/infer", "--compressed", "--data-binary", f"@{file}"))
    assert reply["outputs"][0]["shape"] == [500, artifacts.CLASSES]


def test_health_as_probes_ask_for_it(mlp_server: RunningServer) -> None:
    assert json.loads(curl(mlp_server, "/v2/health/ready")) == {"ready": True}
    assert b"200 OK" in curl(mlp_server, "/v2/health/live", "--head")
