"""Verdicts: what a wave is judged by, check by check, from what Prometheus measured. Pure."""

from edge_operator.decide.analysis.judge import Judgement, OnTrial, judge
from edge_operator.decide.analysis.measurement_plan import MeasurementPlan, plan_measuring
from edge_operator.decide.analysis.report import Reported, report
from edge_operator.decide.analysis.wave_baseline import WaveBaseline

__all__ = ["Judgement", "MeasurementPlan", "OnTrial", "Reported", "WaveBaseline", "judge", "plan_measuring", "report"]
