"""Evaluation: how source and artifact do at their task, how large they are, how long they take.

One file for each task; ``evaluator`` chooses among them. Nothing is judged here: that is ``gate``.
"""

from edge_compressor.evaluation.agreement import compare_values
from edge_compressor.evaluation.evaluator import TASKS, Evaluator
from edge_compressor.evaluation.measuring import (
    LatencyComparison,
    Speed,
    Timing,
    compare_speed,
    speed_of,
    time_both,
    zstd_size,
)
from edge_compressor.evaluation.result import MAX_CLASSES_SHOWN, ClassChange, Evaluation, Scores

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
    "time_both",
    "zstd_size",
]
