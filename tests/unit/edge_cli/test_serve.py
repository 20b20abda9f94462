"""The command ``edgemodel serve``: a model on one's own machine."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.inference_server import artifacts
from tests.unit.inference_server.processes import DEADLINE_SECONDS, REPOSITORY
from tests.unit.inference_server.test_repository import write_model

ENVIRONMENT = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{REPOSITORY / 'operator'}:{REPOSITORY}"}
SERVE = [sys.executable, "-c", "import sys; from edge_cli.main import main; sys.exit(main())", "serve"]


@contextmanager
def serve(*arguments: str | Path) -> Iterator["subprocess.Popen[str]"]:
    command = [*SERVE, *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def ended(*arguments: str | Path) -> tuple[int, str]:
    """Returns exit status and standard error."""
    command = [*SERVE, *map(str, arguments)]
    done = subprocess.run(
        command, env=ENVIRONMENT, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
    )
    return done.returncode, done.stderr


def test_a_file_is_served_and_the_printed_example_works(tmp_path: Path) -> None:
    with serve(write_model(tmp_path / "double.onnx", 2.0), "--port", "0") as process:
        assert process.stdout is not None
        head, takes, gives, example = (process.stdout.readline().strip() for _ in range(4))
        name, url = head.split()
        assert name == "double"
        assert url.startswith("http://127.0.0.1:")
        assert takes.split(maxsplit=3) == ["takes", "x", "FP32", "[-1, 2]"]
        assert gives.split(maxsplit=3) == ["gives", "y", "FP32", "[-1, 2]"]
        said = subprocess.run(
            ["bash", "-c", example.removeprefix("try")], capture_output=True, check=True, timeout=DEADLINE_SECONDS
        )
        (output,) = json.loads(said.stdout)["outputs"]
        assert output["data"] == [0.0, 0.0]
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_SECONDS) == 0


@pytest.mark.slow
def test_several_models_and_an_artifact_are_served_side_by_side(tmp_path: Path) -> None:
    (tmp_path / "artifact").mkdir()
    artifact = artifacts.write_mlp(tmp_path / "artifact")
    with serve(write_model(tmp_path / "one.onnx"), artifact, "--port", "0") as process:
        assert process.stdout is not None
        told = [process.stdout.readline().split() for _ in range(8)]
        assert [line[0] for line in told if len(line) == 2] == ["one", artifacts.MODEL]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ((), 2, "name a model: an ONNX file, or the folder of an artifact"),
        (("missing.onnx",), 3, "missing.onnx"),
        (("{noise}",), 3, "edgemodel: ModelLoadFailed: "),
        (("{noise}", "--concurrency", "0"), 2, "not an integer from 1"),
        (("{noise}", "{noise}", "--model", "m"), 2, "name one model, and there are several"),
    ],
)
@pytest.mark.slow
def test_a_model_that_cannot_be_served_is_reported(
    tmp_path: Path, arguments: tuple[str, ...], status: int, message: str
) -> None:
    noise = tmp_path / "noise.onnx"
    noise.write_bytes(b"no model")
    found, told = ended(*(argument.format(noise=noise) for argument in arguments), "--port", "0")
    assert found == status, told
    assert message in told
    assert "Traceback" not in told


@pytest.mark.slow
def test_a_port_in_use_is_reported(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.onnx")
    with serve(model, "--port", "0") as process:
        assert process.stdout is not None
        port = process.stdout.readline().split()[1].split(":")[2].split("/")[0]
        status, told = ended(model, "--port", port)
        grpc_status, grpc_told = ended(model, "--port", "0", "--grpc-port", port)
    assert (status, grpc_status) == (1, 1)
    assert f"port {port} cannot be taken" in told
    assert "choose another with --port" in told
    assert f"port {port} cannot be taken for gRPC" in grpc_told
    assert "choose another with --grpc-port" in grpc_told
    assert "GRPC_VERBOSITY" not in grpc_told


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=20)


@settings(max_examples=1, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(NAMES, min_size=12, max_size=12, unique=True))
@pytest.mark.slow
def test_the_printed_example_survives_being_pasted_for_every_name(
    tmp_path_factory: pytest.TempPathFactory, generated: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("names")
    names = {
        *generated,
        "a b",
        "größe",
        "a+b",
        "50%",
        "%41",
        "a&b=c",
        "it's",
        "$HOME",
        "`id`",
        "-d",
        "a;b",
        "x\ny",
        "[1]",
    }
    files = [write_model(folder / f"{name}.onnx", 2.0) for name in sorted(names - {".", ".."})]
    with serve("--port", "0", "--", *files) as process:
        assert process.stdout is not None
        tries = []
        while len(tries) < len(files):
            line = process.stdout.readline()
            assert line, process.stderr and process.stderr.read()
            if line.startswith("  try "):
                tries.append(line.removeprefix("  try "))
        pasted = subprocess.run(
            ["sh", "-c", "".join(f"{line.rstrip()}; echo\n" for line in tries)],
            capture_output=True,
            check=True,
            timeout=DEADLINE_SECONDS,
        )
    answers = [json.loads(line) for line in pasted.stdout.splitlines()]
    assert {answer["model_name"] for answer in answers} == {file.stem for file in files}
    assert all(answer["outputs"][0]["data"] == [0.0, 0.0] for answer in answers)


@pytest.mark.parametrize("name", [".", "..", b"caf\xe9".decode(errors="surrogateescape")])
@pytest.mark.slow
def test_a_name_that_no_url_can_have_is_refused(tmp_path: Path, name: str) -> None:
    status, said = ended(write_model(tmp_path / f"{name}.onnx", 2.0))
    assert status == 3
    assert "rename the file, or give --model" in said


def test_a_folder_that_holds_no_artifact_says_what_to_give(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    status, said = ended(tmp_path)
    assert status == 3
    assert (
        "there is neither manifest.json nor an ONNX file in it: give the folder that edgemodel compress wrote" in said
    )
