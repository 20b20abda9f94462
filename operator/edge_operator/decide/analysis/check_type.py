"""The type of a check: one value with all that the manifest, Prometheus and the judge need to know of it.

``crds/generated.py`` makes the schema from ``settings`` and ``constraints``; the operator parses by ``settings``, asks
Prometheus for ``series``, and judges by ``judge``. Nothing else knows which types there are.
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


class Constraint(NamedTuple):
    """A CEL rule over the settings of one check, and what a manifest that breaks it is told."""

    rule: str
    message: str


@dataclass(frozen=True)
class CheckType(Generic[RuleT]):
    type: str
    doc: str
    """The sentences that ``kubectl explain`` has for ``type``."""
    settings: Mapping[str, Setting]
    parse: Callable[[Settings], RuleT]
    """Returns the rule that resolved settings mean. The schema has let them through."""
    judge: Callable[[str, RuleT, Evidence], Judged]
    """Returns the verdict of the check of this name."""
    fails_with: Reason
    """Why a candidate is rolled back, as conditions and events say it."""
    series: tuple[Series, ...] = ()
    """The series that Prometheus is asked for; ``judge`` finds their samples in its evidence."""
    query: Callable[[RuleT], str] | None = None
    """Returns a query of the user's own; ``judge`` finds its number in ``evidence.answers``, by the check's name."""
    per_variant: bool = True
    """True: each variant is judged by itself. False: all nodes are judged together."""
    statistical: bool = False
    """True: chance alone can make it fail, so it gets its share of ``ALPHA``."""
    latency_edge: Callable[[RuleT], float | None] | None = None
    """Returns a duration in seconds that the servers' histogram must tell exactly; None where there is none."""
    settings_doc: str = ""
    """The sentences that ``kubectl explain`` has for the settings together."""
    constraints: tuple[Constraint, ...] = ()
    required: tuple[str, ...] = ()
    """Settings without which there is no check."""
    needs: str = ""
    """The words for what a check lacks whose settings are left out; empty where none is required."""

    @property
    def key(self) -> str:
        """The key of the settings in the manifest: ``ErrorRate`` -> ``errorRate``."""
        return settings_key(self.type)


@dataclass(frozen=True)
class PlannedCheck:
    """A check of a manifest, understood: ``settings`` has every key, ``rule`` is what they mean."""

    name: str
    type: CheckType[Any]
    settings: Settings
    rule: Any

    def judge(self, evidence: Evidence) -> Judged:
        """Returns the verdict; a check that fails does so with the reason of its type."""
        judged = self.type.judge(self.name, self.rule, evidence)
        return replace(judged, reason=self.type.fails_with.word) if judged.verdict is Verdict.FAIL else judged

    @property
    def query(self) -> str | None:
        return None if self.type.query is None else self.type.query(self.rule)

    @property
    def latency_edge(self) -> float | None:
        """A duration in seconds that the servers' histogram must tell exactly."""
        return None if self.type.latency_edge is None else self.type.latency_edge(self.rule)
