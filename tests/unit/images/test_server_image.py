"""The server does its work without the modules that its image lacks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from charts.images.building import ROOT
from charts.images.catalogue import SERVER
from edge_compressor.models.onnx_model import check_model
from tests.support import tiny_models
from tests.unit.edge_runtime.artifacts import write_artifact

PROGRAM = """
import sys
from pathlib import Path

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in LACKING:
            raise ModuleNotFoundError(f"the image has no {name}", name=name)

LACKING = set(sys.argv[2].split(","))
sys.meta_path.insert(0, Missing())
from edge_runtime.tuning import Tuning
from inference_server.models.loading import PreparedModel, prepare, read_manifest
prepared = prepare(Path(sys.argv[1]), read_manifest(Path(sys.argv[1])), Tuning())
assert isinstance(prepared, PreparedModel), prepared
assert prepared.golden.agree == prepared.golden.items, prepared.golden
"""


def lacking() -> set[str]:
    """Returns the names of the Python modules that are pruned from the packages of the image."""
    paths = [path for wheels in SERVER.wheels for some in wheels.pruned.values() for path in some]
    return {path.removesuffix(".py").replace("/", ".") for path in paths if "*" not in path}


@pytest.mark.parametrize(("agreement", "outputs"), [("Argmax", 4), ("Close", 4), ("Close", 64)])
@pytest.mark.slow
def test_the_golden_set_is_answered_with_what_the_image_has(agreement: str, outputs: int, tmp_path: Path) -> None:
    """Many outputs are compared with one another, which few are not."""
    model = check_model(tiny_models.mlp(tmp_path / "model.onnx", outputs=outputs))
    x = np.random.default_rng(1).standard_normal((64, tiny_models.FEATURES)).astype(np.float32)
    artifact = write_artifact(model, tmp_path, x=x)
    manifest = json.loads((artifact / "manifest.json").read_text())
    manifest["golden"]["agreement"] = agreement
    (artifact / "manifest.json").write_text(json.dumps(manifest))
    modules = lacking()
    assert {"numpy.ma", "numpy.random"} <= modules
    argv = [sys.executable, "-c", PROGRAM, str(artifact), ",".join(sorted(modules))]
    path = {"PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}"}
    done = subprocess.run(argv, env=path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
