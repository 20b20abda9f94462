"""The Job as a process, against a real registry: what it publishes, and its report if it cannot."""

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import zstandard

from edge_cli import main as cli
from edge_compressor.job import main as job
from edge_compressor.publishing.artifact_image import publish
from edge_compressor.registries.access import RegistryAccess
from edge_oci.blobs import read_blob
from edge_oci.client import Registries, Repository
from edge_oci.descriptors import Descriptor
from edge_oci.images import Platform, platforms_of, push_image, push_index
from edge_oci.layers import write_layer
from edge_oci.manifests import get_manifest, list_tags
from edge_oci.references import parse_reference
from edgemodel import reasons, report
from edgemodel.artifact import ArtifactManifest, Golden
from edgemodel.budget import Budget, parse_budget
from edgemodel.compression_request import CompressionRequest, Recipe, Source
from edgemodel.digest import digest_of, digest_of_file
from edgemodel.job_input import JOB_INPUT_VARIABLE, JobInput, PublishTarget
from edgemodel.progress import StepBegun
from edgemodel.report import ArtifactReport, Failed, Published
from edgemodel.verdict import CheckResult, Verdict
from tests.support.registry import RegistryProgram
from tests.unit.edge_compressor import models
from tests.unit.edge_compressor.conftest import Files
from tests.unit.edge_compressor.servers import FileServer

INT8 = {"name": "int8", "type": "QuantizeStatic", "quantizeStatic": {"calibrationSamples": 32}}
LENIENT = {"maxAccuracyDropPercent": "10", "maxSizeBytes": 13_000}


@dataclass(frozen=True)
class Ended:
    code: int
    message: bytes
    log: str

    @property
    def report(self) -> Any:
        return report.decode(self.message)


def asking(order: JobInput, **changes: Any) -> JobInput:
    """Returns ``order`` with another request."""
    return replace(order, request=replace(order.request, **changes))


Run = Callable[[JobInput], Ended]


@pytest.fixture
def repository(registry: RegistryProgram, request: pytest.FixtureRequest, tmp_path: Path) -> Repository:
    """Returns a repository of its own for each test."""
    name = f"vision/{digest_of(request.node.nodeid.encode())[7:19]}"
    registries = Registries(plain_http_hosts=(registry.host,))
    return registries.repository(parse_reference(f"{registry.host}/{name}"))


@pytest.fixture
def base(registry: RegistryProgram, tmp_path: Path) -> str:
    """Pushes a stand-in for the server image, for two architectures."""
    server = Registries(plain_http_hosts=(registry.host,)).repository(parse_reference(f"{registry.host}/server"))
    layer = write_layer({"/server.py": b"print('hello')\n"}, tmp_path / "base-layer")
    images = {}
    for architecture in ("amd64", "arm64"):
        config = {"os": "linux", "architecture": architecture, "config": {"User": "65532", "Env": ["A=1"]}}
        images[Platform("linux", architecture)] = push_image(server, config, [layer])
    return f"{server}@{push_index(server, images).digest}"


@pytest.fixture
def order(residual: Files, repository: Repository, base: str, tmp_path: Path) -> JobInput:
    """Returns an input with everything in a mounted volume."""
    folder = tmp_path / "claims" / "data"
    folder.mkdir(parents=True)
    for name, file in (("m.onnx", residual.model), ("c.npz", residual.calibration), ("e.npz", residual.evaluation)):
        (folder / name).write_bytes(file.read_bytes())
    return JobInput(
        model="defects",
        request=CompressionRequest(
            source=Source("pvc://data/m.onnx", digest_of_file(residual.model)),
            datasets={"calibration": Source("pvc://data/c.npz"), "evaluation": Source("pvc://data/e.npz")},
            recipes=(Recipe("default", (INT8,)),),
            budget=parse_budget(LENIENT),
            golden_items=16,
        ),
        target=PublishTarget(repository.host.name, repository.name, base),
        plain_http_hosts=(repository.host.name,),
    )


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Returns a function that runs the Job in this process; its output is the log."""

    def go(task: JobInput) -> Ended:
        message = tmp_path / "termination-log"
        code = job.main([*places(tmp_path)], {JOB_INPUT_VARIABLE: task.encode()})
        return Ended(code, message.read_bytes(), capsys.readouterr().out)

    return go


def places(folder: Path) -> list[str]:
    return [
        *("--termination-log", str(folder / "termination-log")),
        *("--work-directory", str(folder / "work")),
        *("--secrets-directory", str(folder / "secrets")),
        *("--claims-directory", str(folder / "claims")),
        *("--registry-token-file", str(folder / "token")),
        *("--progress-token-file", str(folder / "progress-token")),
    ]


def layer_files(repository: Repository, image: str, platform: str) -> dict[str, bytes]:
    """Returns the files of the topmost layer."""
    manifest = get_manifest(repository, platforms_of(repository, image)[Platform.parse(platform)].digest)
    blob = Descriptor.from_json(manifest.content["layers"][-1])
    data = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(read_blob(repository, blob, max_bytes=1 << 24))).read()
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {item.name: tar.extractfile(item).read() for item in tar if item.isfile()}  # type: ignore[union-attr]


def test_a_recipe_is_compressed_judged_and_published_for_every_platform_by_a_real_process(
    order: JobInput, repository: Repository, tmp_path: Path
) -> None:
    environment = os.environ | {
        JOB_INPUT_VARIABLE: order.encode(),
        "TMPDIR": str(tmp_path / "work" / "tmp"),
        "PYTHONPATH": "operator",
    }
    process = subprocess.run(
        [sys.executable, "-m", "edge_compressor", *places(tmp_path)], env=environment, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stdout + process.stderr
    outcome = report.decode((tmp_path / "termination-log").read_bytes())
    assert isinstance(outcome, Published)
    (artifact,) = outcome.artifacts
    assert outcome.source_digest == order.request.source.digest
    assert artifact.image.startswith(f"{repository.name}@sha256:")
    assert list_tags(repository) == [f"{order.request.fingerprint}-default"]
    digest = artifact.image.partition("@")[2]
    assert get_manifest(repository, f"{order.request.fingerprint}-default").descriptor.digest == digest

    amd64, arm64 = (layer_files(repository, digest, f"linux/{name}") for name in ("amd64", "arm64"))
    assert amd64 == arm64
    assert sorted(amd64) == [
        f"model/{name}" for name in ("golden.npz", "manifest.json", "model.onnx", "report.html", "report.md")
    ]
    assert digest_of(amd64["model/model.onnx"]) == artifact.digest
    manifest = ArtifactManifest.decode(amd64["model/manifest.json"])
    assert (manifest.model, manifest.variant, manifest.artifact_digest) == ("defects", "default", artifact.digest)
    assert manifest.golden == Golden(16, "Argmax", 0.05, "99.5")
    assert len(np.load(io.BytesIO(amd64["model/golden.npz"]))["input.x"]) == 16
    assert (artifact.size_bytes, artifact.sample_count) == (len(amd64["model/model.onnx"]), 400)
    assert artifact.source_size_bytes > artifact.size_bytes
    assert 0 < artifact.transfer_bytes < 40_000
    assert artifact.source_accuracy == "0.9500"
    assert {check.verdict for check in artifact.checks} == {"Pass"}
    assert "evaluating artifact" in process.stdout


def test_a_model_that_crashes_its_runtime_ends_in_a_report(order: JobInput, run: Run, tmp_path: Path) -> None:
    models.gru_and_rnn(tmp_path / "claims" / "data" / "crashes.onnx")
    half = {"name": "half", "type": "Convert", "convert": {"precision": "FP16"}}
    source, recipes = Source("pvc://data/crashes.onnx"), (Recipe("default", (half,)),)
    ended = run(asking(order, source=source, datasets={}, recipes=recipes, budget=Budget()))
    assert ended.code == 3
    assert ended.report.reason == reasons.STEP_FAILED
    assert ended.report.message.startswith("step half: its result: onnxruntime ")
    assert "crashed (signal 11) while it loaded it" in ended.report.message


def test_the_evidence_of_the_manifest_is_whole(order: JobInput, run: Run, repository: Repository) -> None:
    outcome = run(order).report
    files = layer_files(repository, outcome.artifacts[0].image.partition("@")[2], "linux/amd64")
    evidence = ArtifactManifest.decode(files["model/manifest.json"]).evidence
    assert evidence["steps"][0]["settings"]["calibrationMethod"] == "MinMax"
    assert evidence["datasets"]["evaluation"]["samples"] == 400
    assert evidence["evaluation"]["artifact"]["confusion"]
    drop = evidence["evaluation"]["accuracyDrop"]
    assert drop["lowerPercent"] < drop["percent"] < drop["upperPercent"]
    assert evidence["notes"] == []
    assert evidence["budget"]["limits"]["maxAccuracyDropPercent"] == "10"
    assert evidence["latency"]["source"].keys() == {"p50Milliseconds", "p95Milliseconds", "milliseconds"}
    assert evidence["evaluation"]["task"] == "Classification"
    assert evidence["weightRange"]["quantizedWeights"] > 0 == evidence["weightRange"]["beyondSevenBits"]
    assert evidence["hardware"].keys() >= {"processor", "architecture", "instructionSets"}
    assert evidence["libraries"].keys() >= {"onnx", "onnxruntime", "onnxslim", "numpy", "zstandard"}
    assert evidence["source"]["transferBytes"] > evidence["artifact"]["transferBytes"] > 0
    text = files["model/report.md"].decode()
    assert "| Pass | maxSizeBytes |" in text
    assert "int8 | QuantizeStatic" in text


def test_the_report_of_a_published_image_is_read_back_by_its_digest(
    order: JobInput, run: Run, repository: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = run(order).report.artifacts[0].image.partition("@")[2]
    files = layer_files(repository, digest, "linux/amd64")
    uri = f"oci://{repository.host.name}/{repository.name}@{digest}"
    capsys.readouterr()
    assert cli.main(["report", uri, "--plain-http"]) == 0
    assert capsys.readouterr().out.encode() == files["model/report.md"] + b"\n"
    assert cli.main(["report", uri, "--plain-http", "--html", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").read_bytes() == files["model/report.html"]


def test_sets_that_share_samples_are_reported(order: JobInput, run: Run, repository: Repository) -> None:
    outcome = run(
        asking(order, datasets={**order.request.datasets, "calibration": order.request.datasets["evaluation"]})
    ).report
    files = layer_files(repository, outcome.artifacts[0].image.partition("@")[2], "linux/amd64")
    assert b"400 of 400 samples of the evaluation set are in the calibration set too" in files["model/report.md"]


def test_no_steps_publish_the_source_bit_for_bit(
    order: JobInput, run: Run, repository: Repository, residual: Files
) -> None:
    order = asking(
        order,
        recipes=(Recipe("default", ()),),
        budget=Budget(max_accuracy_drop_percent=Decimal(0)),
        datasets={"evaluation": order.request.datasets["evaluation"]},
    )
    outcome = run(order).report
    assert isinstance(outcome, Published)
    files = layer_files(repository, outcome.artifacts[0].image.partition("@")[2], "linux/amd64")
    assert files["model/model.onnx"] == residual.model.read_bytes()
    assert outcome.artifacts[0].digest == outcome.source_digest


def test_no_data_sets_are_enough_to_publish_without_a_budget(order: JobInput, run: Run) -> None:
    outcome = run(asking(order, recipes=(Recipe("default", ()),), budget=Budget(), datasets={})).report
    assert isinstance(outcome, Published)
    assert (outcome.artifacts[0].accuracy, outcome.artifacts[0].sample_count) == (None, 0)
    assert outcome.artifacts[0].latency_milliseconds is not None


def test_equal_files_make_an_equal_image(
    order: JobInput, run: Run, repository: Repository, registry: RegistryProgram, tmp_path: Path
) -> None:
    assert run(order).code == 0
    folder = tmp_path / "work" / "run" / "artifacts" / "default"
    manifest = ArtifactManifest.decode((folder / "manifest.json").read_bytes())
    access = RegistryAccess(plain_http_hosts=(registry.host,))
    images = {publish(folder, manifest, order.target, access, tmp_path).image for _ in range(2)}
    tag = f"{order.request.fingerprint}-default"
    assert images == {f"{repository.name}@{get_manifest(repository, tag).descriptor.digest}"}


def test_every_variant_gets_its_artifact_and_equal_steps_are_done_once(
    order: JobInput, run: Run, repository: Repository
) -> None:
    recipes = (Recipe("pi", (INT8,)), Recipe("plain", ()), Recipe("default", (INT8,)))
    ended = run(asking(order, recipes=recipes))
    outcome = ended.report
    assert isinstance(outcome, Failed)  # the source is larger than the budget allows
    assert outcome.message.startswith("variant plain: size ")
    order = asking(order, recipes=recipes, budget=Budget())
    ended = run(order)
    assert isinstance(ended.report, Published)
    by_variant = {artifact.variant: artifact for artifact in ended.report.artifacts}
    assert by_variant["pi"].digest == by_variant["default"].digest != by_variant["plain"].digest
    assert sorted(list_tags(repository)) == [
        f"{order.request.fingerprint}-{variant}" for variant in ("default", "pi", "plain")
    ]
    assert ended.log.count("step int8 done") == 1
    assert "step 1 of 1 for variant pi: int8 (QuantizeStatic)" in ended.log


def test_a_missed_budget_publishes_nothing_and_reports_every_check(
    order: JobInput, run: Run, repository: Repository
) -> None:
    budget = {"maxAccuracyDropPercent": "10", "maxSizeBytes": 1000, "maxLatencyMilliseconds": "1000"}
    ended = run(asking(order, budget=parse_budget(budget)))
    assert ended.code == 3
    assert ended.report.reason == reasons.BUDGET_EXCEEDED
    assert "limit 1000 bytes" in ended.report.message
    assert [check.verdict for check in ended.report.checks] == ["Pass", "Fail", "Pass"]
    assert list_tags(repository) == []


def test_one_recipe_that_fails_publishes_none(order: JobInput, run: Run, repository: Repository) -> None:
    wrong = {"name": "dyn", "type": "QuantizeDynamic", "quantizeDynamic": {"opTypes": ["LSTM"]}}
    ended = run(asking(order, recipes=(Recipe("default", (INT8,)), Recipe("pi", (wrong,)))))
    assert (ended.code, ended.report.reason) == (3, reasons.STEP_FAILED)
    assert ended.report.message.startswith("variant pi: step dyn: opTypes LSTM match no node")
    assert list_tags(repository) == []


def test_too_small_a_set_is_inconclusive_unless_set_to_proceed(
    order: JobInput, run: Run, repository: Repository, residual: Files, tmp_path: Path
) -> None:
    models.write_evaluation(tmp_path / "claims" / "data" / "e.npz", residual.model, 20, spoilt=1)
    budget: dict[str, Any] = {"maxAccuracyDropPercent": "1.0"}
    ended = run(asking(order, budget=parse_budget(budget)))
    assert (ended.code, ended.report.reason) == (3, reasons.EVALUATION_INCONCLUSIVE)
    assert "n = 20)" in ended.report.message
    assert "samples would decide" in ended.report.message
    ended = run(asking(order, budget=parse_budget(budget | {"onInconclusive": {"action": "Proceed"}})))
    assert isinstance(ended.report, Published)
    assert ended.report.artifacts[0].checks[0].verdict == "Inconclusive"


@pytest.mark.parametrize(
    ("change", "code", "reason"),
    [
        ({"source": Source("pvc://data/gone.onnx")}, 3, reasons.SOURCE_NOT_FOUND),
        ({"source": Source("pvc://data/m.onnx", digest_of(b""))}, 3, reasons.DIGEST_MISMATCH),
        ({"source": Source("pvc://data/e.npz")}, 3, reasons.SOURCE_INVALID),
        ({"source": Source("ftp://host/m.onnx")}, 3, reasons.SOURCE_NOT_ALLOWED),
        ({"source": Source("http://127.0.0.1:1/m.onnx", digest_of(b""))}, 4, reasons.SOURCE_UNREACHABLE),
        ({"source": Source("pvc://data/m.onnx", format="SafeTensors")}, 3, reasons.SOURCE_INVALID),
        ({"teacher": Source("pvc://data/m.onnx", format="SafeTensors")}, 3, reasons.SOURCE_INVALID),
        ({"datasets": {"calibration": Source("pvc://data/m.onnx")}}, 3, reasons.DATASET_INVALID),
        ({"datasets": {}}, 3, reasons.STEP_FAILED),
    ],
)
def test_each_bad_input_ends_with_its_reason_and_code(
    order: JobInput, run: Run, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], code: int, reason: str
) -> None:
    monkeypatch.setattr("edge_compressor.job.main.Downloader", lambda: job_downloader())
    ended = run(asking(order, **change))
    assert (ended.code, ended.report.reason) == (code, reason)
    assert ended.report.transient == (code == 4)


def test_a_step_without_its_data_set_is_refused_before_anything_is_fetched(order: JobInput, run: Run) -> None:
    ended = run(asking(order, datasets={}, source=Source("pvc://data/gone.onnx")))
    assert ended.report.reason == reasons.STEP_FAILED
    assert "needs datasets.calibration: typical inputs, no labels" in ended.report.message


def job_downloader() -> Any:
    from edge_compressor.sources.download import Downloader

    return Downloader(sleep=lambda _: None)


def test_an_empty_set_is_distinguished_from_one_that_does_not_match(
    order: JobInput, run: Run, residual: Files, tmp_path: Path
) -> None:
    file = tmp_path / "claims" / "data" / "e.npz"
    np.savez(file, x=np.empty((0, 1, 12, 12), dtype=np.float32), label=np.empty(0, dtype=np.int64))
    assert run(order).report.reason == reasons.DATASET_EMPTY
    np.savez(file, x=np.zeros((5, 1, 28, 28), dtype=np.float32), label=np.zeros(5, dtype=np.int64))
    outcome = run(order).report
    assert outcome.reason == reasons.DATASET_INVALID
    assert "[5, 1, 28, 28], the model's input wants [samples, 1, 12, 12]" in outcome.message


def test_a_source_over_http_wants_the_secret_that_is_mounted(
    order: JobInput, run: Run, web: FileServer, residual: Files
) -> None:
    web.routes["/m.onnx"] = lambda exchange: exchange.answer(401)
    ended = run(asking(order, source=Source(web.url("/m.onnx"), digest_of_file(residual.model))))
    assert (ended.code, ended.report.reason) == (3, reasons.SOURCE_UNAUTHORIZED)


def test_a_registry_that_refuses_the_push_for_good_is_stalled(
    order: JobInput, run: Run, locked_registry: RegistryProgram
) -> None:
    target = replace(order.target, registry=locked_registry.host)
    ended = run(replace(order, target=target, plain_http_hosts=(*order.plain_http_hosts, locked_registry.host)))
    assert (ended.code, ended.report.reason) == (3, reasons.ARTIFACT_REJECTED)


def test_the_push_secret_opens_a_locked_registry(
    order: JobInput, run: Run, locked_registry: RegistryProgram, tmp_path: Path
) -> None:
    host = locked_registry.host
    (tmp_path / "secrets" / "push").mkdir(parents=True)
    config = {"auths": {host: {"username": "ann", "password": "secret"}}}
    (tmp_path / "secrets" / "push" / ".dockerconfigjson").write_text(json.dumps(config))
    ended = run(
        replace(order, target=replace(order.target, registry=host), plain_http_hosts=(*order.plain_http_hosts, host))
    )
    assert isinstance(ended.report, Published), ended.message


def test_a_deleted_base_image_is_reported(order: JobInput, run: Run) -> None:
    gone = order.target.base.partition("@")[0] + "@" + digest_of(b"gone")
    ended = run(replace(order, target=replace(order.target, base=gone)))
    assert (ended.code, ended.report.reason) == (3, reasons.ARTIFACT_REJECTED)


def test_a_second_run_in_the_same_folder_starts_afresh(order: JobInput, run: Run) -> None:
    first, second = run(order), run(order)
    assert (first.code, second.code) == (0, 0)
    assert first.report.artifacts[0].digest == second.report.artifacts[0].digest


def test_an_unexpected_error_ends_with_1_and_a_message_that_is_not_a_report(
    order: JobInput, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("edge_compressor.pipeline.run", broken)
    ended = run(order)
    assert (ended.code, ended.report) == (1, None)
    assert ended.message.startswith(b"CompressionFailed: ")
    assert b"ZeroDivisionError" not in ended.message


def test_a_step_that_makes_a_broken_model_is_named(
    order: JobInput, run: Run, monkeypatch: pytest.MonkeyPatch, repository: Repository
) -> None:
    def spoil(*_: Any, **__: Any) -> Any:
        return onnx.ModelProto(graph=onnx.GraphProto(name="empty"))

    monkeypatch.setattr("onnxslim.slim", spoil)
    ended = run(asking(order, recipes=(Recipe("default", ({"name": "clean", "type": "CleanGraph"},)),)))
    assert (ended.code, ended.report.reason) == (3, reasons.STEP_FAILED)
    assert ended.report.message == "step clean: its result: not an ONNX file: it has no graph"
    assert list_tags(repository) == []


def test_a_librarys_error_in_a_step_is_reported_with_its_message(
    order: JobInput, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: Any, **__: Any) -> Any:
        raise KeyError("axis")

    monkeypatch.setattr("edge_compressor.steps.quantize_static.quantize_static", stumble)
    ended = run(order)
    assert (ended.code, ended.report.reason) == (3, reasons.STEP_FAILED)
    assert ended.report.message == "step int8: QuantizeStatic cannot be applied to this model: axis is missing"


def test_too_little_memory_is_reported_as_such(order: JobInput, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: Any, **__: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr("edge_compressor.steps.quantize_static.quantize_static", exhausted)
    ended = run(order)
    assert (ended.code, ended.report.reason) == (3, reasons.OUT_OF_MEMORY)


@pytest.mark.parametrize("text", ["", "{}", "no json", '{"namespace": 1}'])
def test_a_job_input_that_cannot_be_read_is_an_invalid_spec(tmp_path: Path, text: str) -> None:
    code = job.main([*places(tmp_path)], {JOB_INPUT_VARIABLE: text})
    outcome = report.decode((tmp_path / "termination-log").read_bytes())
    assert code == 3
    assert isinstance(outcome, Failed)
    assert outcome.reason == reasons.INVALID_SPEC
    assert JOB_INPUT_VARIABLE in outcome.message


def test_a_limit_that_this_compressor_does_not_know_is_an_invalid_spec(order: JobInput, tmp_path: Path) -> None:
    """An operator of another version may send one; ignoring it would publish an artifact that misses the budget."""
    given = json.loads(order.encode())
    given["request"]["budget"]["max_surprise"] = 3
    code = job.main([*places(tmp_path)], {JOB_INPUT_VARIABLE: json.dumps(given)})
    outcome = report.decode((tmp_path / "termination-log").read_bytes())
    assert code == 3
    assert isinstance(outcome, Failed)
    assert outcome.reason == reasons.INVALID_SPEC
    assert "input.request.budget has no field max_surprise" in outcome.message


def artifact_report(variant: str, message: str) -> ArtifactReport:
    check = CheckResult("a", Verdict.PASS, "1", "2", 1, message)
    digest = digest_of(variant.encode())
    return ArtifactReport(variant, f"ns/model@{digest}", digest, 1, 1, 1, "0.9", "0.9", 1, "1", "1", (check,) * 3)


def test_reports_keep_the_limit_of_a_termination_message_whatever_they_hold() -> None:
    """The letter ü is six bytes in ASCII JSON."""
    failed = Failed(reasons.STEP_FAILED, "ü" * 5000, False, artifact_report("a", "ü" * 500).checks * 4)
    assert len(job.encode(failed)) <= report.MAX_BYTES
    for number in (1, 3, 7):
        many = Published(digest_of(b""), tuple(artifact_report(f"v{i}", "ü" * 300) for i in range(number)))
        data = job.encode(many)
        assert len(data) <= report.MAX_BYTES
        decoded = report.decode(data)
        assert isinstance(decoded, Published)
        assert [artifact.image for artifact in decoded.artifacts] == [artifact.image for artifact in many.artifacts]


def test_each_step_is_reported_to_the_operator_once(order: JobInput, run: Run, web: FileServer, tmp_path: Path) -> None:
    (tmp_path / "progress-token").write_text("token-of-the-pod")
    steps = ({"name": "clean", "type": "CleanGraph"}, INT8)
    ended = run(replace(asking(order, recipes=(Recipe("default", steps),)), progress_url=web.url("/progress")))
    assert ended.code == 0, ended.log
    assert [(path, shown, StepBegun.decode(body)) for path, shown, body in web.posted] == [
        ("/progress", "Bearer token-of-the-pod", StepBegun("clean", "CleanGraph", 1, 2)),
        ("/progress", "Bearer token-of-the-pod", StepBegun("int8", "QuantizeStatic", 2, 2)),
    ]
    assert "did not get the report" not in ended.log


def test_an_unreachable_operator_stops_nothing(order: JobInput, run: Run, tmp_path: Path) -> None:
    (tmp_path / "progress-token").write_text("token-of-the-pod")
    ended = run(replace(order, progress_url="http://127.0.0.1:9/progress"))
    assert ended.code == 0, ended.log
    assert ended.log.count("the operator did not get the report of the step: ") == 1
    assert "token-of-the-pod" not in ended.log
