"""The gate, which judges in the Job, before any node serves an artifact, whether it keeps its budget. Pure."""

from edge_compressor.gate.answers import (
    Own,
    OwnAnswers,
    OwnScore,
    Paired,
    PairedAnswers,
    PairedScores,
    WorstOutput,
    drop_interval,
    drop_json,
    own_interval,
    own_of,
)
from edge_compressor.gate.judge import (
    GateResult,
    Measurements,
    judge,
    judge_accuracy,
    judge_floor,
    judge_latency,
    judge_relative_error,
    judge_size,
)
from edge_compressor.gate.sample_size import samples_for_floor, samples_to_decide

__all__ = [
    "GateResult",
    "Measurements",
    "Own",
    "OwnAnswers",
    "OwnScore",
    "Paired",
    "PairedAnswers",
    "PairedScores",
    "WorstOutput",
    "drop_interval",
    "drop_json",
    "judge",
    "judge_accuracy",
    "judge_floor",
    "judge_latency",
    "judge_relative_error",
    "judge_size",
    "own_interval",
    "own_of",
    "samples_for_floor",
    "samples_to_decide",
]
