"""The check Latency compares the share of slow requests with the same nodes before their switch (``durations.py``)."""

from dataclasses import replace

from edge_operator.decide.analysis.check_type import CheckType, Objective
from edge_operator.decide.analysis.durations import DurationRule, Durations, parse, settings_of
from edge_operator.decide.analysis.share_test import READ
from edge_operator.decide.measurement import Histogram, Minutes
from edgemodel import metrics, reasons
from edgemodel.reasons import REASONS

DURATIONS = Histogram(metrics.DURATION_SECONDS)
"""The durations of successful requests."""
BY_MINUTE = Minutes(DURATIONS)

CHECK = CheckType[DurationRule](
    type="Latency",
    doc="The share of slow requests, compared with the same nodes before their switch.",
    settings_doc="With objectiveMilliseconds, requests that take longer are bad; without it, each node is compared "
    "with its own latency before its switch.",
    settings=settings_of("Latency", "the server takes"),
    parse=parse,
    judge=Durations(DURATIONS, BY_MINUTE, "latency").judge,
    fails_with=REASONS[reasons.LATENCY_TOO_HIGH],
    series=(*READ, DURATIONS, BY_MINUTE, replace(DURATIONS, warm_up=True)),
    statistical=True,
    objective=Objective(metrics.DURATION_SECONDS, lambda rule: rule.objective_seconds),
)
