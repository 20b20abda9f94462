"""Other quantizers with their own defaults, on the models that Auto is measured on.

Each is installed from PyPI into its own environment, gets the model and the calibration set as feeds of one sample, and
returns a model, or the reason why there is none.
"""

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from edge_compressor.datasets import Dataset
from edge_compressor.evaluation.golden_set import sample_feeds
from edge_compressor.models.onnx_model import OnnxModel
from tests.bench.environments import environment

ROOT = Path(__file__).resolve().parents[2]
PEERS: dict[str, tuple[str, list[str]]] = {
    "NNCF": ("nncf", ["nncf==3.4.0", "onnx", "onnxruntime"]),
    "Neural Compressor": (
        "neural_compressor",
        ["neural-compressor==2.6", "onnx==1.16.2", "onnxruntime==1.18.1", "onnxruntime-extensions", "numpy<2", "six"],
    ),
    "Olive": ("olive", ["olive-ai==0.13.0", "onnx", "onnxruntime", "requests"]),
}
"""The interpreter and the requirements of each quantizer. Later versions of Neural Compressor do not support ONNX. Two
packages do not declare all that they need: six, requests. Olive installs torch with 6 GB of libraries for GPUs."""
FEEDS = 128
LIMIT_SECONDS = 900


def quantize(peer: str, model: OnnxModel, calibration: Dataset, folder: Path) -> Path:
    """Returns the model that ``peer`` makes in ``folder``. Raises RuntimeError with the end of its output."""
    name, requirements = PEERS[peer]
    feeds: dict[str, Any] = {}
    for number, feed in enumerate(sample_feeds(model, calibration, FEEDS) or ()):
        feeds |= {f"{number:04}/{key}": array for key, array in feed.items()}
    folder.mkdir()
    np.savez(folder / "feeds.npz", allow_pickle=False, **feeds)
    made = folder / "made.onnx"
    script = ROOT / f"tests/bench/quantizers/{name}_default.py"
    told = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    told |= {"OLIVE_DISABLE_TELEMETRY": "1", "ORT_DISABLE_TELEMETRY": "1"}
    try:
        done = subprocess.run(
            [environment(name, requirements), script, model.path, folder / "feeds.npz", made],
            cwd=folder, env=told, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=LIMIT_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"no model after {LIMIT_SECONDS} s") from None
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"it cannot be installed: {error}") from error
    if done.returncode or not made.exists():
        last = [line.strip() for line in done.stdout.splitlines() if line.strip()][-1:]
        raise RuntimeError(last[0][:200] if last else f"exit code {done.returncode}")
    return made
