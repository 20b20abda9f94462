"""The report of a benchmark whose parts are run one by one: a run of some keeps the file's results of the others."""

import json
import os
import platform
from pathlib import Path
from typing import Any

import onnxruntime

from edge_compressor.models import runtime


def write_parts(report: Path, parts: dict[str, Any]) -> None:
    """Writes the figures of all parts to ``report``, with the machine that they are from."""
    hardware = runtime.hardware()
    sets = ", ".join(hardware["instructionSets"])
    whole = {
        "targets": [item for part in parts.values() for item in part["targets"]],
        "machine": f"{platform.machine()}, {hardware['processor']} ({sets}), {os.cpu_count()} processors, "
        f"onnxruntime {onnxruntime.__version__}",
        "runs": [run for part in parts.values() for run in part["runs"]],
        "parts": parts,
    }
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps(whole, indent=1))
