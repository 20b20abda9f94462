"""The image omits parts of the wheels, which the server must not need."""

import subprocess
import sys

import pytest

from tests.unit.inference_server.processes import REPOSITORY

LEFT_OUT = (
    "onnxruntime.tools",
    "onnxruntime.transformers",
    "onnxruntime.quantization",
    "onnxruntime.datasets",
    "numpy.typing",
    "numpy.testing",
    "numpy.f2py",
    "torch",
    "kopf",
    "kubernetes",
    "onnx",
)


@pytest.mark.parametrize("module", ["inference_server.__main__", "inference_server.preflight"])
def test_it_starts_without_what_the_image_leaves_out(module: str) -> None:
    program = f"import sys; sys.modules.update(dict.fromkeys({LEFT_OUT!r})); import {module}"
    path = f"{REPOSITORY / 'operator'}:{REPOSITORY}"
    subprocess.run([sys.executable, "-c", program], check=True, env={"PYTHONPATH": path}, timeout=60)
