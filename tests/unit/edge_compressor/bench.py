"""The application of one step to one model, and its results."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
import pytest

from edge_compressor.datasets import Dataset, load_dataset
from edge_compressor.models.onnx_model import check_model, check_same_interface
from edge_compressor.progress import Progress
from edge_compressor.steps import StepContext, plan
from edgemodel import reasons
from edgemodel.compression_request import ONNX
from edgemodel.errors import Stalled
from tests.unit.edge_compressor import models
from tests.unit.edge_compressor.models import Array, Files


class Bench:
    """Applies one step to a model."""

    def __init__(self, folder: Path, progress: Progress) -> None:
        self.folder, self.progress, self.count = folder, progress, 0
        self.notes: dict[str, Any] = {}
        """The notes of the last step."""

    def calibration(self, files: Files) -> Dataset:
        folder = self.folder / "calibration"
        return load_dataset(files.calibration, check_model(files.model), folder, what="calibration set")

    def apply(self, kind: str, files: Files, **settings: Any) -> Path:
        """Returns the result of a step, whose interface is checked; without a calibration set if there is no file."""
        result = self.step(kind, files, **settings)
        check_same_interface(check_model(files.model), check_model(result))
        return result

    def step(self, kind: str, files: Files, **settings: Any) -> Path:
        key = kind[0].lower() + kind[1:]
        (step,) = plan([{"name": "one", "type": kind, **({key: settings} if settings else {})}])
        self.count += 1
        folder = self.folder / f"step-{self.count}"
        folder.mkdir(parents=True)
        self.notes = {}
        calibration = self.calibration(files) if files.calibration.exists() else None
        context = StepContext("one", folder, calibration, self.progress, notes=self.notes)
        return step.step.apply[ONNX](files.model, step.settings, context)

    def refusal(self, kind: str, files: Files, **settings: Any) -> str:
        with pytest.raises(Stalled) as caught:
            self.apply(kind, files, **settings)
        assert caught.value.reason == reasons.STEP_FAILED
        assert caught.value.message.startswith("step one: ")
        return caught.value.message


def operators(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def agreement(first: Path, second: Path) -> float:
    x = models.inputs_for(first, 200)
    return float((models.answers(first, x).argmax(1) == models.answers(second, x).argmax(1)).mean())


def likeness(first: Path, second: Path) -> float:
    """Returns the correlation of their scores, for nets of random weights, whose classes lie close together."""
    x = models.inputs_for(first, 200)
    return float(np.corrcoef(models.answers(first, x).ravel(), models.answers(second, x).ravel())[0, 1])


def distance(first: Path, second: Path) -> float:
    """Returns the largest difference of a score, for scores with a deviation of about 1."""
    x = models.inputs_for(first, 200)
    return float(np.abs(models.answers(first, x) - models.answers(second, x)).max())


def weights_by_type(path: Path) -> Counter[int]:
    return Counter(tensor.data_type for tensor in onnx.load(path).graph.initializer if len(tensor.dims) > 1)


def weights(path: Path) -> dict[str, Array]:
    """Returns the tensors that the file stores, by name."""
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer}


def zeros(path: Path) -> float:
    """Returns the share of zeros, in 0..1, among stored weights of two dimensions or more, including int8 weights."""
    stored = [array for array in weights(path).values() if array.ndim > 1]
    return sum(int((array == 0).sum()) for array in stored) / sum(array.size for array in stored)
