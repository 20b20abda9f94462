"""The command ``edgemodel``: every verb with damaged, odd, wrongly encoded and wrongly typed files and options."""

import json
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from edge_cli import main
from edge_compressor.registries import access
from edge_oci.transport import Patience
from tests.support.bad_input import damaged, mutated, odd_places, wrongly_encoded
from tests.support.bad_input_runs import Tries, share
from tests.unit.edge_compressor.models import Files

DOCUMENTED: Final = (0, 2, 3, 4)
MANIFEST: Final[dict[str, Any]] = {
    "apiVersion": "edgemodel.io/v1alpha1",
    "kind": "EdgeModel",
    "metadata": {"name": "m", "namespace": "vision"},
    "spec": {
        "source": {"uri": "MODEL", "format": "ONNX"},
        "datasets": {"calibration": {"uri": "CALIBRATION"}, "evaluation": {"uri": "EVALUATION"}},
        "compression": {
            "steps": [
                {"name": "clean", "type": "CleanGraph"},
                {"name": "int8", "type": "QuantizeStatic", "quantizeStatic": {"calibrationSamples": 32}},
            ],
            "budget": {"maxAccuracyDropPercent": "50", "onInconclusive": {"action": "Proceed"}},
        },
        "evaluation": {"task": "Classification"},
        "serving": {"port": 8080},
        "placement": {"nodeSelector": {"edge": "true"}},
    },
}


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortens waits, because the registry does not exist."""
    haste = Patience(tries=1, sleep=lambda _seconds: None)
    monkeypatch.setattr(access, "RegistryAccess", partial(access.RegistryAccess, patience=haste))


class Desk:
    """Runs the command in this process, in a folder of its own."""

    def __init__(self, folder: Path, tries: Tries) -> None:
        self.folder, self.tries, self.number = folder, tries, 0
        (folder / "config.json").write_text('{"auths": {}}')

    def run(self, about: str, *words: object) -> None:
        self.tries.call(about, lambda: main.main([str(word) for word in words]))

    def compress(self, about: str, *words: object) -> None:
        self.number += 1
        output = self.folder / f"out-{self.number}"
        self.run(about, "compress", *words, "--config", self.folder / "config.json", "--output", output)

    def file(self, name: str, data: bytes) -> Path:
        path = self.folder / name
        path.write_bytes(data)
        return path


def manifest_of(files: Files) -> dict[str, Any]:
    text = json.dumps(MANIFEST).replace("MODEL", str(files.model))
    text = text.replace("CALIBRATION", str(files.calibration)).replace("EVALUATION", str(files.evaluation))
    made: dict[str, Any] = json.loads(text)
    return made


def steps_file(folder: Path) -> Path:
    path = folder / "steps.json"
    path.write_text("[]")
    return path


def test_damaged_sources(perceptron: Files, tmp_path: Path) -> None:
    desk, steps = Desk(tmp_path, Tries("edgemodel compress: source", DOCUMENTED)), steps_file(tmp_path)
    for about, data in share(damaged(perceptron.model.read_bytes(), 60, "source")):
        desk.compress(about, "--source", desk.file("m.onnx", data), "--steps", steps)
    desk.tries.judge(60)


@pytest.mark.parametrize("use", ["calibration", "evaluation", "training", "unlabeled"])
def test_damaged_data_sets(use: str, perceptron: Files, tmp_path: Path) -> None:
    desk, steps = Desk(tmp_path, Tries(f"edgemodel compress: {use}", DOCUMENTED)), steps_file(tmp_path)
    for about, data in share(damaged(perceptron.evaluation.read_bytes(), 40, use)):
        file = desk.file("data.npz", data)
        desk.compress(about, "--source", perceptron.model, "--steps", steps, f"--{use}", file)
    desk.tries.judge(40)


def test_damaged_and_odd_files_of_steps_and_manifests(perceptron: Files, tmp_path: Path) -> None:
    desk, steps = Desk(tmp_path, Tries("edgemodel compress: files of steps", DOCUMENTED)), steps_file(tmp_path)
    text = yaml.safe_dump(manifest_of(perceptron), sort_keys=False)
    places = tmp_path / "places"
    places.mkdir()
    for about, data in share([*damaged(text.encode(), 60, "manifest"), *wrongly_encoded(text)]):
        desk.compress(f"manifest {about}", "-f", desk.file("m.yaml", data))
        desk.compress(f"steps {about}", "--source", perceptron.model, "--steps", desk.file("s.yaml", data))
    for about, path in share(odd_places(places)):
        desk.compress(f"manifest: {about}", "-f", path)
        desk.compress(f"steps: {about}", "--source", perceptron.model, "--steps", path)
        desk.compress(f"source: {about}", "--source", path, "--steps", steps)
        desk.compress(f"data: {about}", "--source", perceptron.model, "--steps", steps, "--evaluation", path)
        desk.compress(f"teacher: {about}", "--source", perceptron.model, "--steps", steps, "--teacher", path)
        desk.compress(f"checkpoints: {about}", "--source", perceptron.model, "--steps", steps, "--checkpoints", path)
        desk.run(f"push: {about}", "push", path, "oci://127.0.0.1:1/a/b", "--plain-http")
        desk.run(f"report: {about}", "report", path)
        desk.run(f"html: {about}", "report", places, "--html", path)
        desk.run(
            f"config: {about}", "push", perceptron.model, "oci://127.0.0.1:1/a/b", "--plain-http", "--config", path
        )
        desk.run(f"output: {about}", "compress", "--source", perceptron.model, "--steps", steps, "--output", path)
    desk.tries.judge(100)


def test_wrong_values_in_a_manifest(perceptron: Files, tmp_path: Path) -> None:
    desk = Desk(tmp_path, Tries("edgemodel compress: values of a manifest", DOCUMENTED))
    for about, value in share(mutated(manifest_of(perceptron), 150, "values")):
        desk.compress(about, "-f", desk.file("m.json", json.dumps(value).encode()))
    desk.tries.judge(150)
