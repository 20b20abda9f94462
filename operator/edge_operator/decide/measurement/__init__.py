"""The measurement: the series that Prometheus is asked for while a candidate is on trial, and their samples. Pure."""

from edge_operator.decide.measurement.plan import MeasurementPlan
from edge_operator.decide.measurement.samples import Answer, Baseline, Samples
from edge_operator.decide.measurement.series import (
    Counter,
    Counts,
    Gauge,
    Histogram,
    Minutes,
    Sample,
    Series,
    StratifiedHistogram,
    merge,
    of_warm_up,
)
from edge_operator.decide.measurement.window import Span, Window

__all__ = [
    "Answer",
    "Baseline",
    "Counter",
    "Counts",
    "Gauge",
    "Histogram",
    "MeasurementPlan",
    "Minutes",
    "Sample",
    "Samples",
    "Series",
    "Span",
    "StratifiedHistogram",
    "Window",
    "merge",
    "of_warm_up",
]
