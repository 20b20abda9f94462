"""``kubectl edgemodel``: a kubectl that answers with anything, and EdgeModels of odd shapes."""

import json
import os
from pathlib import Path
from typing import Any, Final

import pytest

from edge_cli import kubectl_plugin
from tests.support.bad_input import damaged, mutated, wrongly_encoded
from tests.support.bad_input_runs import Tries, share

DOCUMENTED: Final = (0, 1, 2, 3)
MODEL: Final[dict[str, Any]] = {
    "metadata": {"name": "m", "namespace": "vision", "generation": 2},
    "status": {
        "observedGeneration": 2,
        "stableRevision": "m-1",
        "candidateRevision": "m-2",
        "conditions": [
            {"type": "Ready", "status": "False", "reason": "RollingOut", "message": "wave 1 of 2"},
            {"type": "NodesPending", "status": "True", "reason": "Offline", "message": "camera-1"},
        ],
        "nodes": {"selected": 2, "stable": 1, "candidate": 1, "offline": 1},
        "rollout": {"wave": 0, "waves": 2, "waveName": "canary", "waveStartedAt": "2026-01-01T00:00:00Z"},
        "artifacts": [
            {"variant": "default", "sizeBytes": 1, "sourceSizeBytes": 2, "accuracy": "0.9", "sourceAccuracy": "0.9"}
        ],
        "preflight": {"classes": [{"name": "pi", "verdict": "Pass", "node": "camera-1", "message": "n = 20"}]},
        "checks": [{"name": "size", "verdict": "Pass", "message": "1 byte"}],
        "rejectedRevisions": [{"name": "m-0", "reason": "GoldenMismatch", "message": "90 %"}],
    },
}


@pytest.fixture
def answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file whose contents a kubectl on PATH prints."""
    program = tmp_path / "bin" / "kubectl"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\ncat "{tmp_path}/said" >&2\ncat "{tmp_path}/answer"\nexit $(cat "{tmp_path}/code")\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    (tmp_path / "code").write_text("0")
    (tmp_path / "said").write_text("")
    return tmp_path / "answer"


def status() -> int:
    return kubectl_plugin.main(["status", "m", "-n", "vision"])


def test_answers_of_kubectl(answer: Path) -> None:
    tries = Tries("kubectl edgemodel: answers of kubectl", DOCUMENTED)
    good = json.dumps(MODEL)
    for about, data in share([*damaged(good.encode(), 60, "kubectl"), *wrongly_encoded(good)]):
        answer.write_bytes(data)
        tries.call(about, status)
    (answer.parent / "code").write_text("1")
    for about, data in share(damaged(b"error: You must be logged in to the server", 20, "stderr")):
        (answer.parent / "said").write_bytes(data)
        tries.call(f"refusal {about}", status)
    tries.judge(70)


def test_models_of_odd_shapes(answer: Path) -> None:
    tries = Tries("kubectl edgemodel: shapes of models", DOCUMENTED)
    for about, value in share(mutated(MODEL, 200, "shapes")):
        answer.write_text(json.dumps(value))
        tries.call(about, status)
    tries.judge(200)


def test_a_kubectl_that_is_no_program(answer: Path) -> None:
    tries = Tries("kubectl edgemodel: programs", DOCUMENTED)
    program = answer.parent / "bin" / "kubectl"
    for data in (b"", b"\x7fELF" + bytes(100), b"#!/nowhere/sh\n", b"\x00\xff"):
        program.write_bytes(data)
        tries.call(repr(data[:9]), status)
    tries.judge(4)
