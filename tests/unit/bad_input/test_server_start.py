"""The start of the inference server and the preflight: damaged artifacts, odd settings; one reason comes out."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from edge_runtime.backend import LoadFailure
from edgemodel import names, preflight_report, serving
from inference_server import preflight, settings
from inference_server.listeners import LISTENERS
from inference_server.server_process import repository
from tests.support.bad_input import damaged, mutated, odd_places, wrongly_encoded
from tests.support.bad_input_runs import Tries, share
from tests.unit.inference_server import artifacts

UNFIT: Final = (0, 3)


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return artifacts.write_mlp(tmp_path / "artifact")


def spoilt(folder: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yields what may be wrong with an artifact: (its name, what makes it so)."""

    def write(file: Path, data: bytes) -> Callable[[], None]:
        return lambda: file.write_bytes(data) and None  # type: ignore[func-returns-value]

    manifest, model, golden = (folder / name for name in (names.MANIFEST_FILE, "model.onnx", names.GOLDEN_FILE))
    text = manifest.read_text()
    for about, value in mutated(json.loads(text), 120, "artifact manifests"):
        yield f"manifest {about}", write(manifest, json.dumps(value).encode())
    for about, data in [*damaged(text.encode(), 40, "manifest bytes"), *wrongly_encoded(text)]:
        yield f"manifest {about}", write(manifest, data)
    for about, data in damaged(model.read_bytes(), 30, "model bytes"):
        yield f"model {about}", write(model, data)
    for about, data in damaged(golden.read_bytes(), 60, "golden bytes"):
        yield f"golden {about}", write(golden, data)


def started(path: Path) -> int:
    """Does what the server does before it is ready, and prints what would be its termination message."""
    options = settings.parse(["--model-directory", str(path)], {}, [kind.add_flags for kind in LISTENERS])
    made = repository(options)
    if not isinstance(made, LoadFailure):
        (name,) = made.entries
        outcome = made.load(name)
        if not isinstance(outcome, LoadFailure):
            return 0
        made = outcome
    print(f"{made.reason}: {made.message}")
    return 3


@pytest.mark.slow
def test_artifacts_at_the_start_of_the_server(artifact: Path) -> None:
    tries = Tries("inference server: artifacts", UNFIT)
    good = {file: file.read_bytes() for file in artifact.iterdir()}
    for about, spoil in share(spoilt(artifact)):
        spoil()
        tries.call(about, lambda: started(artifact))
        for file, data in good.items():
            file.write_bytes(data)
    tries.judge(250)


@pytest.mark.slow
def test_artifacts_in_odd_places(artifact: Path, tmp_path: Path) -> None:
    tries = Tries("inference server: places of artifacts", UNFIT)
    (tmp_path / "odd").mkdir()
    for about, path in share(odd_places(tmp_path / "odd")):
        tries.call(about, lambda path=path: started(path))  # type: ignore[misc]
    for name in (names.MANIFEST_FILE, "model.onnx", names.GOLDEN_FILE):
        good = (artifact / name).read_bytes()
        (tmp_path / name).mkdir()
        for about, path in share(odd_places(tmp_path / name)):
            (artifact / name).unlink()
            (artifact / name).symlink_to(path)
            tries.call(f"{name} is {about}", lambda: started(artifact))
        (artifact / name).unlink()
        (artifact / name).write_bytes(good)
    tries.judge(40)


def test_preflights(artifact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = Tries("preflight: artifacts", UNFIT)
    monkeypatch.setattr(preflight, "time_runs", lambda *_: preflight_report.LatencyPercentiles("1", "1", 20))
    good = {file: file.read_bytes() for file in artifact.iterdir()}

    def measured() -> int:
        report = preflight.measure(settings.parse(["--model-directory", str(artifact)], {}))
        if isinstance(report, preflight_report.Incompatible):
            print(f"{report.reason}: {report.message}")
            return 3
        return 0

    for about, spoil in share(spoilt(artifact)):
        spoil()
        tries.call(about, measured)
        for file, data in good.items():
            file.write_bytes(data)
    tries.judge(250)


def test_settings(artifact: Path) -> None:
    tries = Tries("inference server: settings", (0, 2))
    flags = [kind.add_flags for kind in LISTENERS]
    words = (
        "",
        " ",
        "x",
        "-1",
        "0",
        "1e9",
        "nan",
        "99999999999999999999",
        "0x10",
        "\x00",
        "ä",
        "true",
        "None",
        "8080 ",
    )
    variables = (serving.PORT, serving.LATENCY_OBJECTIVE_MILLISECONDS, *serving.TUNING.values())
    options = (
        *("--port", "--grpc-port", "--concurrency", "--intra-op-threads", "--queue-length", "--max-batch-items"),
        *("--memory-arena", "--prepacking", "--max-body-bytes", "--timeout-seconds", "--drain-seconds", "--nonsense"),
        *("--model-control", "--latency-objective-milliseconds", "--shadow-replay-max-requests"),
    )

    def parsed(arguments: list[str], environment: dict[str, str]) -> int:
        settings.parse(["--model-directory", str(artifact), *arguments], environment, flags)
        return 0

    for word in share(words):
        for option in options:
            tries.call(f"{option}={word!r}", lambda o=option, w=word: parsed([f"{o}={w}"], {}))  # type: ignore[misc]
        for name in variables:
            tries.call(f"{name}={word!r}", lambda n=name, w=word: parsed([], {n: w}))  # type: ignore[misc]
    tries.judge(250)
