"""Peak memory of a compression, by steps, on generated models of the sizes of BERT and of a small language model."""

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from onnx import TensorProto, helper

from edge_compressor.progress import Progress
from tests.bench.language_processes import tree
from tests.bench.language_ratios import exact

ROOT: Final = Path(__file__).resolve().parents[2]
SMALL: Final = "439 MB"
LARGE: Final = "4.4 GB"
MATRICES: Final = {SMALL: 13, LARGE: 131}
"""The matrices of each model, of 33.6 MB each."""
ROWS, COLUMNS = 2048, 4096
STEPS: Final[dict[str, tuple[str, ...]]] = {
    SMALL: ("none", "QuantizeWeights", "QuantizeDynamic", "QuantizeStatic", "FP16Weights"),
    LARGE: ("none", "QuantizeWeights"),
}
SMALL_GOAL: Final = 1.6
LARGE_GOAL, LARGE_BASE_BYTES = 0.6, 10**9


@dataclass(frozen=True)
class Peak:
    """The peak of one compression."""

    model: str
    steps: str
    source_bytes: int
    peak_bytes: int
    """The largest resident memory of all its processes together."""
    processor_seconds: float


def run(
    models: Any, folder: Path, options: argparse.Namespace, progress: Progress
) -> tuple[list[dict[str, Any]], list[Peak]]:
    """Returns the (targets, runs)."""
    runs, targets = [], []
    for model in [SMALL] if options.quick else [SMALL, LARGE]:
        source = folder / "source"
        size = _write(source, MATRICES[model])
        for steps in STEPS[model][:2] if options.quick else STEPS[model]:
            progress.say(f"peak of {model}, {steps}")
            found = _compress(model, steps, source, size, folder)
            runs.append(found)
            if model == SMALL:
                value, goal = found.peak_bytes / size, SMALL_GOAL
            else:
                value, goal = (found.peak_bytes - LARGE_BASE_BYTES) / size, LARGE_GOAL
            beside = "" if model == SMALL else ", without 1 GB"
            targets.append(exact(f"peak of compress, {model}, {steps}, to the source{beside}", value, goal, "x"))
        shutil.rmtree(source)
    return targets, runs


def _write(folder: Path, matrices: int) -> int:
    """Writes a model of ``matrices`` products, with its weights in a file of their own and data to calibrate with, and
    returns the size of the weights in bytes."""
    folder.mkdir()
    random = np.random.default_rng(0)
    values = (random.standard_normal(ROWS * COLUMNS, dtype=np.float32) * 0.02).astype(np.float32)
    nodes, stored, name = [], [], "x"
    with (folder / "model.onnx.data").open("wb") as data:
        for number in range(matrices):
            shape = (ROWS, COLUMNS) if number % 2 == 0 else (COLUMNS, ROWS)
            tensor = TensorProto(name=f"w{number}", data_type=TensorProto.FLOAT, dims=shape)
            tensor.data_location = TensorProto.EXTERNAL
            places = {"location": "model.onnx.data", "offset": str(data.tell()), "length": str(values.nbytes)}
            for key, value in places.items():
                tensor.external_data.add(key=key, value=value)
            data.write(np.roll(values, 7919 * number).data)
            stored.append(tensor)
            nodes.append(helper.make_node("MatMul", [name, f"w{number}"], [f"p{number}"], name=f"product{number}"))
            name = f"t{number}" if number + 1 < matrices else "y"
            nodes.append(helper.make_node("Tanh", [f"p{number}"], [name], name=f"tanh{number}"))
    width = COLUMNS if matrices % 2 else ROWS
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", ROWS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", width])],
        stored,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    np.savez(folder.parent / "typical.npz", x=random.standard_normal((8, ROWS), dtype=np.float32))
    return matrices * values.nbytes


def _steps(kind: str) -> list[dict[str, Any]]:
    if kind == "none":
        return []
    if kind == "FP16Weights":
        return [{"name": "fp16", "type": "Convert", "convert": {"precision": kind}}]
    return [{"name": "quantize", "type": kind}]


def _compress(model: str, steps: str, source: Path, size: int, folder: Path) -> Peak:
    """Runs ``edgemodel compress`` in a process of its own. Raises RuntimeError with the end of what it says."""
    listed, out, log = folder / "steps.yaml", folder / "out", folder / "log"
    listed.write_text(json.dumps({"steps": _steps(steps)}))
    command = [
        sys.executable, "-m", "edge_cli.main", "compress", "--source", source, "--steps", listed, "--output", out,
        "--overwrite", "--golden-items", "0",
    ]  # fmt: skip
    if steps == "QuantizeStatic":
        command += ["--calibration", folder / "typical.npz"]
    variables = {**os.environ, "PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}", "TMPDIR": str(folder)}
    with log.open("wb") as said:
        process = subprocess.Popen(list(map(str, command)), env=variables, stdout=said, stderr=said, cwd=folder)
        peak = 0
        while (ended := os.wait4(process.pid, os.WNOHANG))[0] == 0:
            peak = max(peak, _resident(process.pid))
            time.sleep(0.05)
    _, status, usage = ended
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"{model}, {steps}: {log.read_text()[-2000:]}")
    shutil.rmtree(out)
    seconds = usage.ru_utime + usage.ru_stime
    return Peak(model, steps, size, max(peak, usage.ru_maxrss * 1024), seconds)


def _resident(root: int) -> int:
    """Returns the resident memory of a process and its descendants; pages that they share count once for each."""
    total = 0
    for pid in tree(root):
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total
