"""The registry and Prometheus accept the configurations that the chart gives them."""

import shutil
import subprocess
from pathlib import Path

import pytest
import urllib3

from tests.support import registry
from tests.unit.chart import registry_program, rendering

pytestmark = pytest.mark.lab_programs


def test_what_nodes_pull_from_is_read_only(folder: Path) -> None:
    http = urllib3.PoolManager(retries=False)
    with registry_program.serve(folder, "pull.yml", {}) as url:
        assert http.request("GET", f"{url}/").status == 200
        assert http.request("GET", f"{url}/v2/").status == 200
        assert http.request("POST", f"{url}/v2/vision/defects/blobs/uploads/").status == 405
        assert http.request("DELETE", f"{url}/v2/vision/defects/manifests/sha256:{'0' * 64}").status == 405


def test_garbage_collection_of_an_empty_volume_succeeds_once_the_folders_are_there(folder: Path) -> None:
    deployment = rendering.named(rendering.render(), "Deployment", "em-registry")
    folders, collect = deployment["spec"]["template"]["spec"]["initContainers"]
    program, *arguments = folders["command"]
    assert program == "python3"
    script = [argument.replace(registry_program.DATA, str(folder)) for argument in arguments]
    command, configuration = collect["args"]
    file = registry_program.configuration(folder, Path(configuration).name, {})

    for _ in range(2):  # a restart finds the folders already there
        subprocess.run([shutil.which("python3") or "", *script], check=True)
        subprocess.run([registry.program(), command, file], check=True, capture_output=True)


def test_prometheus_accepts_its_configuration(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing: apt-get install --no-install-recommends prometheus"
    data = rendering.named(rendering.render(), "ConfigMap", "em-prometheus")["data"]
    file = tmp_path / "prometheus.yml"
    file.write_text(data["prometheus.yml"])
    done = subprocess.run([promtool, "check", "config", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
