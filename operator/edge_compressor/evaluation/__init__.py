"""Evaluation: the scores of source and artifact at their task, their sizes and latencies.

There is one file for each task in ``tasks``, and ``evaluator`` chooses among them. Judging is left to ``gate``.
"""

from edge_compressor.evaluation.agreement import compare_values
from edge_compressor.evaluation.evaluator import Evaluator
from edge_compressor.evaluation.measuring import (
    LatencyComparison,
    Speed,
    Timing,
    compare_speed,
    speed_of,
    time_both,
    transfer_bytes,
)
from edge_compressor.evaluation.result import MAX_CLASSES_SHOWN, ClassChange, Evaluation, Scores
from edge_compressor.evaluation.tasks import TASKS, task_arrays

__all__ = [
    "MAX_CLASSES_SHOWN",
    "TASKS",
    "ClassChange",
    "Evaluation",
    "Evaluator",
    "LatencyComparison",
    "Scores",
    "Speed",
    "Timing",
    "compare_speed",
    "compare_values",
    "speed_of",
    "task_arrays",
    "time_both",
    "transfer_bytes",
]
