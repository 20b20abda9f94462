"""The contents of layers: the right packages, bytecode that needs no check, libraries that load, our own code."""

from __future__ import annotations

import ast
import importlib.util
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from charts.images import app_layer, building, bytecode, wheels
from charts.images.catalogue import COMPRESSOR, IMAGES, NAMED_LAYERS, TRAINER, Image, Wheels
from charts.images.progress import BuildError

_WHEELS = {what.lock: what for image in [*IMAGES.values(), *NAMED_LAYERS.values()] for what in image.wheels}.values()
_OURS = [image for image in IMAGES.values() if image.code]


@pytest.mark.parametrize("what", _WHEELS, ids=lambda what: what.lock)
def test_a_dropped_package_is_in_the_lock_and_is_not_installed(what: Wheels) -> None:
    lock = (building.LOCKS / f"{what.lock}.txt").read_text()
    dropped = [name for names in what.dropped.values() for name in names]
    left = wheels.requirements(what, building.LOCKS)
    assert all(f"\n{name}==" in f"\n{lock}" and f"\n{name}==" not in f"\n{left}" for name in dropped)
    assert lock.count("--hash") > left.count("--hash") > 0
    assert not left.startswith(" ")


def test_the_trainer_is_built_on_the_compressor_and_installs_nothing_of_it_again() -> None:
    *below, own = TRAINER.wheels
    assert (*below,) == COMPRESSOR.wheels
    left = wheels.requirements(own, building.LOCKS)
    assert "\ntorch==" in left
    for line in (building.LOCKS / "compressor.txt").read_text().splitlines():
        if "==" in line:
            assert line in (building.LOCKS / "trainer.txt").read_text(), "the same version in both"
            assert line not in left


def test_a_package_that_is_not_in_the_lock_cannot_be_dropped() -> None:
    with pytest.raises(ValueError, match="not in the lock file, so they need not be dropped: b"):
        wheels.without("a==1 \\\n    --hash=x\n", ["b"])


@pytest.mark.parametrize("image", _OURS, ids=lambda image: image.name)
def test_what_an_image_starts_is_in_it(image: Image) -> None:
    python, option, module = image.entrypoint
    assert (python, option) == ("/usr/bin/python3", "-m")
    files = app_layer.sources(building.ROOT, image.code)
    assert f"{module}/__main__.py" in files
    assert "edgemodel/names.py" in files
    assert not [name for name in files if "__pycache__" in name or name.startswith("operator/")]


@pytest.mark.parametrize("image", _OURS, ids=lambda image: image.name)
def test_an_image_has_every_package_of_ours_that_it_imports(image: Image) -> None:
    ours = {
        path.parent.name
        for path in [*building.ROOT.glob("operator/*/__init__.py"), *building.ROOT.glob("*/__init__.py")]
    }
    there = {Path(package).name for package in image.code}
    imported = {
        name.partition(".")[0]
        for path in app_layer.sources(building.ROOT, image.code).values()
        if path.suffix == ".py"
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _imported(node)
    }
    assert imported & ours <= there
    assert there <= imported, "nothing is there that nobody imports"


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []


@pytest.mark.parametrize("image", [image for image in _OURS if image.name != "operator"], ids=lambda image: image.name)
def test_onnxruntime_sends_no_telemetry(image: Image) -> None:
    assert image.environment["ORT_DISABLE_TELEMETRY"] == "1"


def test_the_code_layer_is_the_same_from_wherever_it_is_built(tmp_path: Path) -> None:
    layers = []
    for name in ("one", "another"):
        root = tmp_path / name
        (root / "operator/thing/__pycache__").mkdir(parents=True)
        (root / "operator/thing/__init__.py").write_text("X = {'b', 'a'}\n")
        (root / "operator/thing/__pycache__/stale.cpython-311.pyc").write_bytes(name.encode())
        (root / "scratch").mkdir()
        files = app_layer.sources(root, ["operator/thing"])
        layers.append(app_layer.write_code_layer(files, root / "layer", root / "scratch"))
    assert layers[0].digest == layers[1].digest


def test_bytecode_takes_the_place_of_sources_and_is_never_checked(tmp_path: Path) -> None:
    (tmp_path / "thing").mkdir()
    (tmp_path / "thing/__init__.py").write_text("from thing.inner import fail\n")
    (tmp_path / "thing/inner.py").write_text("def fail():\n    raise RuntimeError('here')\n")
    bytecode.compile_instead(tmp_path / "thing", "/usr/lib/thing")
    assert sorted(path.name for path in (tmp_path / "thing").iterdir()) == ["__init__.pyc", "inner.pyc"]
    magic, flags = struct.unpack_from("<4sI", (tmp_path / "thing/inner.pyc").read_bytes())
    assert magic == importlib.util.MAGIC_NUMBER
    assert flags == 0b01  # by hash, unchecked
    program = "import thing; thing.fail()"
    failed = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert 'File "/usr/lib/thing/inner.py", line 2, in fail' in failed.stderr


def test_packages_that_are_to_stay_sources_do(tmp_path: Path) -> None:
    for name in ("fast", "large"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("x = 1\n")
    bytecode.compile_instead(tmp_path, "/usr/lib", ["large"])
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert found == ["fast/__init__.pyc", "large/__init__.py"]


def test_a_package_that_is_not_there_cannot_be_left_as_sources(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no package large, so it need not be left as sources"):
        bytecode.compile_instead(tmp_path, "/usr/lib", ["large"])


def test_a_library_that_strip_has_broken_is_noticed() -> None:
    binary = bytearray(Path(sys.executable).read_bytes())
    assert wheels.loads(bytes(binary))
    (table,) = struct.unpack_from("<Q", binary, 32)
    size, count = struct.unpack_from("<HH", binary, 54)
    first = next(at for at in range(table, table + size * count, size) if struct.unpack_from("<I", binary, at) == (1,))
    (offset,) = struct.unpack_from("<Q", binary, first + 8)
    struct.pack_into("<Q", binary, first + 8, offset + 8)
    assert not wheels.loads(bytes(binary))
