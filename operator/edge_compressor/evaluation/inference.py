"""The inference of the task from labels and outputs.

Types say little: pandas makes floats of classes as soon as one is missing, and counts are whole numbers. So the values
of labels and of one run's outputs decide, each task for itself, and if they are ambiguous, the user is asked.
"""

from edge_compressor.datasets import Dataset
from edge_compressor.evaluation.task import Outputs, TaskType, first, invalid
from edge_compressor.evaluation.tasks import TASKS


def infer(dataset: Dataset, outputs: Outputs) -> tuple[TaskType, str]:
    """Returns the task of a set with labels or arrays of tasks, and the reason. ``outputs`` are those of one run.

    Raises Stalled(DatasetInvalid) if no task is certain, or more than one.
    """
    with_arrays = [task for task in TASKS.values() if task.arrays and dataset.arrays.keys() >= set(task.arrays)]
    asked = with_arrays or (TASKS.values() if dataset.label is not None else ())
    claims = [(task, task.infer(dataset, outputs)) for task in asked if task.infer is not None]
    certain = [(task, f"inferred: {claim.why}") for task, claim in claims if claim and claim.is_certain]
    if len(certain) == 1:
        return certain[0]
    for _, claim in claims:
        if claim and not certain:
            raise invalid(dataset, claim.why)
    label, output = dataset.label, first(outputs)
    given = "there is no label" if label is None else f"label is {label.dtype} of shape {list(label.shape)}"
    shapes = f"{given}, the first output of shape {list(output.shape)}"
    without = "" if certain or label is None else ", or leave label out to compare with the source alone"
    fitting = ", ".join(task.type for task, _ in certain) or ", ".join(TASKS)
    raise invalid(dataset, f"{shapes}: the task cannot be inferred, set evaluation.task to one of {fitting}{without}")
