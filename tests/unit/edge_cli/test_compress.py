"""The command ``edgemodel compress``, which compresses into a folder as the Job would."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edge_cli import compress
from edge_cli.manifest import complete_edge_model
from edge_cli.verb import command_parser
from edgemodel.artifact import ArtifactManifest
from edgemodel.compression_request import parse_request
from edgemodel.compressor_facts import SOURCE_FORMATS
from edgemodel.digest import digest_of_file
from edgemodel.spec import parse_spec
from tests.support import manifests
from tests.unit.edge_cli.commands import ROOT, edgemodel, run
from tests.unit.edge_compressor import models
from tests.unit.edge_compressor.conftest import Files
from tests.unit.edge_compressor.servers import FileServer, file_server

STEPS = """
- {name: clean, type: CleanGraph}
- {name: int8, type: QuantizeStatic, quantizeStatic: {calibrationSamples: 32}}
"""


@pytest.mark.slow
def test_a_model_is_compressed_end_to_end(residual: Files, tmp_path: Path) -> None:
    (tmp_path / "steps.yaml").write_text(STEPS)
    done = edgemodel(
        "compress",
        *("--source", residual.model, "--steps", "steps.yaml"),
        *("--calibration", residual.calibration, "--evaluation", residual.evaluation),
        *("--budget", "maxAccuracyDropPercent=10", "--budget", "maxSizeBytes=13000", "--output", "out"),
        folder=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    out = tmp_path / "out"
    assert sorted(file.name for file in out.iterdir()) == [
        "golden.npz", "manifest.json", "model.onnx", "report.html", "report.md",
    ]  # fmt: skip
    manifest = ArtifactManifest.decode((out / "manifest.json").read_bytes())
    assert manifest.artifact_digest == digest_of_file(out / "model.onnx")
    assert manifest.model == "residual"
    assert manifest.evidence["evaluation"]["artifact"]["accuracy"] >= 0.85
    assert "| Pass | maxAccuracyDropPercent | accuracy drops" in done.stdout
    assert "s] step int8 done" in done.stderr


@pytest.mark.slow
def test_no_steps_give_the_source_back_bit_for_bit(residual: Files, tmp_path: Path) -> None:
    (tmp_path / "steps.json").write_text("[]")
    done = edgemodel(
        "compress", "--source", residual.model, "--steps", "steps.json", "--output", "out", folder=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "model.onnx").read_bytes() == residual.model.read_bytes()


def manifest_file(folder: Path, files: Files, server: FileServer) -> Path:
    """Writes a manifest as a cluster accepts it; its files come from ``server``."""

    def source(path: Path) -> dict[str, str]:
        return {"uri": server.serve(f"/{path.name}", path.read_bytes()), "digest": digest_of_file(path)}

    spec = {
        "source": source(files.model),
        "datasets": {"calibration": source(files.calibration), "evaluation": source(files.evaluation)},
        "compression": {
            "steps": [{"name": "int8", "type": "QuantizeStatic"}],
            "budget": {"maxAccuracyDropPercent": "10"},
        },
        "placement": {"nodeSelector": {"edge": "camera"}},
        "variants": [{"name": "plain", "nodeSelector": {"a": "b"}, "compression": {"steps": []}}],
    }
    manifest = {
        "apiVersion": "edgemodel.io/v1alpha1",
        "kind": "EdgeModel",
        "metadata": {"name": "defects"},
        "spec": spec,
    }
    (folder / "edgemodel.json").write_text(json.dumps(manifest))
    return folder / "edgemodel.json"


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as running:
        yield running


def test_a_manifest_needs_no_other_options_and_a_variant_has_its_own_steps(
    residual: Files, server: FileServer, tmp_path: Path
) -> None:
    file = manifest_file(tmp_path, residual, server)
    assert run("compress", "-f", file, "--output", tmp_path / "int8") == 0
    assert run("compress", "-f", file, "--variant", "plain", "--output", tmp_path / "plain") == 0
    made = [ArtifactManifest.decode((tmp_path / name / "manifest.json").read_bytes()) for name in ("int8", "plain")]
    assert [(manifest.model, manifest.variant) for manifest in made] == [
        ("defects", "default"),
        ("defects", "plain"),
    ]
    assert [len(manifest.evidence["steps"]) for manifest in made] == [1, 0]
    assert run("compress", "-f", file, "--variant", "other", "--output", tmp_path / "other") == 2


@pytest.mark.slow
def test_the_fingerprint_is_the_one_that_the_operator_makes_of_what_the_api_server_stores(
    residual: Files, server: FileServer, tmp_path: Path
) -> None:
    """In the cluster one Job makes all variants; here they are made one by one, with the same fingerprint."""
    file = manifest_file(tmp_path, residual, server)
    manifest = json.loads(file.read_text())
    manifest["spec"]["compression"]["steps"] = [{"name": "int8", "type": "QuantizeStatic", "quantizeStatic": {}}]
    file.write_text(json.dumps(manifest))
    stored = complete_edge_model(manifest, "m")["spec"]
    for variant in ("default", "plain"):
        assert run("compress", "-f", file, "--variant", variant, "--output", tmp_path / variant) == 0
        made = ArtifactManifest.decode((tmp_path / variant / "manifest.json").read_bytes())
        assert made.fingerprint == parse_request(stored).fingerprint == parse_request(manifest["spec"]).fingerprint


def test_the_request_of_a_manifest_is_the_operators_whatever_it_holds(tmp_path: Path) -> None:
    parser = command_parser("edgemodel", "", [compress.VERB])
    for path in sorted((ROOT / "tests" / "contract" / "manifests" / "good").glob("*.yaml")):
        manifest = manifests.read(path.read_text())
        if manifest["kind"] != "EdgeModel":
            continue
        wanted = parse_spec(complete_edge_model(manifest, path.name)["spec"]).request
        if not SOURCE_FORMATS[wanted.source.expected_format].is_model:
            continue  # a converter runs in the cluster alone
        options = parser.parse_args(["compress", "-f", str(path), "--output", str(tmp_path / "out")])
        assert compress.read_request(options) == (wanted, manifest["metadata"]["name"], "default"), path.name


def test_a_manifest_that_the_api_server_refuses_is_refused_before_anything_is_fetched(
    residual: Files, server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = manifest_file(tmp_path, residual, server)
    file.write_text(file.read_text().replace('"budget"', '"bugdet"').replace('"10"', "10"))
    assert run("compress", "-f", file, "--output", tmp_path / "out") == 2
    assert capsys.readouterr().err == f"edgemodel: {file}: spec.compression.bugdet is no field; did you mean budget?\n"
    assert server.requests == []


def test_the_edge_model_is_found_among_other_documents_which_are_named(
    residual: Files, server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = manifest_file(tmp_path, residual, server)
    other = json.loads(file.read_text()) | {"metadata": {"name": "other"}}
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: vision}\n"
    (tmp_path / "all.yaml").write_text("---\n".join((namespace, file.read_text() + "\n", json.dumps(other) + "\n")))
    order = ("compress", "-f", tmp_path / "all.yaml", "--variant", "plain", "--output", tmp_path / "out")
    assert run(*order) == 2
    assert "more than one EdgeModel, defects, other: choose one by --name" in capsys.readouterr().err
    assert run(*order, "--name", "other") == 0
    assert "only EdgeModel other is read, not Namespace vision, EdgeModel defects\n" in capsys.readouterr().err
    assert ArtifactManifest.decode((tmp_path / "out" / "manifest.json").read_bytes()).model == "other"


@pytest.mark.slow
def test_a_missed_budget_leaves_the_report_and_no_model(
    residual: Files, server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = manifest_file(tmp_path, residual, server)
    assert run("compress", "-f", file, "--budget", "maxSizeBytes=100", "--output", tmp_path / "out") == 3
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.html", "report.md"]
    assert "BudgetExceeded: size " in capsys.readouterr().err


@pytest.mark.slow
def test_a_folder_that_is_not_empty_is_overwritten_only_on_request(residual: Files, tmp_path: Path) -> None:
    (tmp_path / "steps.json").write_text("[]")
    order = ("compress", "--source", residual.model, "--steps", tmp_path / "steps.json", "--output", tmp_path / "out")
    assert run(*order) == 0
    assert run(*order) == 2
    assert run(*order, "--overwrite") == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    assert run(*order[:-1], tmp_path / "mine", "--overwrite") == 2
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_a_folder_with_other_files_beside_an_artifact_is_not_overwritten(
    residual: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "steps.json").write_text("[]")
    for name in ("report.md", "model.onnx", "thesis.txt"):
        (tmp_path / "mine").mkdir(exist_ok=True)
        (tmp_path / "mine" / name).write_text("years of work")
    order = ("compress", "--source", residual.model, "--steps", tmp_path / "steps.json", "--overwrite")
    assert run(*order, "--output", tmp_path / "mine") == 2
    assert "mine holds more than an artifact, so it is not overwritten: move thesis.txt" in capsys.readouterr().err
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == ["model.onnx", "report.md", "thesis.txt"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--steps", "steps.json"), "name a model"),
        (("--source", "m.onnx"), "name the steps"),
        (("--source", "m.onnx", "--steps", "gone.yaml"), "cannot be read"),
        (("--source", "m.onnx", "--steps", "text.yaml"), "want a list of steps"),
        (("--source", "m.onnx", "--steps", "broken.yaml"), "neither JSON nor YAML"),
        (("--source", "m.onnx", "--steps", "steps.json", "--budget", "5"), "want KEY=VALUE"),
        (("--source", "m.onnx", "--steps", "steps.json", "--golden-items", "-1"), "--golden-items is -1"),
        (
            ("--source", "m.onnx", "--steps", "steps.json", "--budget", "maxSizeBytes=1", "--budget", "maxSizeBytes=2"),
            "--budget is given twice for maxSizeBytes",
        ),
        (
            ("--source", "m.onnx", "--steps", "steps.json", "--stateful-input", "a=b", "--stateful-input", "a=c"),
            "--stateful-input is given twice for a",
        ),
        (("-f", "minimal.yaml", "--digest", "sha256:" + "0" * 64), "--digest belongs to --source"),
        (("-f", "minimal.yaml", "--format", "ONNX"), "--format belongs to --source"),
        (("-f", "steps.json"), "want a manifest of kind EdgeModel"),
    ],
)
def test_wrong_usage_is_explained_and_ends_with_exit_code_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    minimal = (ROOT / "tests" / "contract" / "manifests" / "good" / "minimal.yaml").read_text()
    files = {"steps.json": "[]", "text.yaml": "hello", "broken.yaml": "{a: [", "minimal.yaml": minimal}
    for name, text in files.items():
        Path(name).write_text(text)
    assert run("compress", *arguments, "--output", "out") == 2
    assert told in capsys.readouterr().err


def test_yaml_without_pyyaml_is_refused_with_the_cure_and_json_still_works(
    residual: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    (tmp_path / "steps.yaml").write_text(STEPS)
    order = ("compress", "--source", residual.model, "--output", tmp_path / "out", "--steps")
    assert run(*order, tmp_path / "steps.yaml") == 2
    assert "pip install pyyaml" in capsys.readouterr().err
    (tmp_path / "steps.json").write_text("[]")
    assert run(*order, tmp_path / "steps.json") == 0


def test_the_action_for_a_limit_that_cannot_be_decided_is_given_as_one_word(
    residual: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "steps.json").write_text("[]")
    order = ("compress", "--source", residual.model, "--steps", tmp_path / "steps.json", "--output", tmp_path / "out")
    assert run(*order, "--budget", "onInconclusive=Proceed") == 0
    assert run(*order, "--overwrite", "--budget", "onInconclusive=Maybe") == 2
    told = '--budget: onInconclusive.action is "Maybe", want one of Stall, Proceed'
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("given", ["source", "manifest"])
def test_weights_are_not_compressed_locally_and_the_message_says_how_to_proceed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: str
) -> None:
    """No converter's image runs locally."""
    image = "registry.example/converters/maker@sha256:" + "a" * 64
    converter = {"image": image, "args": ["--text", "two words"], "writes": "ONNX"}
    source = {"uri": "https://files.example/m.safetensors", "format": "Safetensors", "converter": converter}
    spec = {"source": source, "placement": {"nodeSelector": {"edge": "camera"}}}
    head = {"apiVersion": "edgemodel.io/v1alpha1", "kind": "EdgeModel", "metadata": {"name": "defects"}}
    (tmp_path / "m.json").write_text(json.dumps({**head, "spec": spec}))
    options = {"source": ("--source", "/data/m.safetensors"), "manifest": ("-f", tmp_path / "m.json")}[given]
    assert run("compress", *options, "--output", tmp_path / "out") == 2
    told = capsys.readouterr().err
    assert (
        "m.safetensors holds weights alone, and the converter that makes a model of them is run in the cluster" in told
    )
    run_it, then = told.splitlines()[-2:]
    assert "-e EDGEMODEL_WEIGHTS=/exchange/m.safetensors -e EDGEMODEL_MODEL=/exchange/model." in run_it
    assert run_it.endswith(f"{image} --text 'two words'" if given == "manifest" else "model.pt2 IMAGE")
    assert then.strip() == f"edgemodel compress --source model.{'onnx' if given == 'manifest' else 'pt2'} …"


def test_data_that_no_step_reads_are_reported(
    perceptron: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "steps.json").write_text("[]")
    x = models.inputs_for(perceptron.model, 40)
    np.savez(tmp_path / "set.npz", x=x, label=models.answers(perceptron.model, x).argmax(1), camera=np.arange(3))
    given = ("--training", tmp_path / "set.npz", "--teacher", perceptron.model, "--evaluation", tmp_path / "set.npz")
    order = ("compress", "--source", perceptron.model, "--steps", tmp_path / "steps.json", "--tolerance", "0.5", *given)
    assert run(*order, "--output", tmp_path / "out") == 0
    told, report = capsys.readouterr().err, (tmp_path / "out" / "report.md").read_text()
    for said in (
        "the training set is not used: no step reads it",
        "the teacher is not used: no step distills",
        "evaluation set: not read, because the model has no such input: camera",
    ):
        assert said in told
        assert said in report
    assert "evaluation.tolerance is not used: task Classification has none" in report


def test_a_digest_on_the_command_line_is_checked(
    residual: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "steps.json").write_text("[]")
    wrong = "sha256:" + "0" * 64
    order = ("compress", "--source", residual.model, "--digest", wrong, "--steps", tmp_path / "steps.json")
    assert run(*order, "--output", tmp_path / "out") == 3
    assert "DigestMismatch" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_perceptron_is_quantized_dynamically_without_data(perceptron: Files, tmp_path: Path) -> None:
    (tmp_path / "steps.json").write_text('{"steps": [{"name": "d", "type": "QuantizeDynamic"}], "budget": {}}')
    order = ("compress", "--source", perceptron.model, "--steps", tmp_path / "steps.json", "--output", tmp_path / "out")
    assert run(*order) == 0
    x = models.inputs_for(perceptron.model, 100)
    before, after = models.answers(perceptron.model, x), models.answers(tmp_path / "out" / "model.onnx", x)
    assert float((np.argmax(before, 1) == np.argmax(after, 1)).mean()) >= 0.95


@pytest.mark.slow
def test_the_task_can_be_named_and_a_wrong_one_is_refused_before_anything_is_fetched(
    residual: Files, server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = json.loads(manifest_file(tmp_path, residual, server).read_text())
    manifest["spec"]["compression"]["evaluation"] = {"task": "Embedding"}
    (tmp_path / "edgemodel.json").write_text(json.dumps(manifest))
    order = ("compress", "-f", tmp_path / "edgemodel.json", "--output")
    assert run(*order, tmp_path / "vectors", "--budget", "maxAccuracyDropPercent=50") == 0
    assert run(*order, tmp_path / "classes", "--task", "Classification") == 0
    tasks = [
        ArtifactManifest.decode((tmp_path / name / "manifest.json").read_bytes()).evidence["evaluation"]["task"]
        for name in ("vectors", "classes")
    ]
    assert tasks == ["Embedding", "Classification"]
    manifest["spec"]["compression"]["evaluation"] = {"task": "Guess"}
    (tmp_path / "edgemodel.json").write_text(json.dumps(manifest))
    assert run(*order, tmp_path / "other") == 2
    assert 'spec.compression.evaluation.task is "Guess", want one of Auto, ' in capsys.readouterr().err


@pytest.mark.slow
def test_a_model_with_a_state_is_compressed_along_sequences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = models.recurrent(tmp_path / "voice.onnx")
    single = models.stream(model, 60)
    sequences = {name: array.reshape(6, 10, *array.shape[1:]) for name, array in single.items() if name != "state"}
    np.savez(tmp_path / "evaluation.npz", **sequences)
    np.savez(tmp_path / "calibration.npz", **{name: a for name, a in sequences.items() if name != "label"})
    steps = tmp_path / "steps.json"
    steps.write_text(json.dumps([{"name": "int8", "type": "QuantizeStatic"}]))
    order: list[str | Path] = ["compress", "--source", model, "--steps", steps]
    order += ["--evaluation", tmp_path / "evaluation.npz", "--calibration", tmp_path / "calibration.npz"]
    order += ["--budget", "maxRelativeErrorPercent=100"]  # the weights are random, and errors add up along a sequence
    assert run(*order, "--output", tmp_path / "out", "--stateful-input", "state=next") == 0
    manifest = ArtifactManifest.decode((tmp_path / "out/manifest.json").read_bytes())
    assert manifest.evidence["evaluation"]["task"] == "Sequence"
    assert manifest.evidence["datasets"]["evaluation"]["steps"] == 10
    assert manifest.golden is not None
    capsys.readouterr()
    assert run(*order, "--output", tmp_path / "other", "--stateful-input", "state=nothing") == 3
    assert "the model has no output 'nothing'" in capsys.readouterr().err
    assert run(*order, "--output", tmp_path / "other", "--stateful-input", "state") == 2
    assert "want INPUT=OUTPUT" in capsys.readouterr().err
