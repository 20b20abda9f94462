"""The interface of tasks: each reads the outputs of one model, sample by sample, and compares two models by them."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import numpy as np

from edge_compressor.datasets import Dataset
from edge_compressor.evaluation import stateful
from edge_compressor.evaluation.result import Evaluation
from edge_compressor.models import runtime
from edge_compressor.models.model_file import ModelFile
from edge_compressor.progress import Progress
from edge_runtime.backend import LoadedModel
from edge_runtime.cores import usable_cores
from edge_runtime.datatypes import Array
from edgemodel import reasons
from edgemodel.errors import Stalled

Outputs = Mapping[str, Array]
"""The outputs of one run, by name, in declared order; the first axis may hold more rows than there are samples."""
Answers = Mapping[str, Array]
"""The answers that a task keeps, with a first axis of samples."""

PADDING: Final = -1


class EvaluationTask(Protocol):
    """A task. ``check`` and ``read`` raise Stalled(DatasetInvalid) if labels, or outputs, do not match the task."""

    @property
    def name(self) -> str: ...

    def check(self, dataset: Dataset) -> None:
        """Checks that the labels match the task."""

    def read(self, outputs: Outputs, rows: int, dataset: Dataset) -> Answers:
        """Returns the answers to the first ``rows`` samples of one run."""

    def compare(self, dataset: Dataset, source: Answers | None, artifact: Answers) -> Evaluation:
        """Returns the evaluation. ``source`` is None if it is not comparable."""


def first(outputs: Outputs) -> Array:
    return next(iter(outputs.values()))


def run_outputs(model: ModelFile, loaded: LoadedModel, dataset: Dataset, feeds: dict[str, Array], what: str) -> Outputs:
    answers = stateful.answer(loaded, dataset, feeds, what)
    return dict(zip((tensor.name for tensor in model.outputs), answers, strict=True))


def collect(task: EvaluationTask, model: ModelFile, dataset: Dataset, progress: Progress, *, what: str) -> Answers:
    """Returns the answers that ``task`` reads for all samples. ``what`` is source or artifact.

    Raises Stalled: DatasetInvalid as ``EvaluationTask.read``, otherwise as ``run``.
    """
    loaded = runtime.load(model, threads=usable_cores())
    parts: list[Answers] = []
    for positions, feeds in dataset.batches():
        parts.append(task.read(run_outputs(model, loaded, dataset, feeds, what), len(positions), dataset))
        progress.count(f"evaluating {what}", int(positions[-1]) + 1, dataset.size)
    return {name: joined([part[name] for part in parts]) for name in parts[0]}


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
    return Stalled(reasons.DATASET_INVALID, f"{dataset.what}: {message}")
