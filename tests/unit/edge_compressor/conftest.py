"""Models and data sets once a worker; servers for those who ask."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_compressor.progress import Progress
from tests.support.registry import RegistryProgram
from tests.unit.edge_compressor import models
from tests.unit.edge_compressor.servers import FileServer, file_server, registry_program


@dataclass(frozen=True)
class Files:
    """A model with its data sets; not to be written to."""

    model: Path
    calibration: Path
    evaluation: Path


@pytest.fixture(scope="session")
def residual(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("residual")
    model = models.residual_net(folder / "residual.onnx")
    return Files(
        model,
        models.write_calibration(folder / "calibration.npz", model),
        models.write_evaluation(folder / "evaluation.npz", model),
    )


@pytest.fixture(scope="session")
def perceptron(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("perceptron")
    model = models.perceptron(folder / "perceptron.onnx")
    return Files(
        model,
        models.write_calibration(folder / "calibration.npz", model),
        models.write_evaluation(folder / "evaluation.npz", model),
    )


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[Progress]:
    with (tmp_path / "progress.log").open("w") as stream:
        yield Progress(stream)


@pytest.fixture
def web() -> Iterator[FileServer]:
    with file_server() as server:
        yield server


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryProgram]:
    with registry_program(tmp_path_factory.mktemp("registry")) as program:
        yield program


@pytest.fixture
def locked_registry(tmp_path: Path) -> Iterator[RegistryProgram]:
    with registry_program(tmp_path / "locked", with_password=True) as program:
        yield program
