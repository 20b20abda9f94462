"""The start of the inference server and the preflight: damaged artifacts, odd settings; one reason comes out."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from edge_runtime.backend import LoadFailure
from edgemodel import names, preflight_report, serving
from inference_server import memory, preflight, settings
from inference_server.listeners import LISTENERS
from inference_server.server_process import repository
from tests.support.bad_input import damaged, mutated, odd_places, wrongly_encoded
from tests.support.bad_input_runs import Tries, share
from tests.unit.inference_server import artifacts

UNFIT: Final = (0, 3)


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return artifacts.write_mlp(tmp_path / "artifact")


@pytest.fixture(autouse=True)
def _leave_the_heap_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps the server from searching its whole heap for garbage twice a load: here it is that of all tests before."""
    monkeypatch.setattr(memory, "settle", lambda: None)


def _manifests(good: bytes) -> Iterator[tuple[str, bytes]]:
    for about, value in mutated(json.loads(good), 120, "artifact manifests"):
        yield about, json.dumps(value).encode()


def _manifest_bytes(good: bytes) -> Iterator[tuple[str, bytes]]:
    yield from damaged(good, 40, "manifest bytes")
    yield from wrongly_encoded(good.decode())


def _model_bytes(good: bytes) -> Iterator[tuple[str, bytes]]:
    yield from damaged(good, 30, "model bytes")


def _golden_bytes(good: bytes) -> Iterator[tuple[str, bytes]]:
    yield from damaged(good, 60, "golden bytes")


SPOILT: Final[Mapping[str, tuple[str, Callable[[bytes], Iterator[tuple[str, bytes]]]]]] = {
    "manifests": (names.MANIFEST_FILE, _manifests),
    "bytes of manifests": (names.MANIFEST_FILE, _manifest_bytes),
    "bytes of models": ("model.onnx", _model_bytes),
    "bytes of golden sets": (names.GOLDEN_FILE, _golden_bytes),
}
"""The parts of an artifact that may be wrong: (its file, what makes other bytes of its bytes)."""
of_each_part = pytest.mark.parametrize("part", SPOILT)


def try_spoilt(tries: Tries, folder: Path, part: str, main: Callable[[], int]) -> None:
    """Calls ``main`` for each wrong version of a part of the artifact in ``folder``, which is whole again at the
    end."""
    name, versions = SPOILT[part]
    file = folder / name
    good = file.read_bytes()
    for about, data in share(versions(good)):
        file.write_bytes(data)
        tries.call(f"{part}: {about}", main)
    file.write_bytes(good)
    tries.judge(35)


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


@of_each_part
def test_artifacts_at_the_start_of_the_server(artifact: Path, part: str) -> None:
    try_spoilt(Tries("inference server: artifacts", UNFIT), artifact, part, lambda: started(artifact))


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


@of_each_part
def test_preflights(artifact: Path, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "time_runs", lambda *_: preflight_report.LatencyPercentiles("1", "1", 20))

    def measured() -> int:
        report = preflight.measure(settings.parse(["--model-directory", str(artifact)], {}))
        if isinstance(report, preflight_report.Incompatible):
            print(f"{report.reason}: {report.message}")
            return 3
        return 0

    try_spoilt(Tries("preflight: artifacts", UNFIT), artifact, part, measured)


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
