"""The check InterTokenLatency compares the time between two tokens with the same nodes before their switch.

A request is one observation, by the mean of its gaps: those of one request depend on each other.
"""

from dataclasses import replace

from edge_operator.decide.analysis.check_type import CheckType, Objective
from edge_operator.decide.analysis.durations import DurationRule, Durations, parse, settings_of
from edge_operator.decide.analysis.share_test import READ
from edge_operator.decide.measurement import Histogram, Minutes
from edgemodel import metrics
from edgemodel.reasons import Kind, Reason, Topic

GAPS = Histogram(metrics.INTER_TOKEN_SECONDS)
BY_MINUTE = Minutes(GAPS)

CHECK = CheckType[DurationRule](
    type="InterTokenLatency",
    doc="The time between two tokens of an answer, compared with the same nodes before their switch.",
    settings_doc="With objectiveMilliseconds, requests whose tokens come further apart are bad; without it, each node "
    "is compared with its own time between tokens before its switch. A request counts once, by the mean of its answer.",
    settings=settings_of("Time between two tokens", "its tokens come, on average,"),
    parse=parse,
    judge=Durations(GAPS, BY_MINUTE, "time between tokens", "had their tokens further apart than {limit}").judge,
    fails_with=Reason(
        "InterTokenLatencyTooHigh",
        Topic.ANALYSIS,
        Kind.STALLED,
        "The candidate's tokens come further apart than the check allows.",
        "Use another recipe, lower serving.generate.sequences, give it more CPU, or raise the limit.",
    ),
    series=(*READ, GAPS, BY_MINUTE, replace(GAPS, warm_up=True)),
    statistical=True,
    objective=Objective(metrics.INTER_TOKEN_SECONDS, lambda rule: rule.objective_seconds),
)
