"""A second runtime, from the gate to a fleet, which ``tiny.py`` alone adds."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_compressor import formats, pipeline
from edge_compressor.datasets.npz import load_dataset
from edge_compressor.evaluation.evaluator import Evaluator
from edge_compressor.evaluation.golden_set import sample_feeds
from edge_compressor.evaluation.measuring import time_both
from edge_compressor.formats import ArtifactFiles, SourceFormat
from edge_compressor.models.model_file import ModelFile
from edge_compressor.progress import Progress
from edge_compressor.registries.access import RegistryAccess
from edge_compressor.sources.fetcher import Fetcher
from edge_runtime import backends
from edge_runtime.backend import LoadFailure, RunFailure
from edge_runtime.loading import load_model
from edge_runtime.tuning import Tuning
from edgemodel import reasons
from edgemodel.artifact import ArtifactManifest
from edgemodel.compression_request import CompressionRequest, Recipe, Source
from edgemodel.digest import digest_of_file
from edgemodel.errors import Stalled
from edgemodel.report import Published, decode, encode
from inference_server.models.loading import PreparedModel, prepare
from inference_server.models.served_model import ServedModel, ServingLimits
from inference_server.observability.metrics import Identity, ModelMetrics
from tests.support import simulation
from tests.support.simulation import Simulation, artifact_report
from tests.unit.edge_runtime import tiny
from tests.unit.edge_runtime.artifacts import write_artifact
from tests.unit.inference_server.processes import RunningServer, serving_process

FEATURES, CLASSES = 4, 3
WEIGHTS = np.random.default_rng(0).standard_normal((FEATURES + 1, CLASSES))
X = np.random.default_rng(1).standard_normal((200, FEATURES)).astype(np.float32)


def scores(x: np.ndarray) -> np.ndarray:
    return x @ WEIGHTS[:-1].astype(np.float32) + WEIGHTS[-1].astype(np.float32)


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "_registered", {})
    backends.register(tiny.BACKEND)


def model_file(path: Path) -> ModelFile:
    signature = load_model(path, "Tiny", Tuning()).signature
    tensors = tuple(signature.inputs.values()), tuple(signature.outputs.values())
    return ModelFile(path, digest_of_file(path), path.stat().st_size, *tensors, runtime="Tiny")


@pytest.fixture
def model(tmp_path: Path) -> ModelFile:
    return model_file(tiny.write(tmp_path / "source.tiny", WEIGHTS))


@pytest.fixture
def artifact(model: ModelFile, tmp_path: Path) -> Path:
    return write_artifact(model, tmp_path, x=X, label=scores(X).argmax(axis=1))


def test_the_compressor_evaluates_and_times_it(model: ModelFile, tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", x=X, label=scores(X).argmax(axis=1))
    dataset = load_dataset(tmp_path / "set.npz", model, tmp_path / "arrays", what="evaluation set")
    worse = model_file(tiny.write(tmp_path / "worse.tiny", WEIGHTS + 0.3 * np.random.default_rng(2).random((5, 3))))
    evaluation = Evaluator(Progress()).evaluate(model, worse, dataset)
    assert evaluation.source is not None
    assert evaluation.source.score == 1
    assert evaluation.artifact is not None
    assert 0.5 < evaluation.artifact.score < 1
    feeds = sample_feeds(model, dataset, 4)
    assert feeds is not None
    assert time_both(model, worse, feeds, Progress(), max_runs=10).artifact.p50 >= 1


def test_a_node_repeats_the_golden_set_of_the_compressor(artifact: Path) -> None:
    manifest = ArtifactManifest.decode((artifact / "manifest.json").read_bytes())
    assert (manifest.runtime, manifest.model_file) == ("Tiny", "model.tiny")
    prepared = prepare(artifact, manifest, Tuning())
    assert isinstance(prepared, PreparedModel)
    assert prepared.golden is not None
    assert prepared.golden.agree == prepared.golden.items == 32


def test_an_image_without_the_runtime_is_reported(artifact: Path) -> None:
    manifest = ArtifactManifest.decode((artifact / "manifest.json").read_bytes())
    outcome = prepare(artifact, replace(manifest, runtime="TFLite"), Tuning())
    assert isinstance(outcome, LoadFailure)
    assert outcome.reason == reasons.MODEL_LOAD_FAILED
    assert "the artifact needs the runtime 'TFLite', this image has onnxruntime, tiny" in outcome.message


@pytest.mark.parametrize("name", ["../model.onnx", "/etc/passwd", "a/b", "", ".."])
def test_a_manifest_names_only_a_file_beside_it(artifact: Path, name: str) -> None:
    value = json.loads((artifact / "manifest.json").read_bytes())
    with pytest.raises(ValueError, match="want the name of a file beside the manifest"):
        ArtifactManifest.decode(json.dumps({**value, "modelFile": name}).encode())


def test_a_manifest_that_names_no_runtime_is_of_onnx_runtime(artifact: Path) -> None:
    value = json.loads((artifact / "manifest.json").read_bytes())
    del value["runtime"], value["modelFile"]
    manifest = ArtifactManifest.decode(json.dumps(value).encode())
    assert (manifest.runtime, manifest.model_file) == ("ONNXRuntime", "model.onnx")


def test_a_model_that_is_not_concurrent_is_lent_to_one_thread_at_a_time(model: ModelFile) -> None:
    feeds = {"x": X[:1]}
    alone = tiny.BACKEND.load(model.path, Tuning(), tiny.Device())
    with ThreadPoolExecutor(8) as pool, pytest.raises(RunFailure, match="two threads"):
        list(pool.map(lambda _: alone.run(feeds, ["scores"]), range(64)))
    for concurrency in (1, 3):
        shared = load_model(model.path, "Tiny", Tuning(concurrency=concurrency))
        assert shared.concurrent
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: shared.run(feeds, ["scores"])[0], range(64)))  # noqa: B023
        assert all(np.allclose(answer, scores(X[:1]), atol=1e-5) for answer in answers)
        shared.close()


def test_a_model_is_closed_when_its_last_request_has_gone(artifact: Path) -> None:
    manifest = ArtifactManifest.decode((artifact / "manifest.json").read_bytes())
    tiny.CALLS.clear()
    prepared = prepare(artifact, manifest, Tuning(concurrency=3))
    assert isinstance(prepared, PreparedModel)
    identity = Identity("factory", "tiny", "tiny-1", "default", "node-1")
    limits = ServingLimits(timeout_seconds=1, max_batch_items=1, workers=1, replay_requests=0)
    served = ServedModel(identity, prepared.model, ModelMetrics(identity, manifest, None), limits)
    in_work = served
    del served
    assert tiny.CALLS == {"load": 3}
    del in_work
    assert tiny.CALLS == {"load": 3, "close": 3}


def test_a_model_that_fails_its_golden_set_is_closed(artifact: Path) -> None:
    manifest = ArtifactManifest.decode((artifact / "manifest.json").read_bytes())
    changed = tiny.write(artifact / "model.tiny", -WEIGHTS)
    tiny.CALLS.clear()
    outcome = prepare(artifact, replace(manifest, artifact_digest=digest_of_file(changed)), Tuning())
    assert isinstance(outcome, LoadFailure)
    assert outcome.reason == reasons.GOLDEN_MISMATCH
    assert tiny.CALLS == {"load": 1, "close": 1}


@pytest.fixture
def server(artifact: Path) -> Iterator[RunningServer]:
    with serving_process(artifact, "--concurrency", "2", module="tests.unit.edge_runtime.tiny") as running:
        yield running


def request(x: np.ndarray) -> dict[str, object]:
    return {"inputs": [{"name": "x", "shape": list(x.shape), "datatype": "FP32", "data": x.ravel().tolist()}]}


def test_it_is_served(server: RunningServer) -> None:
    metadata = server.get("/v2/models/tiny").json()
    assert metadata["platform"] == "tiny_linear"
    assert server.get("/v2/models/tiny/config").json()["backend"] == "tiny"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda start: server.infer(request(X[start : start + 2])), range(100)))
    assert {answer.status for answer in answers} == {200}
    for start, answer in enumerate(answers):
        given = np.array(answer.json()["outputs"][0]["data"]).reshape(2, CLASSES)
        np.testing.assert_allclose(given, scores(X[start : start + 2]), atol=1e-4)
    refused = server.infer(request(np.full((1, FEATURES), 2000.0)))
    assert (refused.status, refused.error) == (400, "a value is beyond 1000")


def test_its_revision_says_what_runs_it_and_reaches_every_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        simulation, "artifact_report", lambda variant: replace(artifact_report(variant), runtime="Tiny")
    )
    world = Simulation.with_nodes(3)
    world.run(400)
    assert world.ready_reason() == reasons.SERVING
    (revision,) = [revision for revision in world.observe().revisions if revision.name == world.target()]
    assert [variant.artifact.runtime for variant in revision.spec.variants] == ["Tiny"]
    assert all(world.runs(node) == {world.target()} for node in world.nodes)


def test_a_report_has_the_runtime() -> None:
    report = Published("sha256:" + "0" * 64, (replace(artifact_report("default"), runtime="Tiny"),))
    assert round_trip(report).artifacts[0].runtime == "Tiny"


def round_trip(report: Published) -> Published:
    decoded = decode(encode(report))
    assert isinstance(decoded, Published)
    return decoded


class TestSourceFormat:
    """The tests of a source format whose models this runtime loads, which goes through the complete pipeline, without
    ONNX."""

    @pytest.fixture
    def compress(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., pipeline.Compressed]:
        def check(path: Path, *, what: str, reason: str) -> None:
            if not path.read_bytes().startswith(b"{"):
                raise Stalled(reason, f"{what}: no tiny model")

        def to_artifact(path: Path, to: Path, *, what: str, reason: str) -> ArtifactFiles:
            return ArtifactFiles("TinyLinear", path)

        form = SourceFormat(
            name="TinyLinear", doc="a linear classifier", suffix=".tiny", media_type="", check=check,
            to_artifact=to_artifact, becomes="TinyLinear", runtime="Tiny",
        )  # fmt: skip
        monkeypatch.setitem(formats.FORMATS, form.name, form)  # type: ignore[arg-type]  # it is a dict

        def run(*steps: dict[str, str], **sets: Source) -> pipeline.Compressed:
            source = Source(str(tiny.write(tmp_path / "given.tiny", WEIGHTS)), format="TinyLinear")
            request = CompressionRequest(source, (Recipe("default", steps),), datasets=sets)
            fetcher = Fetcher(RegistryAccess(), Progress(), local_paths=True)
            (compressed,) = pipeline.run(request, "m", fetcher, tmp_path / "work", Progress())
            return compressed

        return run

    def test_it_is_evaluated_judged_and_recorded(
        self, compress: Callable[..., pipeline.Compressed], tmp_path: Path
    ) -> None:
        np.savez(tmp_path / "set.npz", x=X, label=scores(X).argmax(axis=1))
        compressed = compress(evaluation=Source(str(tmp_path / "set.npz")))
        assert (compressed.manifest.runtime, compressed.manifest.model_file) == ("Tiny", "model.tiny")
        assert compressed.evaluation is not None
        assert compressed.evaluation.source is not None
        assert compressed.evaluation.source.score == 1
        assert compressed.manifest.golden is not None
        assert (compressed.folder / "model.tiny").read_bytes() == (tmp_path / "given.tiny").read_bytes()

    def test_a_step_for_onnx_refuses_it_by_name(self, compress: Callable[..., pipeline.Compressed]) -> None:
        with pytest.raises(Stalled, match="QuantizeDynamic takes ONNX, and the model is TinyLinear there"):
            compress({"name": "q", "type": "QuantizeDynamic"})

    def test_what_the_runtime_cannot_load_is_a_fault_of_the_source(
        self, compress: Callable[..., pipeline.Compressed], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tiny, "write", lambda path, _: (path.write_bytes(b"{}\n"), path)[1])
        with pytest.raises(Stalled, match=r"^source: the runtime Tiny cannot load it: no tiny model") as caught:
            compress()
        assert caught.value.reason == reasons.SOURCE_INVALID
