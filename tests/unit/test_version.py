"""Every program tells the version of the project, which stands in three files."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from edge_operator.__main__ import main as operator
from edgemodel.version import VERSION

ROOT = Path(__file__).resolve().parents[2]


def test_package_chart_and_programs_have_one_version() -> None:
    chart = yaml.safe_load((ROOT / "charts" / "edgemodel" / "Chart.yaml").read_text())
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {chart["version"], chart["appVersion"], package["version"]} == {VERSION}
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)


@pytest.mark.parametrize(("module", "name"), [("main", "edgemodel"), ("kubectl_plugin", "kubectl edgemodel")])
def test_the_commands_print_it(module: str, name: str) -> None:
    command = [sys.executable, "-m", f"edge_cli.{module}", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT / "operator")
    assert done.stdout == f"{name} {VERSION}\n"


def test_the_operator_logs_it_first_with_the_images_in_use(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, value in {
        "OPERATOR_NAMESPACE": "edgemodel-system",
        "SERVER_IMAGE": "registry.example/server@sha256:1",
        "COMPRESSOR_IMAGE": "registry.example/compressor:1",
        "TRAINER_IMAGE": "registry.example/trainer:1",
        "REGISTRY_PUSH": "registry.example",
        "REGISTRY_PULL": "registry.example",
        "PROMETHEUS_URL": "http://prometheus.example",
    }.items():
        monkeypatch.setenv(f"EDGEMODEL_{name}", value)

    async def ends(_: object) -> int:
        return 0

    monkeypatch.setattr("edge_operator.__main__._main", ends)
    assert operator() == 0
    first = capfd.readouterr().err.splitlines()[0]
    images = "server registry.example/server@sha256:1, compressor registry.example/compressor:1, "
    assert first.endswith(f"edge_operator: version {VERSION}; images: {images}trainer registry.example/trainer:1")
