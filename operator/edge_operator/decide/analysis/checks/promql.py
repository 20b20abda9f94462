"""The check PromQL compares one number of a user's query with bounds. An empty result or NaN is Inconclusive."""

from dataclasses import dataclass

from edge_operator.decide.analysis.check_type import CheckType, Constraint
from edge_operator.decide.analysis.evidence import Evidence, Judged
from edge_operator.decide.measurement import Answer
from edgemodel import reasons
from edgemodel.reasons import REASONS
from edgemodel.setting_kinds import Number, Settings, Text
from edgemodel.verdict import Verdict

NOT_ASKED = Answer(None, "not asked yet")


@dataclass(frozen=True)
class PromQLRule:
    """The rule of the check PromQL: the bounds of the query's number; None: no such bound."""

    query: str
    min: float | None
    max: float | None


def parse(settings: Settings) -> PromQLRule:
    """Returns the rule for ``promQL`` settings, which are complete."""
    low, high = (None if settings[key] is None else float(settings[key]) for key in ("min", "max"))
    return PromQLRule(settings["query"], low, high)


def judge(name: str, rule: PromQLRule, evidence: Evidence) -> Judged:
    """Returns the verdict on the number; Inconclusive while there is none."""
    answer = evidence.answers.get(name, NOT_ASKED)
    named = (("least", rule.min), ("limit", rule.max))
    bounds = [f"{name} {_plain(bound, 15)}" for name, bound in named if bound is not None]
    limit = " to ".join(_plain(bound, 15) for bound in (rule.min, rule.max) if bound is not None)

    def judged(verdict: Verdict, observed: str, message: str, reason: str = "", waits: bool = False) -> Judged:
        return Judged(name, evidence.variant, verdict, observed, limit, int(observed != ""), message, reason, waits)

    if answer.value is None:
        message = f"the query gives no number: {answer.problem}"
        return judged(Verdict.INCONCLUSIVE, "", message, reasons.ANALYSIS_INCONCLUSIVE, waits=True)
    observed = _plain(answer.value, 6)
    message = f"the query gives {observed}, {', '.join(bounds)}"
    low = rule.min is not None and answer.value < rule.min
    high = rule.max is not None and answer.value > rule.max
    return judged(Verdict.FAIL if low or high else Verdict.PASS, observed, message)


def _plain(value: float, digits: int) -> str:
    """Returns ``value`` with so many significant digits, and without an exponent from 0.0001 to below 10^15."""
    return f"{float(f'{value:.{digits}g}'):.15g}"


CHECK = CheckType(
    type="PromQL",
    doc="One number from a user-defined Prometheus query.",
    settings={
        "query": Text(
            "Instant query that returns one number; at most 2048 characters. The operator replaces $namespace, "
            "$model, $candidate and $stable with their names; write them inside double quotes. An empty result or NaN "
            "is Inconclusive. A single value out of bounds fails the check, so smooth the value in the query.",
            max_length=2048,
        ),
        "min": Number("Smallest value that passes, a decimal string. Default: no lower bound."),
        "max": Number("Largest value that passes, a decimal string. Default: no upper bound."),
    },
    constraints=(
        Constraint("has(self.min) || has(self.max)", "promQL needs min or max, or both"),
        Constraint(
            "!has(self.min) || !has(self.max) || double(self.min) <= double(self.max)", "min must not be above max"
        ),
    ),
    required=("query",),
    needs="a query, and min or max",
    parse=parse,
    judge=judge,
    fails_with=REASONS[reasons.QUERY_OUT_OF_BOUNDS],
    query=lambda rule: rule.query,
    per_variant=False,
)
