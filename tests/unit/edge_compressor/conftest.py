"""Models and data sets, made once per worker, and servers."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_compressor.progress import Progress
from edge_compressor.steps import StepContext, plan
from edgemodel.compression_request import ONNX
from tests.support.registry import RegistryProgram
from tests.unit.edge_compressor import models
from tests.unit.edge_compressor.bench import Bench
from tests.unit.edge_compressor.models import Files
from tests.unit.edge_compressor.servers import FileServer, file_server, registry_program


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


@pytest.fixture(scope="session")
def thin(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Returns a net of weights whose rank is a quarter of the possible one."""
    folder = tmp_path_factory.mktemp("thin")
    model = models.thin_net(folder / "thin.onnx")
    return Files(
        model,
        models.write_calibration(folder / "calibration.npz", model),
        models.write_evaluation(folder / "evaluation.npz", model),
    )


@pytest.fixture
def bench(tmp_path: Path, quiet: Progress) -> Bench:
    return Bench(tmp_path / "bench", quiet)


@pytest.fixture
def crashing(tmp_path: Path, quiet: Progress) -> Path:
    """Returns a model that ends the process that loads it with onnxruntime."""
    model, folder = models.gru_and_rnn(tmp_path / "recurrent.onnx"), tmp_path / "half"
    folder.mkdir()
    (step,) = plan([{"name": "half", "type": "Convert", "convert": {"precision": "FP16"}}])
    return step.step.apply[ONNX](model, step.settings, StepContext("half", folder, None, quiet))


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[Progress]:
    with (tmp_path / "progress.log").open("w") as stream:
        yield Progress(stream)


@pytest.fixture
def even_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes every run of every model take the same time, so that no test depends on a busy machine."""
    ticks = itertools.count()
    monkeypatch.setattr("time.thread_time", lambda: next(ticks) / 100)


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
