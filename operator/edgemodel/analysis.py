"""``spec.analysis`` as types: how a candidate is judged while nodes serve it.

Only the check types of the operator know what the settings of a check mean. The schema in ``crds/`` validates and fills
in defaults; the defaults here are the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from edgemodel.setting_kinds import Settings, settings_key


@dataclass(frozen=True)
class AnalysisCheck:
    """A check of ``spec.analysis.checks``; ``type`` is a key of the operator's CHECKS."""

    name: str
    type: str
    settings: Settings = field(default_factory=dict)
    """The settings as the manifest has them; the type of the check has the defaults of those that are missing."""


class InconclusiveAction(StrEnum):
    """The action for a wave whose checks have stayed undecided for too long."""

    PAUSE = "Pause"
    ROLL_BACK = "RollBack"
    PROCEED = "Proceed"


@dataclass(frozen=True)
class OnInconclusive:
    """The action when a wave has soaked and the data do not decide."""

    after: timedelta = timedelta(seconds=3600)
    action: InconclusiveAction = InconclusiveAction.PAUSE


@dataclass(frozen=True)
class Analysis:
    """The checks of ``spec.analysis``; without checks, nothing is measured."""

    checks: tuple[AnalysisCheck, ...]
    interval: timedelta = timedelta(seconds=15)
    baseline: timedelta = timedelta(seconds=3600)
    on_inconclusive: OnInconclusive = OnInconclusive()


DEFAULT_CHECKS = (
    AnalysisCheck("errors", "ErrorRate"),
    AnalysisCheck("latency", "Latency"),
    AnalysisCheck("golden", "GoldenAgreement"),
)
WITHOUT_SPEC = Analysis(DEFAULT_CHECKS, on_inconclusive=OnInconclusive(timedelta(0), InconclusiveAction.PROCEED))
"""The analysis of a manifest without ``analysis``: it judges the default checks, but undecided ones hold nothing up."""


def parse_analysis(value: Mapping[str, Any] | None) -> Analysis:
    """Returns ``spec.analysis`` of a manifest that the schema has accepted."""
    if value is None:
        return WITHOUT_SPEC
    undecided = value.get("onInconclusive") or {}
    return Analysis(
        checks=tuple(map(_check, value["checks"])) if "checks" in value else DEFAULT_CHECKS,
        interval=timedelta(seconds=value.get("intervalSeconds", 15)),
        baseline=timedelta(seconds=value.get("baselineSeconds", 3600)),
        on_inconclusive=OnInconclusive(
            after=timedelta(seconds=undecided.get("afterSeconds", 3600)),
            action=InconclusiveAction(undecided.get("action", "Pause")),
        ),
    )


def _check(value: Mapping[str, Any]) -> AnalysisCheck:
    return AnalysisCheck(value["name"], value["type"], dict(value.get(settings_key(value["type"])) or {}))
