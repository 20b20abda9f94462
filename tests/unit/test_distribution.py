"""A wheel, as ``pip install .`` makes it, has every module of ours, and every file that one reads beside itself."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = sorted(path.parent for path in (*ROOT.glob("operator/*/__init__.py"), ROOT / "inference_server/__init__.py"))
DATA = {"edge_cli/manifest/schema.json"}
"""The files that are no modules."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Builds the wheel from what git tracks, as from a fresh checkout, and without the network."""
    tree, made = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.split(b"\0")
    for name in (Path(item.decode()) for item in names if item):
        if name.parts[0] in ("operator", "inference_server") or len(name.parts) == 1:
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes((ROOT / name).read_bytes())
    build = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", made, tree]
    subprocess.run([sys.executable, "-m", "pip", "wheel", *build], check=True)
    (found,) = made.glob("edgemodel-*.whl")
    return found


def test_a_wheel_has_every_module_of_the_tree(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    modules = {str(path.relative_to(package.parent)) for package in PACKAGES for path in package.rglob("*.py")}
    assert held == modules | DATA


@pytest.mark.slow
def test_what_is_installed_imports_every_module_of_the_command(wheel: Path, tmp_path: Path) -> None:
    """Nothing of the checkout is on the path."""
    where = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(where)
    lines = "import edge_compressor.pipeline, edge_compressor.job.main, edge_cli.compress, edge_operator.decide"
    shown = "import edge_compressor as one; print(one.__file__)"
    command = [sys.executable, "-c", f"import sys; sys.path[:] = [{str(where)!r}, *sys.path[1:]]; {lines}; {shown}"]
    done = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(where)
