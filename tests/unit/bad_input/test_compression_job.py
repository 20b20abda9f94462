"""The compression Job with damaged inputs, files, secrets, and answers of servers and registries; it always leaves one
report."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

from edge_compressor.job import main as job
from edge_compressor.registries.access import DOCKER_CONFIG, RegistryAccess
from edge_compressor.sources.download import Downloader
from edge_oci.transport import Patience
from edgemodel import report
from edgemodel.budget import parse_budget
from edgemodel.compression_request import CompressionRequest, Recipe, Source
from edgemodel.converter import Converter
from edgemodel.digest import digest_of
from edgemodel.job_input import JOB_INPUT_VARIABLE, JobInput, PublishTarget
from edgemodel.report import Failed
from tests.support.bad_http import BadServer, bad_answers, bad_registry_routes, bad_server, slow_answers
from tests.support.bad_input import damaged, mutated, odd_places, wrongly_encoded
from tests.support.bad_input_runs import Tries, share
from tests.unit.edge_compressor.models import Files

DOCUMENTED: Final = (0, 3, 4)
HASTE: Final = Patience(tries=2, sleep=lambda _seconds: None)


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens waits, because the servers are bad on purpose."""
    monkeypatch.setattr(job, "RegistryAccess", partial(RegistryAccess, patience=HASTE))
    short = partial(Downloader, tries=2, sleep=lambda _seconds: None, read_timeout_seconds=0.3)
    monkeypatch.setattr(job, "Downloader", short)


class Bench:
    """Runs the Job in this process on files of a volume."""

    def __init__(self, folder: Path, tries: Tries, files: Files) -> None:
        self.folder, self.tries = folder, tries
        self.claim = folder / "claims" / "data"
        self.claim.mkdir(parents=True)
        for name, file in (("m.onnx", files.model), ("d.npz", files.evaluation)):
            (self.claim / name).write_bytes(file.read_bytes())

    def input(self, **changes: Any) -> JobInput:
        request = CompressionRequest(
            source=Source("pvc://data/m.onnx"),
            recipes=(Recipe("default", ()),),
            budget=parse_budget({"maxAccuracyDropPercent": "50"}),
            golden_items=4,
        )
        return JobInput("m", replace(request, **changes), PublishTarget("127.0.0.1:1", "a/b", "127.0.0.1:1/base:v1"))

    def run(self, about: str, text: str, *more: str) -> None:
        log = self.folder / "termination-log"
        log.unlink(missing_ok=True)
        places = {
            "termination-log": log,
            "work-directory": self.folder / "work",
            "secrets-directory": self.folder / "secrets",
            "claims-directory": self.folder / "claims",
            "registry-token-file": self.folder / "token",
            "progress-token-file": self.folder / "progress-token",
            "in-directory": self.folder / "in",
            "out-directory": self.folder / "out",
        }
        words = [word for name, path in places.items() for word in (f"--{name}", str(path))]
        self.tries.call(about, lambda: job.main([*words, *more], {JOB_INPUT_VARIABLE: text}))
        self._judge_message(about, log)

    def _judge_message(self, about: str, log: Path) -> None:
        """Judges the message of the report, which the operator shows to users unchanged."""
        told = report.decode(log.read_bytes()) if log.exists() and log.read_bytes() else None
        if isinstance(told, Failed):
            self.tries.say(about, told.message)
        elif told is None and "--fetch-only" not in about:
            self.tries.problems.append(f"{about}: no report")


@pytest.fixture
def bench(tmp_path: Path, perceptron: Files, request: pytest.FixtureRequest) -> Iterator[Bench]:
    name = request.node.originalname.removeprefix("test_").replace("_", " ")
    return Bench(tmp_path, Tries(f"compression Job: {name}", DOCUMENTED), perceptron)


def test_inputs(bench: Bench) -> None:
    good = json.loads(bench.input(teacher=Source("pvc://data/m.onnx", format="ONNX")).encode())
    for about, value in share(mutated(good, 200, "inputs")):
        bench.run(about, json.dumps(value))
    for about, data in share([*damaged(json.dumps(good).encode(), 40, "text"), *wrongly_encoded(json.dumps(good))]):
        bench.run(about, data.decode(errors="surrogateescape"))
    bench.tries.judge(200)


def test_sources(bench: Bench) -> None:
    good = (bench.claim / "m.onnx").read_bytes()
    for about, data in share(damaged(good, 60, "job source")):
        (bench.claim / "m.onnx").write_bytes(data)
        bench.run(about, bench.input().encode())
        bench.run(f"with a digest, {about}", bench.input(source=Source("pvc://data/m.onnx", digest_of(good))).encode())
    bench.tries.judge(120)


def test_formats(bench: Bench) -> None:
    weights = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    safetensors = len(weights).to_bytes(8, "little") + weights + bytes(8)
    for about, data in share(damaged(safetensors, 60, "weights")):
        (bench.claim / "w").write_bytes(data)
        source = Source("pvc://data/w", format="Safetensors", converter=Converter("converter@sha256:1"))
        (bench.folder / "in").mkdir(exist_ok=True)
        bench.run(f"--fetch-only {about}", bench.input(source=source).encode(), "--fetch-only")
    for about, data in share(damaged(b"PK\x03\x04" + safetensors, 30, "programs")):
        (bench.claim / "p.pt2").write_bytes(data)
        bench.run(about, bench.input(source=Source("pvc://data/p.pt2", format="ExportedProgram")).encode())
    bench.tries.judge(80)


@pytest.mark.slow
def test_data_sets_and_teachers(bench: Bench) -> None:
    good = (bench.claim / "d.npz").read_bytes()
    for about, data in share(damaged(good, 80, "job data")):
        (bench.claim / "x.npz").write_bytes(data)
        for use in ("calibration", "evaluation", "training", "unlabeled"):
            bench.run(f"{use} {about}", bench.input(datasets={use: Source("pvc://data/x.npz")}).encode())
    bench.tries.judge(300)


def test_files_in_odd_places(bench: Bench) -> None:
    (bench.claim / "odd").mkdir()
    for about, path in share(odd_places(bench.claim / "odd")):
        uri = (
            f"pvc://data/{path.relative_to(bench.claim)}" if path.is_relative_to(bench.claim) else f"pvc://data/{path}"
        )
        bench.run(about, bench.input(source=Source(uri)).encode())
        bench.run(f"data {about}", bench.input(datasets={"evaluation": Source(uri)}).encode())
    for uri in (
        "",
        "x",
        "pvc://",
        "pvc://data",
        "pvc://../x",
        "pvc://data/../../x",
        "pvc://data/\0",
        "oci://",
        "oci://x",
    ):
        bench.run(uri, bench.input(source=Source(uri)).encode())
    for uri in (
        "https://",
        "https://[::1/x",
        "https://x:99999/",
        "http://x/",
        "https://a@b/",
        "ftp://x/y",
        "https://\0/",
    ):
        bench.run(uri, bench.input(source=Source(uri)).encode())
        bench.run(uri, bench.input(source=Source(uri, f"sha256:{'a' * 64}")).encode())
    bench.tries.judge(30)


def test_answers_of_servers(bench: Bench) -> None:
    good = (bench.claim / "m.onnx").read_bytes()
    with bad_server() as server:
        source = Source(f"http://{server.host}/m.onnx", digest_of(good))
        for about, say in share([*bad_answers(good), *slow_answers(good)]):
            server.say = say
            bench.run(about, bench.input(source=source).encode())
    bench.tries.judge(120)


def _answers(server: BadServer, good: bytes) -> Iterator[str]:
    for about, say in share(bad_answers(good)):
        server.say = say
        yield about


def _artifacts(server: BadServer, good: bytes) -> Iterator[str]:
    for about, route in share(bad_registry_routes(good, 60)):
        server.route = route
        yield about


@pytest.mark.slow
@pytest.mark.parametrize("reference", ["tag", "digest"])
@pytest.mark.parametrize("kind", [_answers, _artifacts], ids=["answers", "artifacts"])
def test_answers_of_registries(bench: Bench, reference: str, kind: Callable[[BadServer, bytes], Iterator[str]]) -> None:
    good = (bench.claim / "m.onnx").read_bytes()
    with bad_server() as server:
        place = f"{server.host}/a/b{':v1' if reference == 'tag' else f'@{digest_of(good)}'}"
        asked = replace(bench.input(source=Source(f"oci://{place}")), plain_http_hosts=(server.host,)).encode()
        for about in kind(server, good):
            bench.run(f"{reference}, {about}", asked)
    bench.tries.judge(100)


def test_credentials(bench: Bench) -> None:
    folder = bench.folder / "secrets" / "source"
    folder.mkdir(parents=True)
    good = json.dumps({"auths": {"127.0.0.1:1": {"auth": "YTpi"}}})
    asked = replace(bench.input(source=Source("oci://127.0.0.1:1/a/b:v1")), plain_http_hosts=("127.0.0.1:1",)).encode()
    values = [(about, json.dumps(value).encode()) for about, value in mutated(json.loads(good), 60, "auths")]
    for about, data in share([*damaged(good.encode(), 60, "auths"), *wrongly_encoded(good), *values]):
        (folder / DOCKER_CONFIG).write_bytes(data)
        bench.run(about, asked)
    (folder / DOCKER_CONFIG).unlink()
    over_http = bench.input(source=Source("https://127.0.0.1:1/m.onnx")).encode()
    for about, data in share(damaged(b"secret-token", 40, "tokens")):
        (folder / "token").write_bytes(data)
        bench.run(f"token {about}", over_http)
    bench.tries.judge(150)


@pytest.mark.slow
def test_files_of_converters(bench: Bench) -> None:
    given, made = bench.folder / "in", bench.folder / "out"
    given.mkdir()
    made.mkdir()
    fetched = {"source": {"digest": f"sha256:{'a' * 64}", "uri": "pvc://data/w"}}
    (given / "fetched.json").write_text(json.dumps(fetched))
    source = Source("pvc://data/w", format="Safetensors", converter=Converter("converter@sha256:1", writes="ONNX"))
    asked = bench.input(source=source).encode()
    for about, data in share(damaged((bench.claim / "m.onnx").read_bytes(), 60, "converted")):
        (made / "model.onnx").write_bytes(data)
        bench.run(about, asked)
    (made / "model.onnx").unlink()
    for name in ("model.onnx", "other.onnx", "model\n.onnx"):
        for about, path in odd_places(_fresh(bench.folder / f"odd-{digest_of(name.encode())[7:12]}")):
            (made / name).unlink(missing_ok=True)
            (made / name).symlink_to(path)
            bench.run(f"{name} is {about}", asked)
        (made / name).unlink()
    bench.tries.judge(80)


def _fresh(folder: Path) -> Path:
    folder.mkdir()
    return folder
