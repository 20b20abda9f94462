"""The examples' folders, and their scripts as modules."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
FETCHED = EXAMPLES.parent / "build" / "examples"


def load_script(path: Path) -> ModuleType:
    """Returns a script as a module; it can import scripts beside it, as when it is run."""
    spec = importlib.util.spec_from_file_location(f"example_{path.parent.name}_{path.stem}".replace("-", "_"), path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module


@pytest.fixture(scope="session")
def write_digests() -> ModuleType:
    return load_script(EXAMPLES / "write_digests.py")


@pytest.fixture(scope="session")
def fetch() -> ModuleType:
    return load_script(EXAMPLES / "magika" / "fetch.py")


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the weights of the Fashion-MNIST network, which the tree does not hold a second time."""
    folder = EXAMPLES / "fashion-mnist"
    script = load_script(folder / "make_weights.py")
    made: Path = script.write_weights(folder / "model.onnx", tmp_path_factory.mktemp("made") / "weights.safetensors")
    return made
