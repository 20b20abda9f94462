"""The choice of the task, and the evaluation of source and artifact by it."""

from dataclasses import dataclass, field, replace

import numpy as np

from edge_compressor.datasets import Dataset
from edge_compressor.evaluation.agreement import compare_values
from edge_compressor.evaluation.inference import infer
from edge_compressor.evaluation.result import Evaluation
from edge_compressor.evaluation.task import Answers, EvaluationTask, Outputs, TaskType, collect, first, run_outputs
from edge_compressor.evaluation.tasks import TASKS
from edge_compressor.models import runtime
from edge_compressor.models.model_file import ModelFile
from edge_compressor.progress import Progress
from edge_runtime.agreement import close_items, spread_of_floats
from edgemodel import reasons, setting_kinds
from edgemodel.compression_request import AUTO, EvaluationSettings
from edgemodel.error_words import in_words
from edgemodel.errors import Stalled


@dataclass
class Evaluator:
    """An evaluator that keeps the answers of models, so that a source runs once for all recipes.

    Raises Stalled(InvalidSpec) for an unknown task, and for a setting that no task has or whose value is invalid.
    """

    progress: Progress
    settings: EvaluationSettings = field(default_factory=EvaluationSettings)
    _known: dict[tuple[str, int, str], Answers] = field(default_factory=dict)
    _mixes: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        wanted = self.settings.task
        if wanted not in (AUTO, *TASKS):
            listed = ", ".join((AUTO, *TASKS))
            raise Stalled(reasons.INVALID_SPEC, f"evaluation.task is {wanted!r}, want one of {listed}")
        every = {name: setting for task in TASKS.values() for name, setting in task.settings.items()}
        try:
            setting_kinds.resolve("evaluation", every, self.settings.settings)
        except ValueError as error:
            raise Stalled(reasons.INVALID_SPEC, in_words(error)) from error

    def evaluate(self, source: ModelFile, artifact: ModelFile, dataset: Dataset) -> Evaluation:
        """Raises Stalled: DatasetInvalid if set and task do not match, otherwise as ``measuring.run``."""
        reason = incomparable(source, artifact)
        if self.settings.task != AUTO:
            kind, why = TASKS[self.settings.task], "as set"
        elif source.decoder is not None:
            kind, why = next(task for task in TASKS.values() if task.decoders), "the model continues texts"
        elif not dataset.is_scored:
            return compare_values(source, artifact, dataset, self.progress)
        else:
            kind, why = infer(dataset, _one_run(artifact if reason else source, dataset))
        if kind.decoders != (source.decoder is not None):
            raise Stalled(reasons.INVALID_SPEC, _of_another_kind(kind, source))
        task, spare = self._made(kind)
        dataset = task.check(dataset)
        before = None if reason else self._answers(kind, task, source, dataset, "source")
        found = task.compare(dataset, before, self._answers(kind, task, artifact, dataset, "artifact"))
        notes = [
            f"task {kind.type} ({why})",
            *(f"evaluation.{name} is not used: task {kind.type} has none" for name in spare),
            *([f"the source is not compared: {reason}"] if reason else []),
            *found.notes,
        ]
        doubt = found.doubt or self._mixing(source, dataset)
        if doubt and len(source.outputs) > 1:
            others = ", ".join(tensor.name for tensor in source.outputs[1:])
            doubt += f" (the first output is {source.outputs[0].name}; the model has {others} too)"
        return replace(found, notes=tuple(notes), doubt=doubt)

    def _mixing(self, source: ModelFile, dataset: Dataset) -> str:
        """Returns why the samples of ``dataset`` are none to ``source``; empty if they are."""
        if source.digest not in self._mixes:
            self._mixes[source.digest] = mixing(source, dataset)
        return self._mixes[source.digest]

    def _made(self, kind: TaskType) -> tuple[EvaluationTask, list[str]]:
        """Returns the task, and the settings that it does not have."""
        given = self.settings.settings
        own = {name: value for name, value in given.items() if name in kind.settings}
        task = kind.make(setting_kinds.resolve("evaluation", kind.settings, own))
        return task, sorted(given.keys() - own.keys())

    def _answers(self, kind: TaskType, task: EvaluationTask, model: ModelFile, dataset: Dataset, what: str) -> Answers:
        key = (model.digest, dataset.size, kind.type)
        if key not in self._known:
            self.progress.say(f"evaluating {what} on {dataset.size} samples")
            self._known[key] = collect(task, model, dataset, self.progress, what=what)
        return self._known[key]


def _of_another_kind(kind: TaskType, source: ModelFile) -> str:
    if not kind.decoders:
        return f"evaluation.task is {kind.type}, and the model is a decoder, which continues texts: leave the task out"
    names = ", ".join(tensor.name for tensor in source.inputs)
    wanted = "input_ids and the cache of each layer, past_key_values.N.key and past_key_values.N.value"
    return f"evaluation.task is {kind.type}, which wants a decoder with inputs {wanted}; the model's inputs are {names}"


def incomparable(source: ModelFile, artifact: ModelFile) -> str:
    """Returns why the answers of source and artifact cannot be compared; empty if they can.

    Steps may give a model another head, for other classes: its first output then has another shape.
    """
    before, after = source.outputs[0].shape, artifact.outputs[0].shape
    same = len(before) == len(after) and all(
        one == other or one < 0 or other < 0 for one, other in zip(before[1:], after[1:], strict=True)
    )
    return "" if same else f"its first output has shape {list(before)}, the artifact's {list(after)}"


def mixing(model: ModelFile, dataset: Dataset) -> str:
    """Returns the reason for doubt if the answer to a sample depends on the other samples of its run.

    The first axis of the inputs is then not that of the samples. The first sample is run beside others, and beside
    copies of itself; its answers are as close as those of an artifact to its source.
    """
    positions, feeds = next(dataset.batches())
    if dataset.states or dataset.batch == 1 or len(positions) < 2:
        return ""
    loaded, rows = runtime.load(model), len(next(iter(feeds.values())))
    alone = dataset.take(np.repeat(positions[:1], rows))
    beside, copied = (first(run_outputs(model, loaded, dataset, feed, "source")) for feed in (feeds, alone))
    if beside.dtype.kind not in "fiu" or not beside.ndim or len(beside) != rows or beside.shape != copied.shape:
        return ""
    numbers, again = beside.astype(np.float64), copied.astype(np.float64)
    if not np.isfinite(numbers).all() or close_items(numbers[:1], again[:1], 1, spread_of_floats([numbers]))[0]:
        return ""
    return (
        f"the answer to a sample depends on the others in its run of {rows}, so that the first axis of the model's "
        "inputs is not that of the samples: export the model with an open batch axis that comes first"
    )


def _one_run(model: ModelFile, dataset: Dataset) -> Outputs:
    """Returns the outputs of ``model`` for the first samples, without the rows that fill up a batch."""
    positions, feeds = next(dataset.batches())
    outputs = run_outputs(model, runtime.load(model), dataset, feeds, "model")
    rows = len(positions)
    return {name: array[:rows] if array.ndim and len(array) > rows else array for name, array in outputs.items()}
