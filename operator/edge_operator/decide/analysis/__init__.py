"""The verdicts: the thresholds of a wave, and each check's judgement of what Prometheus measured. Pure."""

from edge_operator.decide.analysis.checks import CHECKS, objective_edge, plan_checks
from edge_operator.decide.analysis.judge import Judgement, OnTrial, judge
from edge_operator.decide.analysis.measurement_plan import plan_measuring
from edge_operator.decide.analysis.report import Reported, report
from edge_operator.decide.analysis.wave_baseline import WaveBaseline

__all__ = [
    "CHECKS",
    "Judgement",
    "OnTrial",
    "Reported",
    "WaveBaseline",
    "judge",
    "objective_edge",
    "plan_checks",
    "plan_measuring",
    "report",
]
