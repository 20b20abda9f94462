from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edge_compressor import pipeline
from edge_compressor.datasets import Dataset, load_dataset
from edge_compressor.models.onnx_model import check_model
from edge_compressor.pipeline import Compressed
from edge_compressor.progress import Progress
from edge_compressor.registries.access import RegistryAccess
from edge_compressor.sources.fetcher import Fetcher
from edge_compressor.steps import StepContext, plan
from edge_compressor.training import program
from edgemodel import reasons
from edgemodel.budget import parse_budget
from edgemodel.compression_request import EXPORTED_PROGRAM, CompressionRequest, Recipe, Source
from tests.unit.edge_compressor.training import programs


@dataclass(frozen=True)
class Site:
    """A trained source with its data."""

    source: Path
    training: Path
    evaluation: Path
    unlabeled: Path
    """The unlabelled images of another camera."""
    calibration: Path


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("program")
    return Site(
        source=programs.save(programs.trained(), folder / "source.pt2"),
        training=programs.write(folder / "training.npz", 1024, seed=1),
        evaluation=programs.write(folder / "evaluation.npz", 1000, seed=2),
        unlabeled=programs.write(folder / "unlabeled.npz", 512, seed=3, labels=False, dim=True),
        calibration=programs.write(folder / "calibration.npz", 64, seed=4, labels=False),
    )


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets one thread, because threads of several test workers would wait for each other."""
    for module in ("training.loop", "training.teachers", "evaluation.task", "evaluation.agreement"):
        monkeypatch.setattr(f"edge_compressor.{module}.usable_cores", lambda: 1)


@pytest.fixture(scope="session")
def sets(site: Site, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Dataset]:
    folder = tmp_path_factory.mktemp("sets")
    onnx = program.to_onnx(site.source, folder / "source.onnx", what="source", reason=reasons.SOURCE_INVALID)
    model = check_model(onnx)
    return {
        use: load_dataset(getattr(site, use), model, folder / use, what=f"{use} set")
        for use in ("training", "evaluation", "unlabeled", "calibration")
    }


class Trainer:
    """A runner of single steps, without the pipeline."""

    def __init__(self, site: Site, sets: dict[str, Dataset], folder: Path, progress: Progress) -> None:
        self.site, self.sets, self.folder, self.progress = site, sets, folder, progress
        self.notes: dict[str, Any] = {}
        """The notes of the latest step."""
        self._count = 0

    def apply(self, kind: str, model: Path | None = None, *, context: Any = None, **settings: Any) -> Path:
        key = kind[0].lower() + kind[1:]
        (planned,) = plan([{"name": "one", "type": kind, key: settings}], EXPORTED_PROGRAM)
        self._count += 1
        folder = self.folder / f"step-{self._count}"
        folder.mkdir()
        self.notes = {}
        whole = StepContext(
            "one", folder, self.sets["calibration"], self.progress, training=self.sets["training"],
            unlabeled=self.sets["unlabeled"], program=self.site.source, notes=self.notes,
        )  # fmt: skip
        return planned.step.apply[EXPORTED_PROGRAM](
            model or self.site.source, planned.settings, replace(whole, **(context or {}))
        )

    def accuracy(self, model: Path, dataset: Dataset | None = None) -> float:
        dataset = dataset or self.sets["evaluation"]
        loaded = program.load(model, what="model", reason=reasons.STEP_FAILED)
        with torch.no_grad():
            answers = loaded.module.eval()(torch.from_numpy(np.array(dataset.inputs["image"])))[0]
        return float((answers.argmax(1).numpy() == dataset.label).mean())


@pytest.fixture
def trainer(site: Site, sets: dict[str, Dataset], tmp_path: Path, quiet: Progress) -> Trainer:
    return Trainer(site, sets, tmp_path, quiet)


Compress = Callable[..., Compressed]


@pytest.fixture
def compress(site: Site, tmp_path: Path, quiet: Progress) -> Compress:
    """Returns a function that runs the complete pipeline on ``site`` with the given steps."""
    count = 0

    def run(*steps: dict[str, Any], **change: Any) -> Compressed:
        nonlocal count
        count += 1
        uses = ("training", "evaluation", "unlabeled", "calibration")
        checkpoints = change.pop("checkpoints", None)
        request = CompressionRequest(
            source=Source(str(change.pop("source", site.source)), format=EXPORTED_PROGRAM),
            datasets={use: Source(str(change.pop(use, getattr(site, use)))) for use in uses},
            recipes=(Recipe("default", steps),),
            budget=parse_budget(change.pop("budget", {})),
            **change,
        )
        fetcher = Fetcher(RegistryAccess(), quiet, local_paths=True)
        work = tmp_path / f"work-{count}"
        (compressed,) = pipeline.run(request, "patterns", fetcher, work, quiet, checkpoints=checkpoints)
        return compressed

    return run
