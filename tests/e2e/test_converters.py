"""Weights that a user's converter turns into a model, in an image of its own."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgemodel import reasons
from edgemodel.digest import digest_of_file
from examples.lab.site import ROOT
from tests.support import weights
from tests.support.converter_images import CONVERTERS, push_converter
from tests.support.edge_models import Workspace
from tests.support.page_reader import reading

EXAMPLE = ROOT / "examples" / "fashion-mnist"
SECONDS = 420


def source_of(work: Workspace, file: Path, image: str, **more: Any) -> dict[str, Any]:
    uri = work.publish(file)[file.stem]
    return {"uri": uri, "format": "Safetensors", "converter": {"image": image, **more}}


def written(work: Workspace, text: str) -> Path:
    """Writes a converter of these lines."""
    script = work.folder / "converter.py"
    script.write_text(text)
    return script


@pytest.fixture
def few(work: Workspace) -> Path:
    """Writes weights that no network of the example has."""
    return weights.write(work.folder / "few.safetensors", w=np.ones(3, np.float32))


def test_weights_and_a_converter_of_the_readers_own_are_quantized_and_served(work: Workspace) -> None:
    image = push_converter(work.site, f"{CONVERTERS}/maker", EXAMPLE / "maker.py", work.folder)
    with reading(work) as reader:
        reader.pushed = {"maker": image, **work.publish(EXAMPLE / "calibration.npz", EXAMPLE / "evaluation.npz")}
        reader.read("docs/tutorials/own-converter.md", seconds=SECONDS)
    model = work.get("from-weights")
    (artifact,) = model["status"]["artifacts"]
    assert artifact["sizeBytes"] < artifact["sourceSizeBytes"] / 3
    assert float(artifact["sourceAccuracy"]) == pytest.approx(0.9318, abs=0.002)
    assert len(work.pods("from-weights")) == 2

    told = [seen.condition("Reconciling").get("message", "") for seen in work.recorder.seen]
    assert any(f"running the converter {image}" in message for message in told)
    revision = work.site.get("edgemodelrevision", model["status"]["stableRevision"], "-n", work.namespace)
    converter = revision["spec"]["source"]["converter"]
    assert (converter["image"], converter["args"], converter["writes"]) == (image, [], "ExportedProgram")
    assert converter["digest"].startswith("sha256:")
    weights_digest = digest_of_file(work.folder / "checkout" / "examples" / "fashion-mnist" / "weights.safetensors")
    assert converter["digest"] != weights_digest


LOOK = """
import json, os, pathlib, sys

def writable(path):
    try:
        (pathlib.Path(path) / "try").write_text("x")
    except OSError as error:
        return error.strerror
    return "yes"

seen = {
    "user": os.getuid(),
    "arguments": sys.argv[1:],
    "in": sorted(os.listdir("/exchange/in")),
    "secrets": os.path.exists("/var/run/secrets"),
    "claims": os.path.exists("/claims"),
    "work": os.path.exists("/work"),
    "input": "EDGEMODEL_JOB_INPUT" in os.environ,
    "writable": {path: writable(path) for path in ("/", "/exchange/in", "/exchange/out", "/tmp")},
}
sys.exit(json.dumps(seen))
"""


def test_a_converter_sees_its_files_and_nothing_of_the_cluster(work: Workspace, few: Path) -> None:
    """It ends with a list of what it saw, which the condition then shows."""
    image = push_converter(work.site, f"{CONVERTERS}/look", written(work, LOOK), work.folder)
    work.apply(source=source_of(work, few, image, args=["--of", "$(EDGEMODEL_WEIGHTS)"]))
    message = work.stalled(reasons.CONVERTER_FAILED, seconds=SECONDS)
    assert f"the converter {image} ended with exit code 1; its log ends: " in message
    seen = json.loads(message[message.index("{") :])
    assert seen == {
        "user": 65532,
        "arguments": ["--of", "/exchange/in/model.safetensors"],
        "in": ["fetched.json", "model.safetensors"],
        "secrets": False,
        "claims": False,
        "work": False,
        "input": False,
        "writable": {
            "/": "Read-only file system",
            "/exchange/in": "Read-only file system",
            "/exchange/out": "yes",
            "/tmp": "yes",
        },
    }


def test_a_converter_that_links_to_what_it_must_not_read_gets_nothing_out_of_it(work: Workspace, few: Path) -> None:
    script = written(work, 'import os; os.symlink("/var/run/secrets", os.environ["EDGEMODEL_MODEL"])')
    image = push_converter(work.site, f"{CONVERTERS}/link", script, work.folder)
    work.apply(source=source_of(work, few, image))
    message = work.stalled(reasons.CONVERTER_FAILED, seconds=SECONDS)
    assert "the converter: model.pt2 is a link, a folder or a device: it must write one file" in message


def test_an_image_that_the_chart_does_not_allow_never_runs(work: Workspace, few: Path) -> None:
    image = push_converter(work.site, "elsewhere/maker", written(work, "print('hello')"), work.folder)
    work.apply(source=source_of(work, few, image))
    message = work.stalled(reasons.CONVERTER_NOT_ALLOWED)
    assert f"{image} may not run here" in message
    assert f"operator.allowedConverterImages, which has {work.site.pull_from}/{CONVERTERS}/" in message
    assert work.site.get("jobs", "-n", work.namespace)["items"] == []


def test_damaged_weights_are_refused_before_the_converter_runs(work: Workspace) -> None:
    """The file is pushed under another name, because ``edgemodel push`` would have refused the weights too."""
    image = push_converter(work.site, f"{CONVERTERS}/idle", written(work, "print('hello')"), work.folder)
    file = work.folder / "set.npz"
    np.savez(file, w=np.ones(3, np.float32))
    work.apply(source=source_of(work, file, image))
    message = work.stalled(reasons.SOURCE_INVALID, seconds=SECONDS)
    assert "save the weights with safetensors.torch.save_file" in message
    pod = work.site.get("pods", "-n", work.namespace)["items"][0]
    states = {status["name"]: status["state"] for status in pod["status"]["initContainerStatuses"]}
    assert "waiting" in states["converter"]
