"""``spec.analysis`` as types: how a candidate is judged while nodes serve it.

What the settings of a check mean is known to the check types of the operator alone. The schema in ``crds/`` validates
and fills in defaults; the defaults here are the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from edgemodel.setting_kinds import Settings, settings_key


@dataclass(frozen=True)
class AnalysisCheck:
    name: str
    type: str
    settings: Settings = field(default_factory=dict)
    """As they stand in the manifest: what is not there has the default of the check's type."""


@dataclass(frozen=True)
class OnInconclusive:
    """The consequence where a wave has served its time and the data do not decide."""

    after: timedelta = timedelta(seconds=3600)
    action: str = "Pause"
    """Pause, RollBack or Proceed."""


@dataclass(frozen=True)
class Analysis:
    checks: tuple[AnalysisCheck, ...]
    interval: timedelta = timedelta(seconds=15)
    baseline: timedelta = timedelta(seconds=3600)
    on_inconclusive: OnInconclusive = OnInconclusive()


DEFAULT_CHECKS = (
    AnalysisCheck("errors", "ErrorRate"),
    AnalysisCheck("latency", "Latency"),
    AnalysisCheck("golden", "GoldenAgreement"),
)
WITHOUT_SPEC = Analysis(DEFAULT_CHECKS, on_inconclusive=OnInconclusive(timedelta(0), "Proceed"))
"""Where a manifest has no ``analysis``: judged all the same, and never held up."""


def parse_analysis(value: Mapping[str, Any] | None) -> Analysis:
    """Returns ``spec.analysis`` of a manifest that the schema has let through."""
    if value is None:
        return WITHOUT_SPEC
    undecided = value.get("onInconclusive") or {}
    return Analysis(
        checks=tuple(map(_check, value["checks"])) if "checks" in value else DEFAULT_CHECKS,
        interval=timedelta(seconds=value.get("intervalSeconds", 15)),
        baseline=timedelta(seconds=value.get("baselineSeconds", 3600)),
        on_inconclusive=OnInconclusive(
            after=timedelta(seconds=undecided.get("afterSeconds", 3600)),
            action=undecided.get("action", "Pause"),
        ),
    )


def _check(value: Mapping[str, Any]) -> AnalysisCheck:
    return AnalysisCheck(value["name"], value["type"], dict(value.get(settings_key(value["type"])) or {}))
