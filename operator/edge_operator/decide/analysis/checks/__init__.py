"""The checks of ``spec.analysis``, one file per type, and their list.

A new type needs a file with a ``CHECK`` and a line in ``CHECKS``.
"""

from typing import Any, Final

from edge_operator.decide.analysis.check_type import CheckType, PlannedCheck
from edge_operator.decide.analysis.checks import (
    accuracy,
    error_rate,
    golden_agreement,
    inter_token_latency,
    latency,
    promql,
    time_to_first_token,
)
from edgemodel import metrics
from edgemodel.analysis import Analysis
from edgemodel.digest import canonical_json
from edgemodel.names import short_hash
from edgemodel.setting_kinds import resolve

CHECKS: Final[dict[str, CheckType[Any]]] = {
    module.CHECK.type: module.CHECK
    for module in (error_rate, latency, time_to_first_token, inter_token_latency, golden_agreement, accuracy, promql)
}


def plan_checks(analysis: Analysis) -> tuple[PlannedCheck, ...]:
    """Returns the parsed checks of ``analysis``.

    Raises ValueError for an unknown type or setting, which only the schema of another version can have accepted.
    """
    planned = []
    for check in analysis.checks:
        kind = CHECKS.get(check.type)
        if kind is None:
            known = ", ".join(CHECKS)
            raise ValueError(f"check {check.name}: type {check.type!r} is not known to this operator: {known}")
        settings = resolve(kind.key, kind.settings, check.settings)
        if missing := [key for key in kind.required if settings[key] is None]:
            raise ValueError(f"check {check.name}: {kind.key} lacks {', '.join(missing)}")
        planned.append(PlannedCheck(check.name, kind, settings, kind.parse(settings)))
    return tuple(planned)


def checks_hash(analysis: Analysis) -> str:
    """Returns a hash of what the checks judge; spelling out a default does not change it. Raises ValueError."""
    what = [[check.name, check.type.type, dict(check.settings)] for check in plan_checks(analysis)]
    return short_hash(canonical_json(what).decode(), 10)


def objective_edge(analysis: Analysis, metric: str = metrics.DURATION_SECONDS) -> float | None:
    """Returns the first duration, in seconds, that a check requires as a bucket edge of the histogram ``metric``."""
    edges = (check.edge_of(metric) for check in plan_checks(analysis))
    return next((edge for edge in edges if edge is not None), None)
