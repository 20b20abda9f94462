"""The type of a check: one value with all that the manifest, Prometheus and the judgement need.

``crds/generated.py`` makes the schema from ``settings`` and ``constraints``. The operator parses with ``settings``,
queries Prometheus for ``series``, and judges with ``judge``. No other code knows the individual types.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, TypeVar

from edge_operator.decide.analysis.evidence import Evidence, Judged
from edge_operator.decide.measurement import Series
from edgemodel.reasons import Reason
from edgemodel.setting_kinds import Setting, Settings, settings_key
from edgemodel.verdict import Verdict

RuleT = TypeVar("RuleT")


@dataclass(frozen=True)
class Objective(Generic[RuleT]):
    """A duration at which a histogram of the servers needs a bucket edge, so that requests beyond it are counted."""

    metric: str
    """The name of the histogram."""
    seconds: Callable[[RuleT], float | None]
    """A function that returns the duration; None: the check has no objective."""


class Constraint(NamedTuple):
    """A CEL rule for the settings of one check, and the message for a manifest that breaks it."""

    rule: str
    message: str


@dataclass(frozen=True)
class CheckType(Generic[RuleT]):
    """A type of check. ``RuleT`` is what ``parse`` makes of its settings."""

    type: str
    doc: str
    """The description of the type for ``kubectl explain``."""
    settings: Mapping[str, Setting]
    parse: Callable[[Settings], RuleT]
    """A function that returns the rule for resolved settings, which the schema has accepted."""
    judge: Callable[[str, RuleT, Evidence], Judged]
    """A function that returns the verdict of the check of this name."""
    fails_with: Reason
    """The reason of a rollback, for conditions and events."""
    series: tuple[Series, ...] = ()
    """The series that the operator queries; ``judge`` finds their samples in its evidence."""
    query: Callable[[RuleT], str] | None = None
    """A function that returns the user's query; ``judge`` finds its number in ``evidence.answers``, by the check's
    name."""
    per_variant: bool = True
    """True if each variant is judged separately; False if all nodes are judged together."""
    statistical: bool = False
    """True if the check can fail by chance, so that it gets a share of ``ALPHA``."""
    objective: "Objective[RuleT] | None" = None
    """A duration that must be a bucket edge of a histogram of the servers; None: no such duration."""
    settings_doc: str = ""
    """The description of the settings object for ``kubectl explain``."""
    constraints: tuple[Constraint, ...] = ()
    required: tuple[str, ...] = ()
    """The required settings."""
    needs: str = ""
    """The required settings in words, for the message if they are absent; empty if none is required."""

    @property
    def key(self) -> str:
        """The key of the settings in the manifest: ``ErrorRate`` -> ``errorRate``."""
        return settings_key(self.type)


@dataclass(frozen=True)
class PlannedCheck:
    """A parsed check of a manifest: ``settings`` has every key, and ``rule`` is parsed from them."""

    name: str
    type: CheckType[Any]
    settings: Settings
    rule: Any

    def judge(self, evidence: Evidence) -> Judged:
        """Returns the verdict; a failed check has the reason of its type."""
        judged = self.type.judge(self.name, self.rule, evidence)
        return replace(judged, reason=self.type.fails_with.word) if judged.verdict is Verdict.FAIL else judged

    @property
    def query(self) -> str | None:
        """The user's query of this check; None for a type without one."""
        return None if self.type.query is None else self.type.query(self.rule)

    def edge_of(self, metric: str) -> float | None:
        """Returns the duration in seconds that must be a bucket edge of the histogram ``metric``; None: no such
        duration."""
        objective = self.type.objective
        return objective.seconds(self.rule) if objective is not None and objective.metric == metric else None
