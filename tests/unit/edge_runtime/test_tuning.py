"""The gate measures with the options that nodes serve with."""

from dataclasses import replace
from pathlib import Path

import pytest

from edge_compressor.models import runtime
from edge_compressor.models.onnx_model import check_model
from edge_runtime import backends
from edge_runtime.backend import Device, LoadFailure
from edge_runtime.cores import usable_cores
from edge_runtime.tuning import Arena, Tuning, parse_tuning
from edgemodel import serving
from edgemodel.artifact import ONNX_RUNTIME
from edgemodel.compression_request import SESSION_TUNING, parse_request
from inference_server import settings
from tests.unit.edge_compressor import models


@pytest.mark.parametrize(
    "given",
    [{}, {"intraOpThreads": 3}, {"memoryArena": "Keep"}, {"intraOpThreads": 2, "memoryArena": "Off", "concurrency": 4}],
)
def test_the_same_tuning_gives_the_same_options_at_both(given: dict[str, object]) -> None:
    environment = {serving.TUNING[key]: str(value) for key, value in given.items()}
    nodes = settings.parse([], environment).tuning
    request = parse_request({"source": {"uri": "model.onnx"}, "serving": {"tuning": given}})
    assert replace(nodes, concurrency=1) == parse_tuning(request.tuning)
    assert nodes.concurrency == given.get("concurrency", usable_cores())


def test_what_no_session_depends_on_is_no_part_of_the_request() -> None:
    request = parse_request({"source": {"uri": "model.onnx"}, "serving": {"tuning": {"queueLength": 9}}})
    assert request.tuning == {}
    written_out = parse_request({"source": {"uri": "model.onnx"}, "serving": {"tuning": dict(SESSION_TUNING)}})
    assert written_out.tuning == {}
    assert parse_tuning(SESSION_TUNING) == Tuning()


@pytest.mark.parametrize("steps", [[], [{"name": "a", "type": "Auto"}]])
def test_tuning_determines_an_artifact_only_where_speed_was_compared(steps: list[dict[str, str]]) -> None:
    spec = {"source": {"uri": "model.onnx"}, "compression": {"steps": steps}}
    tuned = {**spec, "serving": {"tuning": {"intraOpThreads": 2}}}
    assert (parse_request(spec).fingerprint == parse_request(tuned).fingerprint) == (not steps)


def test_a_model_is_loaded_with_its_tuning_and_evaluated_with_all_cores(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[Tuning] = []
    backend = backends.find(ONNX_RUNTIME)
    load = backend.load
    monkeypatch.setattr(
        type(backend), "load", lambda self, path, tuning, device: load(path, seen.append(tuning) or tuning, device)
    )
    tuning = Tuning(intra_op_threads=2, arena=Arena.OFF)
    model = replace(check_model(models.perceptron(tmp_path / "model.onnx")), tuning=tuning)
    seen.clear()
    runtime.load(model)
    runtime.load(model, threads=7)
    assert seen == [tuning, replace(tuning, intra_op_threads=7)]


def test_onnx_runtime_is_for_the_processor_alone(tmp_path: Path) -> None:
    path = models.perceptron(tmp_path / "model.onnx")
    with pytest.raises(LoadFailure, match="not on NPU"):
        backends.find(ONNX_RUNTIME).load(path, Tuning(), Device("NPU"))
    loaded = backends.find(ONNX_RUNTIME).load(path, Tuning(), Device())
    assert loaded.placed == {"CPUExecutionProvider": None}
    loaded.close()
