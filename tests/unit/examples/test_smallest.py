"""The manifest ``smallest.yaml`` as its README describes it, on an untrained network and few images: the recipe, not
its results."""

import json
from pathlib import Path

import numpy as np
import pytest

from edge_cli import main as cli
from edgemodel.names import MANIFEST_FILE

from .conftest import EXAMPLES, load_script

pytestmark = pytest.mark.slow

FOLDER = EXAMPLES / "fashion-mnist"


def test_the_recipe_makes_the_network_many_times_smaller(tmp_path: Path) -> None:
    train, data = load_script(FOLDER / "train.py"), load_script(FOLDER / "make_data.py")
    train.export_program(train.Network(), tmp_path / "program.pt2")
    with np.load(FOLDER / "evaluation.npz") as arrays:
        few = {name: arrays[name][:512] for name in arrays.files}
    data.write_npz(tmp_path / "training.npz", **few)
    manifest = tmp_path / "smallest.yaml"
    text = (FOLDER / "smallest.yaml").read_text()
    assert "epochs: 16" in text
    manifest.write_text(text.replace("epochs: 16", "epochs: 1"))
    files = {"source": tmp_path / "program.pt2", "training": tmp_path / "training.npz"}
    files |= {use: FOLDER / f"{use}.npz" for use in ("calibration", "evaluation")}
    given = [word for use, file in files.items() for word in (f"--{use}", str(file))]
    anything = ["--budget", "maxAccuracyDropPercent=100", "--budget", "onInconclusive=Proceed"]
    assert cli.main(["compress", "-f", str(manifest), *given, *anything, "--output", str(tmp_path / "made")]) == 0
    evidence = json.loads((tmp_path / "made" / MANIFEST_FILE).read_text())
    assert [step["type"] for step in evidence["steps"]] == ["PruneChannels", "Distill", "ClusterWeights"]
    assert evidence["source"]["transferBytes"] > 15 * evidence["artifact"]["transferBytes"]
