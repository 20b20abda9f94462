"""``spec.analysis`` as types: what a candidate is judged by while nodes serve it.

The schema in ``crds/`` validates and fills in defaults; the defaults here are the same.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from edgemodel.digest import canonical_json
from edgemodel.names import short_hash


@dataclass(frozen=True)
class ErrorRateRule:
    max_increase: float = 0.01
    """A share: 0.01 is one percentage point."""


@dataclass(frozen=True)
class LatencyRule:
    objective_seconds: float | None = None
    max_increase: float = 0.01
    """Of the share of requests beyond the objective."""
    max_slowdown: float | None = 1.0
    """1.0 is twice as slow as the node was before; None: not judged."""


@dataclass(frozen=True)
class GoldenAgreementRule:
    min_percent: float | None = None
    """None: what the artifact itself demands."""


@dataclass(frozen=True)
class AccuracyRule:
    max_drop: float = 0.02


@dataclass(frozen=True)
class PromQLRule:
    query: str
    min: float | None
    max: float | None


@dataclass(frozen=True)
class AnalysisCheck:
    name: str
    rule: ErrorRateRule | LatencyRule | GoldenAgreementRule | AccuracyRule | PromQLRule


@dataclass(frozen=True)
class MissingData:
    deadline: timedelta = timedelta(seconds=3600)
    on_deadline: str = "Pause"
    """Pause, RollBack or Proceed."""


@dataclass(frozen=True)
class Analysis:
    checks: tuple[AnalysisCheck, ...]
    interval: timedelta = timedelta(seconds=15)
    baseline: timedelta = timedelta(seconds=3600)
    missing_data: MissingData = MissingData()

    @property
    def checks_hash(self) -> str:
        what = [
            [check.name, type(check.rule).__name__.removesuffix("Rule"), asdict(check.rule)] for check in self.checks
        ]
        return short_hash(canonical_json(what).decode(), 10)

    @property
    def objective_seconds(self) -> float | None:
        """The first latency objective: the server's histogram gets a bucket edge there."""
        rules = (check.rule for check in self.checks)
        found = (rule.objective_seconds for rule in rules if isinstance(rule, LatencyRule))
        return next((objective for objective in found if objective is not None), None)


DEFAULT_CHECKS = (
    AnalysisCheck("errors", ErrorRateRule()),
    AnalysisCheck("latency", LatencyRule()),
    AnalysisCheck("golden", GoldenAgreementRule()),
)
WITHOUT_SPEC = Analysis(DEFAULT_CHECKS, missing_data=MissingData(timedelta(0), "Proceed"))
"""Where a manifest has no ``analysis``: judged all the same, and never held up."""


def parse_analysis(value: Mapping[str, Any] | None) -> Analysis:
    """``spec.analysis`` of a manifest that the schema has let through."""
    if value is None:
        return WITHOUT_SPEC
    missing = value.get("missingData") or {}
    return Analysis(
        checks=tuple(map(_check, value["checks"])) if "checks" in value else DEFAULT_CHECKS,
        interval=timedelta(seconds=value.get("intervalSeconds", 15)),
        baseline=timedelta(seconds=value.get("baselineSeconds", 3600)),
        missing_data=MissingData(
            deadline=timedelta(seconds=missing.get("deadlineSeconds", 3600)),
            on_deadline=missing.get("onDeadline", "Pause"),
        ),
    )


def _check(value: Mapping[str, Any]) -> AnalysisCheck:
    match value["type"]:
        case "ErrorRate":
            rule: Any = ErrorRateRule(_share(value.get("errorRate"), "maxIncreasePercent", "1"))
        case "Latency":
            rule = _latency(value.get("latency") or {})
        case "GoldenAgreement":
            rule = GoldenAgreementRule(_number((value.get("goldenAgreement") or {}).get("minPercent")))
        case "Accuracy":
            rule = AccuracyRule(_share(value.get("accuracy"), "maxDropPercent", "2"))
        case "PromQL":
            own = value["promQL"]
            rule = PromQLRule(own["query"], _number(own.get("min")), _number(own.get("max")))
        case other:
            raise ValueError(f"a check of type {other}: the schema knows more types than this operator")
    return AnalysisCheck(value["name"], rule)


def _latency(value: Mapping[str, Any]) -> LatencyRule:
    objective = _number(value.get("objectiveMilliseconds"))
    slowdown = _number(value.get("maxSlowdownPercent", "100" if objective is None else None))
    return LatencyRule(
        objective_seconds=None if objective is None else objective / 1000,
        max_increase=_share(value, "maxIncreasePercent", "1"),
        max_slowdown=None if slowdown is None else slowdown / 100,
    )


def _share(value: Mapping[str, Any] | None, key: str, default: str) -> float:
    return float((value or {}).get(key, default)) / 100


def _number(text: str | int | None) -> float | None:
    return None if text is None else float(text)
