"""The tasks, one file per task; the package finds each by its ``TASK``."""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Final

from edge_compressor.evaluation.task import TaskType

__all__ = ["TASKS", "task_arrays"]

_USUAL: Final = "Classification"


def _found() -> dict[str, TaskType]:
    modules = [importlib.import_module(f"{__name__}.{one.name}") for one in pkgutil.iter_modules(__path__)]
    tasks = [module.TASK for module in modules if hasattr(module, "TASK")]
    return {one.type: one for one in sorted(tasks, key=lambda one: (one.type != _USUAL, one.type))}


TASKS: Final[Mapping[str, TaskType]] = _found()
"""The tasks by name; the most usual one comes first."""


def task_arrays() -> frozenset[str]:
    """Returns the names of the arrays that tasks read from a data set besides ``label``."""
    return frozenset(name for task in TASKS.values() for name in task.arrays)
