"""The check ErrorRate compares the share of failed requests with the same nodes before their switch.

A request fails if the server answers with an error of its own, or breaks off a stream that it began with status 200. A
request that does not match the model (another input name, datatype or shape, or rejected values) may be a client's
mistake as well as a candidate with changed inputs, so the check counts it separately, with the limit REFUSED_INCREASE.
"""

from dataclasses import dataclass

from edge_operator.decide.analysis.check_type import CheckType
from edge_operator.decide.analysis.evidence import Evidence, Judged
from edge_operator.decide.analysis.limits import Before
from edge_operator.decide.analysis.share_test import READ, REQUESTS, REQUESTS_BY_MINUTE, Measure, judge_shares
from edge_operator.decide.measurement import Counts
from edgemodel import metrics, reasons
from edgemodel.reasons import REASONS
from edgemodel.setting_kinds import Amount, Settings

REFUSED_INCREASE = 0.2


@dataclass(frozen=True)
class ErrorRateRule:
    """The rule of the check ErrorRate."""

    max_increase: float = 0.01
    """The allowed increase as a share: 0.01 is one percentage point."""


def parse(settings: Settings) -> ErrorRateRule:
    """Returns the rule for ``errorRate`` settings, which are complete."""
    return ErrorRateRule(float(settings["maxIncreasePercent"]) / 100)


def judge(name: str, rule: ErrorRateRule, evidence: Evidence) -> Judged:
    """Returns the verdict on the shares of failed and of refused requests; the worse one is shown."""
    refused = max(REFUSED_INCREASE, rule.max_increase)
    measures = (
        _measure("failed", "failed", metrics.SERVER_ERROR, rule.max_increase),
        _measure("refused", "did not fit the model", metrics.REFUSED, refused),
    )
    return judge_shares(name, evidence, measures)


def _measure(key: str, words: str, outcome: str, max_increase: float) -> Measure:
    def bad(counts: Counts, _: float | None) -> int:
        return REQUESTS.of(counts, outcome)

    return Measure(
        key=key,
        settings=(max_increase,),
        words=words,
        bad=bad,
        total=REQUESTS.total,
        before=lambda counts: Before(REQUESTS.of(counts, outcome), REQUESTS.total(counts), max_increase),
        minutes=lambda counts, _: REQUESTS_BY_MINUTE.moments(counts, outcome),
        without_baseline=Before(0, 0, max_increase),
    )


CHECK = CheckType(
    type="ErrorRate",
    doc="The share of failed requests, compared with the same nodes before their switch.",
    settings={
        "maxIncreasePercent": Amount(
            "Increase in the share of failed requests that is too much, in percentage points; a decimal string above "
            "0, at most 100. The check fails when the candidate is shown to exceed the expected share by more than "
            "this: with 1 point, the limit is 2 % where 1 % is expected, and 6 % where 5 % is. Expected is the share "
            "of the same node before its switch, times the drift that nodes on stable show since then; if none runs "
            "stable, 1.5 times the odds of before. Requests that do not match the inputs of the candidate (name or "
            "shape) are judged separately, with 20 points. Default: 1.",
            unit="percentage points",
            example="1.0",
            default="1",
            above=True,
        )
    },
    parse=parse,
    judge=judge,
    fails_with=REASONS[reasons.ERROR_RATE_TOO_HIGH],
    series=READ,
    statistical=True,
)
