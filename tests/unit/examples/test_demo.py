"""The demo's own environment suffices for it."""

import os
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

from tests.unit.edge_oci.conftest import registry

__all__ = ["registry"]

ROOT = Path(__file__).resolve().parents[3]
_PUSH = """
import charts.images.build
from examples import demo
site = demo.Site("kubeconfig", "", "{host}/edgemodel", "registry.lab:5000/edgemodel", True, True)
print(*demo.push_example(site, demo.MODEL, *(demo.EXAMPLE / name for name in demo.FILES)).values())
"""


def test_the_demo_needs_only_the_packages_that_make_demo_installs(registry: str, tmp_path: Path) -> None:
    (lock,) = re.findall(r"\.ci/setup \S+ \$\(DEMO_VENV\) (\w+)", (ROOT / "Makefile").read_text())
    requirements = (ROOT / f".ci/locks/{lock}.txt").read_text()
    for requirement in re.findall(r"^([\w.-]+)==", requirements, re.MULTILINE):
        for file in distribution(requirement).files or ():
            top = file.parts[0]
            if top != ".." and not (tmp_path / top).exists():
                (tmp_path / top).symlink_to(file.locate().parents[len(file.parts) - 1] / top)
    path = os.pathsep.join(map(str, (tmp_path, ROOT, ROOT / "operator")))
    # Without -S, Python would find the packages of the environment that the tests run in.
    words = [sys.executable, "-S", "-c", _PUSH.format(host=registry)]
    done = subprocess.run(words, env={**os.environ, "PYTHONPATH": path}, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("oci://registry.lab:5000/examples/fashion-mnist/") == 3
