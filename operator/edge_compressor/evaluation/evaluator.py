"""The choice of the task, and the evaluation of source and artifact by it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import Final

from edge_compressor.datasets import Dataset
from edge_compressor.evaluation.agreement import compare_values
from edge_compressor.evaluation.classification import Classification
from edge_compressor.evaluation.detection import Detection
from edge_compressor.evaluation.embedding import Embedding
from edge_compressor.evaluation.inference import infer, labelled_for
from edge_compressor.evaluation.multi_label import MultiLabel
from edge_compressor.evaluation.regression import Regression
from edge_compressor.evaluation.result import Evaluation
from edge_compressor.evaluation.sequence import Sequence
from edge_compressor.evaluation.task import Answers, EvaluationTask, Outputs, collect, run_outputs
from edge_compressor.models import runtime
from edge_compressor.models.model_file import ModelFile
from edge_compressor.progress import Progress
from edgemodel import reasons
from edgemodel.compression_request import AUTO, EVALUATION_TASKS, EvaluationSettings
from edgemodel.errors import Stalled

TASKS: Final[Mapping[str, Callable[[Decimal | None], EvaluationTask]]] = {
    "Classification": lambda tolerance: Classification(),
    "MultiLabel": lambda tolerance: MultiLabel(),
    "Regression": Regression,
    "Detection": lambda tolerance: Detection(),
    "Embedding": lambda tolerance: Embedding(),
    "Sequence": lambda tolerance: Sequence(),
}


@dataclass
class Evaluator:
    """An evaluator that keeps the answers of models, so that a source runs once for all recipes.

    Raises Stalled(InvalidSpec) for an unknown task and for a tolerance that is not a decimal above 0.
    """

    progress: Progress
    settings: EvaluationSettings = field(default_factory=EvaluationSettings)
    _known: dict[tuple[str, int, str], Answers] = field(default_factory=dict)

    def __post_init__(self) -> None:
        task, tolerance = self.settings.task, self.settings.tolerance
        if task not in EVALUATION_TASKS:
            wanted = ", ".join(EVALUATION_TASKS)
            raise Stalled(reasons.INVALID_SPEC, f"evaluation.task is {task!r}, want one of {wanted}")
        if tolerance is not None and not _positive(tolerance):
            message = f"evaluation.tolerance is {tolerance!r}, want a decimal above 0, such as '0.5'"
            raise Stalled(reasons.INVALID_SPEC, message)

    def evaluate(self, source: ModelFile, artifact: ModelFile, dataset: Dataset) -> Evaluation:
        """Raises Stalled: DatasetInvalid if set and task do not match, otherwise as ``measuring.run``."""
        name, why, tolerance = self.settings.task, "as set", self.settings.tolerance
        if name == AUTO:
            if dataset.label is None:
                return compare_values(source, artifact, dataset, self.progress)
            name, why = infer(dataset, _one_run(artifact, dataset))
        dataset = labelled_for(name, dataset)
        task = TASKS[name](Decimal(tolerance) if tolerance else None)
        task.check(dataset)
        reason = incomparable(source, artifact)
        before = None if reason else self._answers(task, source, dataset, "source")
        found = task.compare(dataset, before, self._answers(task, artifact, dataset, "artifact"))
        spare = (
            [f"evaluation.tolerance is not used: task {name} has none"] if tolerance and name != "Regression" else []
        )
        notes = [
            f"task {name} ({why})",
            *spare,
            *([f"the source is not compared: {reason}"] if reason else []),
            *found.notes,
        ]
        return replace(found, notes=tuple(notes))

    def _answers(self, task: EvaluationTask, model: ModelFile, dataset: Dataset, what: str) -> Answers:
        key = (model.digest, dataset.size, task.name)
        if key not in self._known:
            self.progress.say(f"evaluating {what} on {dataset.size} samples")
            self._known[key] = collect(task, model, dataset, self.progress, what=what)
        return self._known[key]


def incomparable(source: ModelFile, artifact: ModelFile) -> str:
    """Returns why the answers of source and artifact cannot be compared; empty if they can.

    Steps may give a model another head, for other classes: its first output then has another shape.
    """
    before, after = source.outputs[0].shape, artifact.outputs[0].shape
    same = len(before) == len(after) and all(
        one == other or one < 0 or other < 0 for one, other in zip(before[1:], after[1:], strict=True)
    )
    return "" if same else f"its first output has shape {list(before)}, the artifact's {list(after)}"


def _one_run(model: ModelFile, dataset: Dataset) -> Outputs:
    _, feeds = next(dataset.batches())
    return run_outputs(model, runtime.load(model), dataset, feeds, "artifact")


def _positive(text: str) -> bool:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return False
    return number.is_finite() and number > 0
