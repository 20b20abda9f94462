"""A step that runs out of disk or memory fails with its name, and nothing is published."""

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from edge_compressor import pipeline, steps
from edge_compressor.progress import Progress
from edge_compressor.registries.access import RegistryAccess
from edge_compressor.sources.fetcher import Fetcher
from edgemodel import reasons
from edgemodel.compression_request import ONNX, CompressionRequest, Recipe, Source
from edgemodel.errors import Stalled
from tests.unit.edge_compressor.conftest import Files

Failing = Callable[[Exception], Any]


@pytest.fixture
def failing(perceptron: Files, tmp_path: Path, quiet: Progress, monkeypatch: pytest.MonkeyPatch) -> Failing:
    """Returns a function that runs a recipe whose step CleanGraph ends with the given error."""

    def run(error: Exception) -> Any:
        def apply(*_: Any) -> NoReturn:
            raise error

        monkeypatch.setitem(steps.STEPS, "CleanGraph", replace(steps.STEPS["CleanGraph"], apply={ONNX: apply}))  # type: ignore[arg-type]  # it is a dict
        recipe = Recipe("default", ({"name": "clean", "type": "CleanGraph"},))
        request = CompressionRequest(Source(str(perceptron.model)), (recipe,))
        fetcher = Fetcher(RegistryAccess(), quiet, local_paths=True)
        return pipeline.run(request, "m", fetcher, tmp_path / "work", quiet)

    return run


def test_a_full_disk_is_reported_with_the_step(failing: Failing, tmp_path: Path) -> None:
    with pytest.raises(Stalled, match="step clean: no space is left for its results") as caught:
        failing(OSError(errno.ENOSPC, "No space left on device"))
    assert caught.value.reason == reasons.STEP_FAILED
    assert not (tmp_path / "work" / "artifacts").exists()


def test_another_fault_of_the_disk_is_not_a_fault_of_the_model(failing: Failing) -> None:
    with pytest.raises(OSError, match="Input/output error"):
        failing(OSError(errno.EIO, "Input/output error"))


def test_torchs_message_about_memory_is_a_memory_error(failing: Failing) -> None:
    with pytest.raises(MemoryError):
        failing(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"))
