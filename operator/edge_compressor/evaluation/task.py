"""The interface of tasks: each reads the outputs of one model, sample by sample, and compares two models by them.

``crds/generated.py`` makes the schema of ``spec.compression.evaluation`` from the types, and ``crds/facts.py`` the
options of the command line. No other code knows the individual tasks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from edge_compressor.datasets import PADDING, Dataset
from edge_compressor.evaluation import stateful
from edge_compressor.evaluation.measuring import cannot_run
from edge_compressor.evaluation.result import Evaluation
from edge_compressor.models import runtime
from edge_compressor.models.model_file import ModelFile
from edge_compressor.progress import Progress
from edge_runtime.backend import LoadedModel, RunFailure
from edge_runtime.cores import usable_cores
from edge_runtime.datatypes import Array
from edge_runtime.decoder import Decoder, read_in_parts
from edgemodel import reasons
from edgemodel.errors import Stalled
from edgemodel.setting_kinds import Setting, Settings

Outputs = Mapping[str, Array]
"""The outputs of one run, by name, in declared order; the first axis may hold more rows than there are samples."""
Answers = Mapping[str, Array]
"""The answers that a task keeps, with a first axis of samples."""


class EvaluationTask(Protocol):
    """A task with its settings. ``check`` and ``read`` raise Stalled(DatasetInvalid) if labels, or outputs, do not
    match it."""

    def check(self, dataset: Dataset) -> Dataset:
        """Returns ``dataset`` with its labels in the form that the task takes, once they are checked."""

    def read(self, outputs: Outputs, rows: int, dataset: Dataset) -> Answers:
        """Returns the answers to the first ``rows`` samples of one run."""

    def compare(self, dataset: Dataset, source: Answers | None, artifact: Answers) -> Evaluation:
        """Returns the evaluation. ``source`` is None if it is not comparable."""


@runtime_checkable
class ReadsTexts(Protocol):
    """A task that judges decoders, whose logits it gets in parts: those of a whole text may not fit into memory."""

    def read_tokens(self, logits: Array, following: Array) -> Answers:
        """Returns the answers at the places of one part of a text, with a first axis of places.

        ``logits`` are (places, vocabulary), and ``following`` (places,) are the tokens that follow in the text.
        """


class Claim(NamedTuple):
    """The answer of a task that labels and outputs may be its own."""

    why: str
    """The reason, for the report; for a claim that is not certain, the message that tells the user what to set."""
    is_certain: bool = True
    """False if values and shapes leave a choice, so that the user is asked unless another task is certain."""


class Figure(NamedTuple):
    """A figure of the report."""

    name: str
    form: str
    """The format of its value, such as ``{:.2%}``."""


@dataclass(frozen=True)
class TaskType:
    """A type of task: all that manifest, data set, evaluation and report need of it."""

    type: str
    doc: str
    """The meaning of the labels, for ``kubectl explain``."""
    label: str
    """The values and the shape of ``label``, for the documentation."""
    score: str
    """The score that the gate judges, for the documentation."""
    interval: str
    """The method of its interval, for the documentation."""
    make: Callable[[Settings], EvaluationTask]
    """A function that returns the task for resolved settings."""
    figures: Mapping[str, Figure]
    """The figures of ``Scores``, by their key in the manifest, in the order of the report."""
    infer: Callable[[Dataset, Outputs], Claim | None] | None = None
    """A function that returns a claim if the labels of the set and the outputs of one run are those of this task; None:
    the task has to be named."""
    settings: Mapping[str, Setting] = field(default_factory=dict)
    """The settings, which are keys of ``spec.compression.evaluation``; without a default in the schema."""
    decoders: bool = False
    """True if it judges decoders, and no other models."""
    arrays: tuple[str, ...] = ()
    """The arrays of numbers that it reads from the set besides ``label``. If a set has all of them, only tasks with
    arrays are inferred."""


def first(outputs: Outputs) -> Array:
    """Returns the first output."""
    return next(iter(outputs.values()))


def run_outputs(model: ModelFile, loaded: LoadedModel, dataset: Dataset, feeds: dict[str, Array], what: str) -> Outputs:
    """Returns the outputs of a model for ``feeds``, by name; states are carried from step to step. Raises Stalled."""
    answers = stateful.answer(loaded, dataset, feeds, what)
    return dict(zip((tensor.name for tensor in model.outputs), answers, strict=True))


def collect(task: EvaluationTask, model: ModelFile, dataset: Dataset, progress: Progress, *, what: str) -> Answers:
    """Returns the answers that ``task`` reads for all samples. ``what`` is source or artifact.

    Raises Stalled: DatasetInvalid as ``EvaluationTask.read``, otherwise as ``run``.
    """
    loaded = runtime.load(model, threads=usable_cores())
    if dataset.decoder is not None and isinstance(task, ReadsTexts):
        return _collect_texts(task, loaded, dataset, dataset.decoder, progress, what=what)
    parts: list[Answers] = []
    for positions, feeds in dataset.batches():
        parts.append(task.read(run_outputs(model, loaded, dataset, feeds, what), len(positions), dataset))
        progress.count(f"evaluating {what}", int(positions[-1]) + 1, dataset.size)
    return {name: joined([part[name] for part in parts]) for name in parts[0]}


def _collect_texts(
    task: ReadsTexts, loaded: LoadedModel, dataset: Dataset, decoder: Decoder, progress: Progress, *, what: str
) -> Answers:
    """Returns the answers at the places of all texts, (texts, places), with PADDING after the last of a text."""

    def run(feeds: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        try:
            return loaded.run(feeds, outputs)
        except RunFailure as error:
            raise cannot_run(error, what) from error

    texts: list[Answers] = []
    for position in range(dataset.size):
        tokens = dataset.text(position)
        parts = []
        for places, logits in read_in_parts(run, decoder, tokens):
            following = tokens[places.start + 1 : places.stop + 1]
            parts.append(task.read_tokens(logits[: len(following)], following))
        texts.append({name: np.concatenate([part[name] for part in parts])[None] for name in parts[0]})
        progress.count(f"evaluating {what}", position + 1, dataset.size)
    return {name: joined([text[name] for text in texts]) for name in texts[0]}


def joined(parts: Sequence[Array]) -> Array:
    """Returns one array; if the second axis differs, as with detections of one image, it is filled up with PADDING."""
    if parts[0].ndim < 2 or len({part.shape[1] for part in parts}) == 1:
        return np.concatenate(parts)
    longest = max(part.shape[1] for part in parts)
    wide = [(part, [(0, 0), (0, longest - part.shape[1]), *[(0, 0)] * (part.ndim - 2)]) for part in parts]
    return np.concatenate([np.pad(part, width, constant_values=PADDING) for part, width in wide])


def labels(dataset: Dataset, task: str) -> Array:
    """Returns the labels. Raises Stalled(DatasetInvalid) if there are none."""
    if dataset.label is None:
        raise invalid(dataset, f"task {task} needs an array label, and there is none")
    return np.asarray(dataset.label)


def invalid(dataset: Dataset, message: str) -> Stalled:
    """Returns the error of a data set that does not fit its task."""
    return Stalled(reasons.DATASET_INVALID, f"{dataset.what}: {message}")
