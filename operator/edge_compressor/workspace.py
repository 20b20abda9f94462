"""The inputs that all recipes of one request share: source and data sets, fetched and checked."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from edge_compressor.checkpoints.store import Checkpoints
from edge_compressor.datasets import Dataset, describe, load_dataset, shared_samples
from edge_compressor.datasets.inner import dataset_behind
from edge_compressor.evaluation import Evaluator, stateful, task_arrays, transfer_bytes
from edge_compressor.evaluation.first_sample import refuse_a_crash
from edge_compressor.evaluation.generated_inputs import generate
from edge_compressor.formats import ArtifactFiles, SourceFormat, format_by_content, model_format
from edge_compressor.models import normal_form
from edge_compressor.models.checked import check_file
from edge_compressor.models.model_file import ModelFile
from edge_compressor.models.normal_form import InOrder
from edge_compressor.models.onnx_model import behind_transforms
from edge_compressor.progress import Progress
from edge_compressor.sources.fetcher import WHAT, Fetched, Fetches, Use
from edge_runtime.tuning import Tuning, parse_tuning
from edgemodel import reasons
from edgemodel.artifact import ONNX_RUNTIME
from edgemodel.compression_request import BY_CONTENT, DATASETS, CompressionRequest
from edgemodel.error_words import in_words
from edgemodel.errors import Stalled
from edgemodel.names import TOKENIZER_FILE

ALONG_SEQUENCES: Final = ("calibration", "evaluation")
"""The data sets whose samples are sequences if the model is stateful; training takes single steps."""
MAX_STEPS: Final = 2048
"""The largest number of steps of sequences that are used for calibration."""


@dataclass(frozen=True)
class FetchedDataset:
    """A data set, with its origin."""

    dataset: Dataset
    fetched: Fetched

    def to_json(self) -> dict[str, Any]:
        """Returns the form in which the report stores it."""
        return {"uri": self.fetched.uri, "digest": self.fetched.digest, **describe(self.dataset)}


@dataclass(frozen=True)
class FetchedSource:
    """The source as it was fetched, in the format that its content tells."""

    fetched: Fetched
    format: SourceFormat
    what: str
    """The words for it, for messages."""
    reason: str
    """The reason of a failure that is its own."""

    @classmethod
    def of(cls, request: CompressionRequest, fetcher: Fetches, work: Path) -> "FetchedSource":
        """Fetches the source into the folder ``work``. Raises as ``Fetcher.fetch``, and for a content that no format
        reads."""
        work.mkdir(parents=True, exist_ok=True)
        name = request.source.model_format
        named = None if name == BY_CONTENT else model_format(name, "source")
        to = work / (f"source{named.suffix}" if named is not None else "source")
        fetched = fetcher.fetch(request.source, "source", to, folder=True)
        what, reason = "source", reasons.SOURCE_INVALID
        if fetched.converter is not None:
            what, reason = "what the converter wrote", reasons.CONVERTER_FAILED
        if named is not None:
            _check_kind(named, fetched.path)
        found = format_by_content(fetched.path, name, what=what, reason=reason)
        if found.to_artifact is None:
            message = f"it holds weights alone ({found.name}): name a converter, or give a model"
            raise Stalled(reason, f"{what}: {message}")
        if named is None and fetched.path.is_file():
            fetched = replace(fetched, path=fetched.path.rename(work / f"source{found.suffix}"))
        return cls(fetched, found, what, reason)


@dataclass
class Workspace:
    """All that the steps and the gate of one compression share."""

    request: CompressionRequest
    folder: Path
    source: ModelFile
    """The source in the form that nodes serve, whatever its format was."""
    in_order: InOrder
    """The source in the normal form of graphs, which the first step gets."""
    program: Path | None
    """The source in its own format, if that can be trained; otherwise None."""
    teacher: Path | None
    fetched: Fetched
    carried: Mapping[str, Path]
    """The files that come with the source into every artifact, by their names there."""
    remarks: tuple[str, ...]
    """The remarks on the files of the source."""
    source_transfer_bytes: int
    datasets: Mapping[Use, FetchedDataset]
    progress: Progress
    checkpoints: Checkpoints | None
    """The store of checkpoints; None: training keeps none."""
    evaluator: Evaluator
    _inner: dict[Use, Dataset] = field(default_factory=dict)

    @classmethod
    def set_up(
        cls,
        request: CompressionRequest,
        given: FetchedSource,
        fetcher: Fetches,
        work: Path,
        progress: Progress,
        checkpoints: Checkpoints | None,
    ) -> "Workspace":
        """Checks the source, and fetches and checks whatever else ``request`` names. Raises Stalled or Transient."""
        evaluator = Evaluator(progress, request.evaluation)
        fetched, source_format = given.fetched, given.format
        progress.say(f"checking the source, {_size_bytes(fetched.path)} bytes")
        what, reason = given.what, given.reason
        source_format.check(fetched.path, what=what, reason=reason)
        files = files_of(source_format.name, fetched.path, work / "artifact-of-source", what, reason)
        made, runtime = files.main, source_format.runtime
        in_order = InOrder(made, ())
        if runtime == ONNX_RUNTIME:
            in_order = normal_form.put_in_order(made, work / "source-in-order", what=what, reason=reason)
        for change in in_order.changes:
            progress.say(f"put in order: {change}")
        source = _check_source(made, runtime, in_order, what, reason)
        source = behind_transforms(replace(source, tuning=_tuning(request)), request.source.transforms)
        stateful.check(source, request.source.stateful_inputs)
        if source.transforms and request.source.stateful_inputs:
            raise Stalled(reasons.INVALID_SPEC, "source: a stateful model takes no transforms")
        teacher = None
        if request.teacher is not None:
            to = work / f"teacher{model_format(request.teacher.format, 'teacher').suffix}"
            teacher = fetcher.fetch(request.teacher, "teacher", to).path
        datasets = _load_datasets(request, source, files.carried.get(TOKENIZER_FILE), fetcher, work, progress)
        given_data = datasets.get("evaluation") or datasets.get("calibration")
        refuse_a_crash(source, given_data.dataset if given_data else None, what=what, reason=reason)
        size = transfer_bytes(source)
        program = fetched.path if source_format.trains else None
        return cls(
            request,
            work,
            source,
            in_order,
            program,
            teacher,
            fetched,
            files.carried,
            files.notes,
            size,
            datasets,
            progress,
            checkpoints,
            evaluator,
        )

    @property
    def source_is_changed(self) -> bool:
        """Returns True if the source cannot be served as it was given, but only in its normal form."""
        return bool(self.in_order.changes) and self.source.path == self.in_order.path

    def dataset(self, use: Use) -> Dataset | None:
        """Returns the data set for ``use``; None if the request has none."""
        return self.datasets[use].dataset if use in self.datasets else None

    @property
    def any_dataset(self) -> Dataset | None:
        """Returns a data set that any model of this compression can run on; None if the request has none."""
        return self.dataset("evaluation") or self.dataset("calibration")

    @functools.cached_property
    def calibration(self) -> Dataset | None:
        """Returns the calibration set as the model itself takes it; sequences as their steps, each with the state that
        the source has there."""
        given = self.inner("calibration")
        return None if given is None else stateful.steps_of(given, self.source, MAX_STEPS, "source")

    @functools.cached_property
    def generated(self) -> Dataset | None:
        """Returns inputs generated from the source's signature, if there is no data set; None if the source accepts
        none."""
        return generate(self.source)

    def inner(self, use: Use) -> Dataset | None:
        """Returns the data set as the model itself takes it, behind its transforms. Raises Stalled(DatasetInvalid)."""
        given = self.dataset(use)
        if given is None or not self.source.transforms:
            return given
        if use not in self._inner:
            self._inner[use] = dataset_behind(given, self.source.transforms, self.folder / f"{use}-behind-transforms")
        return self._inner[use]

    def notes(self, selection: Dataset | None) -> list[str]:
        """Returns remarks for the reader of the figures: arrays of data sets that were not read, or read as something
        else, and data sets that should be disjoint and are not.

        ``selection`` holds the samples that a step chose by, which the report does not use; None: no step chooses.
        """
        notes = [f"{WHAT[use]}: {note}" for use, one in self.datasets.items() for note in one.dataset.notes]
        notes += self.remarks
        if selection is not None:
            notes.append(
                f"{selection.size} samples of the evaluation set were used for selection, the others are reported"
            )
        evaluation = self.dataset("evaluation")
        uses: tuple[Use, ...] = ("calibration", "training")
        for use in uses:
            other = self.dataset(use)
            if other is None or evaluation is None:
                continue
            if shared := shared_samples(other, evaluation):
                notes.append(f"{shared} of {evaluation.size} samples of the evaluation set are in the {use} set too")
        return notes


def files_of(name: str, path: Path, folder: Path, what: str, reason: str) -> ArtifactFiles:
    """Returns a model of the format ``name`` in the form that steps take, which may be created in ``folder``.

    Raises Stalled with ``reason``, naming ``what`` it is.
    """
    folder.mkdir(exist_ok=True)
    to_artifact = model_format(name, what).to_artifact
    assert to_artifact is not None, "a format of models"
    return to_artifact(path, folder, what=what, reason=reason)


def _check_source(made: Path, runtime: str, in_order: InOrder, what: str, reason: str) -> ModelFile:
    """Returns the checked file ``made``; the normalized one, if it cannot be served as it is.

    Raises Stalled with ``reason``, naming ``what`` it is.
    """
    try:
        return check_file(made, runtime, what=what, reason=reason)
    except Stalled:
        if not in_order.changes:
            raise
        return check_file(in_order.path, runtime, what=what, reason=reason)


def _check_kind(given: SourceFormat, path: Path) -> None:
    if path.is_dir() and not given.accepts_folder:
        raise Stalled(reasons.SOURCE_INVALID, f"source: {given.name} is one file, and this is a folder")
    if not path.is_dir() and not given.accepts_file:
        message = f"{given.name} is a folder, and this is one file: put the folder on a volume (pvc://CLAIM/PATH)"
        raise Stalled(reasons.SOURCE_INVALID, f"source: {message}")


def _size_bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*")) if path.is_dir() else path.stat().st_size


def _tuning(request: CompressionRequest) -> Tuning:
    try:
        return parse_tuning(request.tuning)
    except ValueError as error:
        raise Stalled(reasons.INVALID_SPEC, f"serving.tuning: {in_words(error)}") from error


def _load_datasets(
    request: CompressionRequest,
    source: ModelFile,
    tokenizer: Path | None,
    fetcher: Fetches,
    work: Path,
    progress: Progress,
) -> dict[Use, FetchedDataset]:
    datasets: dict[Use, FetchedDataset] = {}
    for use in DATASETS:
        if use in request.datasets:
            file = fetcher.fetch(request.datasets[use], use, work / f"{use}.npz")
            states = request.source.stateful_inputs if use in ALONG_SEQUENCES else None
            dataset = load_dataset(
                file.path,
                source,
                work / use,
                what=WHAT[use],
                states=states,
                task_arrays=task_arrays(),
                tokenizer=tokenizer,
            )
            file.path.unlink()  # unpacked by now; two copies of a large set may not fit
            for said in (f"{dataset.size} samples", *dataset.notes):
                progress.say(f"{WHAT[use]}: {said}")
            datasets[use] = FetchedDataset(dataset, file)
    return datasets
