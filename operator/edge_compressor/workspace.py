"""What all recipes of one request share: the source and the data sets, fetched and checked, and how they compare."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from edge_compressor.checkpoints.store import Checkpoints
from edge_compressor.datasets import Dataset, describe, load_dataset, shared_samples
from edge_compressor.datasets.inner import dataset_behind
from edge_compressor.evaluation import Evaluator, stateful, zstd_size
from edge_compressor.models.onnx_model import OnnxModel, behind_transforms, check_model
from edge_compressor.progress import Progress
from edge_compressor.sources.fetcher import WHAT, Fetched, Fetches, Use
from edge_compressor.steps import Form
from edge_runtime.tuning import Tuning, parse_tuning
from edgemodel import reasons
from edgemodel.compression_request import DATASETS, CompressionRequest
from edgemodel.errors import Stalled

SUFFIXES: Final = {Form.ONNX: ".onnx", Form.PROGRAM: ".pt2"}
ALONG_SEQUENCES: Final = ("calibration", "evaluation")
"""Sets whose samples are sequences where the model has a state; training takes steps as they are."""
MAX_STEPS: Final = 2048
"""Steps of sequences that are calibrated by."""


@dataclass(frozen=True)
class FetchedDataset:
    """A data set, with where it is from."""

    dataset: Dataset
    fetched: Fetched

    def to_json(self) -> dict[str, Any]:
        return {"uri": self.fetched.uri, "digest": self.fetched.digest, **describe(self.dataset)}


@dataclass
class Workspace:
    request: CompressionRequest
    folder: Path
    source: OnnxModel
    """As ONNX, whatever it was given as."""
    program: Path | None
    """The source as it was given, where that was an ExportedProgram."""
    teacher: Path | None
    fetched: Fetched
    source_zstd_bytes: int
    datasets: Mapping[Use, FetchedDataset]
    progress: Progress
    checkpoints: Checkpoints | None
    """Where training keeps how far it is; None: nowhere."""
    evaluator: Evaluator
    _inner: dict[Use, Dataset] = field(default_factory=dict)

    @classmethod
    def set_up(
        cls,
        request: CompressionRequest,
        fetcher: Fetches,
        work: Path,
        progress: Progress,
        checkpoints: Checkpoints | None,
    ) -> "Workspace":
        """Fetches and checks all that ``request`` names. Raises Stalled or Transient."""
        evaluator = Evaluator(progress, request.evaluation)
        work.mkdir(parents=True, exist_ok=True)
        given = Form(request.source.model_format)
        fetched = fetcher.fetch(request.source, "source", work / f"source{SUFFIXES[given]}")
        progress.say(f"checking the source, {fetched.path.stat().st_size} bytes")
        what, reason = "source", reasons.SOURCE_INVALID
        if fetched.converter is not None:
            what, reason = "what the converter wrote", reasons.CONVERTER_FAILED
        program = None
        if given is Form.PROGRAM:
            program = fetched.path
            source = check_model(to_onnx(program, work / "source.onnx", what, reason), what=what, reason=reason)
        else:
            source = check_model(fetched.path, what=what, reason=reason)
        source = behind_transforms(replace(source, tuning=_tuning(request)), request.source.transforms)
        stateful.check(source, request.source.stateful_inputs)
        if source.transforms and request.source.stateful_inputs:
            raise Stalled(reasons.INVALID_SPEC, "source: a stateful model takes no transforms")
        teacher = None
        if request.teacher is not None:
            to = work / f"teacher{SUFFIXES[Form(request.teacher.format)]}"
            teacher = fetcher.fetch(request.teacher, "teacher", to).path
        datasets = _load_datasets(request, source, fetcher, work, progress)
        progress.say("compressing the source with zstd, for comparison")
        size = zstd_size(source.path)
        return cls(request, work, source, program, teacher, fetched, size, datasets, progress, checkpoints, evaluator)

    def dataset(self, use: Use) -> Dataset | None:
        return self.datasets[use].dataset if use in self.datasets else None

    @functools.cached_property
    def calibration(self) -> Dataset | None:
        """The calibration set as the model itself takes it; sequences as their steps, each with the state that the
        source has there."""
        given = self.inner("calibration")
        return None if given is None else stateful.steps_of(given, self.source, MAX_STEPS, "source")

    def inner(self, use: Use) -> Dataset | None:
        """Returns the data set as the model itself takes it, behind its transforms. Raises Stalled(DatasetInvalid)."""
        given = self.dataset(use)
        if given is None or not self.source.transforms:
            return given
        if use not in self._inner:
            self._inner[use] = dataset_behind(given, self.source.transforms, self.folder / f"{use}-behind-transforms")
        return self._inner[use]

    def notes(self, selection: Dataset | None) -> list[str]:
        """Returns what a reader should know before believing the figures: sets that should be disjoint and are not.

        ``selection`` are the samples that a step chose by, which are not reported on; None: no step chooses.
        """
        notes = []
        if selection is not None:
            notes.append(f"{selection.size} samples of the evaluation set were used to choose, the others are reported")
        evaluation = self.dataset("evaluation")
        uses: tuple[Use, ...] = ("calibration", "training")
        for use in uses:
            other = self.dataset(use)
            if other is None or evaluation is None:
                continue
            if shared := shared_samples(other, evaluation):
                notes.append(f"{shared} of {evaluation.size} samples of the evaluation set are in the {use} set too")
        return notes


def to_onnx(program: Path, to: Path, what: str, reason: str) -> Path:
    """Returns ``to``, the ONNX of an ExportedProgram. Raises Stalled with ``reason``."""
    from edge_compressor.training import program as programs  # torch, which ONNX sources do without

    return programs.to_onnx(program, to, what=what, reason=reason)


def _tuning(request: CompressionRequest) -> Tuning:
    try:
        return parse_tuning(request.tuning)
    except ValueError as error:
        raise Stalled(reasons.INVALID_SPEC, f"serving.tuning: {error}") from error


def _load_datasets(
    request: CompressionRequest, source: OnnxModel, fetcher: Fetches, work: Path, progress: Progress
) -> dict[Use, FetchedDataset]:
    datasets: dict[Use, FetchedDataset] = {}
    for use in DATASETS:
        if use in request.datasets:
            file = fetcher.fetch(request.datasets[use], use, work / f"{use}.npz")
            states = request.source.stateful_inputs if use in ALONG_SEQUENCES else None
            dataset = load_dataset(file.path, source, work / use, what=WHAT[use], states=states)
            file.path.unlink()  # unpacked by now; two copies of a large set may not fit
            progress.say(f"{WHAT[use]}: {dataset.size} samples")
            datasets[use] = FetchedDataset(dataset, file)
    return datasets
