"""The help of both commands, and the few libraries that they need to start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.edge_cli.commands import edgemodel


@pytest.mark.parametrize("arguments", [("--help",), ("compress", "--help"), ("push", "--help"), ("report", "--help")])
@pytest.mark.slow
def test_each_verb_has_help_with_an_example(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = edgemodel(*arguments, folder=tmp_path)
    assert done.returncode == 0
    assert "oci://" in done.stdout


def test_the_commands_import_only_the_shared_words_and_the_standard_library_when_they_start() -> None:
    probe = "import sys, edge_cli.main, edge_cli.kubectl_plugin; print(*sys.modules)"
    environment = os.environ | {"PYTHONPATH": "operator"}
    done = subprocess.run([sys.executable, "-c", probe], env=environment, capture_output=True, text=True, check=True)
    packages = {name.partition(".")[0] for name in done.stdout.split()}
    heavy = {"aiohttp", "kopf", "kubernetes", "numpy", "onnx", "onnxruntime", "torch", "urllib3", "yaml"}
    ours = {"edge_compressor", "edge_oci", "edge_operator", "inference_server"}
    assert {"edge_cli", "edgemodel"} <= packages
    assert not packages & (heavy | ours)
