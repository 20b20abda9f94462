"""The status of EdgeModels: what the operator writes, and what its next pass continues from.

The cluster forgets when a wave began, what was rejected and why; status remembers it. It is parsed once, when the
operator sees an EdgeModel, and written once, at the end of a pass.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Final

from edgemodel.plain import camel_case, from_api, readable_from_api, to_api
from edgemodel.report import ArtifactReport
from edgemodel.schema_version import SCHEMA_VERSION
from edgemodel.verdict import CheckResult, Verdict
from edgemodel.version import VERSION

MAX_MESSAGE_LENGTH: Final = 1000
"""The largest length of the message of a condition, a check or a rejection, in characters."""

OPERATOR_VERSION: Final = "operatorVersion"
"""The member of the status with the version of the operator that wrote it last. It is no reason to write."""


@dataclass(frozen=True)
class StoredCondition:
    """A condition as Kubernetes has it."""

    type: str
    status: str
    """``True``, ``False`` or ``Unknown``."""
    reason: str
    message: str
    last_transition_time: datetime
    """The time at which ``status`` last changed."""
    observed_generation: int | None = None


@dataclass(frozen=True)
class RejectedRevision:
    """A revision that is never entered again."""

    name: str
    reason: str
    time: datetime
    message: str | None = None
    """The message; None if status has no room for it any more."""

    @property
    def why(self) -> str:
        """Returns the message, or a substitute for a lost one."""
        return self.message or "it failed long ago"


@dataclass(frozen=True)
class RatioStatus:
    """The log-likelihood ratio of one alternative, which adds up over clusters; decimal strings."""

    alternative: str
    """The increase of the share of bad requests, in multiples of the one that is too much."""
    log_likelihood_ratio: str


@dataclass(frozen=True)
class HypothesisStatus:
    """The evidence for one hypothesis about a candidate: it is shown once the mixed ratios reach ``limit``."""

    measure: str
    hypothesis: str
    """``Worse``, ``AboveLimit`` or ``BelowLimit``."""
    limit: str
    """A decimal string, as the ratios are."""
    ratios: tuple[RatioStatus, ...]


@dataclass(frozen=True)
class CheckStatus(CheckResult):
    """The result for one limit, from the gate, or from the analysis of ``revision`` while nodes serve it."""

    variant: str | None = None
    """The variant; None if all nodes are judged together, and for the gate."""
    revision: str | None = None
    """The revision; None for the gate."""
    reason: str | None = None
    """The reason why the check is undecided, or has failed."""
    measured_at: datetime | None = None
    evidence: tuple[HypothesisStatus, ...] = ()
    """The evidence by measure and hypothesis, as of ``measured_at``; empty for a check that is no test of shares."""
    detectable_percent: str | None = None
    """The increase, in percentage points, that would have been found by then with four chances in five; None if none
    would."""
    requests_to_decide: int | None = None
    """The further requests until there are enough to decide, 0 from then on; None if their number is not known."""

    @classmethod
    def of_gate(cls, result: CheckResult) -> "CheckStatus":
        """Returns the entry for a result of the gate, which has no revision."""
        return cls(**vars(result))


@dataclass(frozen=True)
class NodeCounts:
    """The numbers of nodes; a node counts as serving if its whole cell serves."""

    selected: int = 0
    stable: int = 0
    candidate: int = 0
    offline: int = 0
    failed: int = 0
    unsupported: int = 0
    set_aside: int = 0
    """The number of online nodes that take no new pod, whether they serve or not."""
    summary: str = ""
    """The serving and the selected nodes, such as ``2/3``."""
    not_ready: tuple[str, ...] = field(kw_only=True)
    """The first names of nodes that are offline, failed, unsupported, or set aside without serving."""


@dataclass(frozen=True)
class Pause:
    """``until`` is None while it lasts."""

    since: datetime
    until: datetime | None = None


@dataclass(frozen=True)
class StoredBaseline:
    """The knowledge of one measure of one check for one variant before the wave; decimal strings."""

    check: str
    variant: str
    measure: str
    request_count: int
    expected: str
    """The mean share of bad requests of a node, in 0..1."""
    strength: str
    """The number of requests of its own that weigh as much in a node's expected share as the other nodes do."""
    design_effect: str
    """The variance of the counts, in multiples of that of independent requests, at least 1."""


BASELINE_OF_TODAY: Final = ("strength", "designEffect")
"""The members that a baseline of an older operator lacks."""


@dataclass(frozen=True)
class StoredAnalysis:
    """The parameters by which a wave is judged; the probabilities are decimal strings in 0..1."""

    since: datetime
    checks_hash: str
    alpha: str
    baselines: tuple[StoredBaseline, ...]
    beta: str = ""


@dataclass(frozen=True)
class RolloutStatus:
    """The trial of the candidate. The defaults hold before a trial has begun."""

    wave: int = 0
    """The number of the wave, from 0."""
    wave_name: str = ""
    waves: int = 0
    started_at: datetime | None = None
    """The time at which the candidate's first wave began."""
    wave_started_at: datetime | None = None
    reason: str = ""
    held_since: datetime | None = None
    """The time since which the wave has soaked and the data do not decide; None otherwise."""
    pauses: tuple[Pause, ...] = ()
    analysis: StoredAnalysis | None = None
    control_nodes: int | None = None
    """The number of nodes that stay on stable until the bake is through; None if there are none."""
    controls_released_at: datetime | None = None
    """The time at which the bake was through, and the controls began to switch; None before."""


NO_TRIAL: Final = RolloutStatus()


@dataclass(frozen=True)
class ClassPreflight:
    """The preflight of one hardware class; it has no verdict while its Job runs."""

    name: str
    variant: str = ""
    architecture: str = ""
    node: str | None = None
    """The node that represents the class; None if none is eligible."""
    verdict: Verdict | None = None
    reason: str | None = None
    message: str | None = None
    golden_items: int | None = None
    """The number of golden items; None before the measurement, and if the artifact has no golden set."""
    golden_agree: int | None = None
    min_percent: str | None = None
    """The share of golden items that the artifact demands, a decimal string in 0..100."""
    p50_milliseconds: str | None = None
    p95_milliseconds: str | None = None
    runs: int | None = None
    cpu: str | None = None
    instruction_sets: tuple[str, ...] = ()
    placed: tuple[str, ...] = ()
    measured_at: datetime | None = None


@dataclass(frozen=True)
class PreflightResult:
    """The outcome of the preflight of a revision."""

    classes: tuple[ClassPreflight, ...]
    omitted: int | None = None
    """The number of further classes, which are not measured; None if there are none."""

    @property
    def failed(self) -> ClassPreflight | None:
        """Returns the first class that failed; None if none did."""
        return next((item for item in self.classes if item.verdict is Verdict.FAIL), None)

    @property
    def is_over(self) -> bool:
        """Returns whether a class has failed, or all have a verdict."""
        return self.failed is not None or all(item.verdict is not None for item in self.classes)


@dataclass(frozen=True)
class PreflightStatus(PreflightResult):
    """The preflight with the revision that it concerns."""

    revision: str = field(kw_only=True)

    @property
    def result(self) -> PreflightResult:
        """Returns the outcome without the revision, which a revision's own status does not repeat."""
        return PreflightResult(self.classes, self.omitted)


@dataclass(frozen=True)
class SuspendedStatus:
    """The written part of the status of a suspended EdgeModel; the rest stays as it is."""

    observed_generation: int
    conditions: tuple[StoredCondition, ...]


@dataclass(frozen=True)
class EdgeModelStatus:
    """The complete status; the defaults hold before the first pass."""

    observed_generation: int = -1
    stable_revision: str | None = None
    candidate_revision: str | None = None
    rejected_revisions: tuple[RejectedRevision, ...] = ()
    artifacts: tuple[ArtifactReport, ...] = ()
    """The artifacts, which the operator only writes: revisions have them for reading."""
    preflight: PreflightStatus | None = None
    checks: tuple[CheckStatus, ...] = ()
    nodes: NodeCounts | None = None
    rollout: RolloutStatus | None = None
    """The trial; None while no candidate is on trial."""
    conditions: tuple[StoredCondition, ...] = ()

    def trial_of(self, revision: str) -> RolloutStatus:
        """Returns the remembered trial of ``revision``; NO_TRIAL if it was not on trial."""
        is_candidate = self.candidate_revision == revision
        return self.rollout if is_candidate and self.rollout is not None else NO_TRIAL

    def checks_of(self, revision: str) -> tuple[CheckStatus, ...]:
        """Returns the checks that judge ``revision`` on nodes."""
        return tuple(check for check in self.checks if check.revision == revision)

    @property
    def revisions(self) -> frozenset[str]:
        """Returns the revisions that it names."""
        named = (self.stable_revision, self.candidate_revision, *(item.name for item in self.rejected_revisions))
        return frozenset(name for name in named if name)


def parse_status(value: Mapping[str, Any]) -> EdgeModelStatus:
    """Returns what ``status_to_json`` wrote. Raises ValueError, which names the field, for anything else.

    Baselines of an operator that judged by other ones are dropped: the next measurement finds them again.
    """
    written = {key: item for key, item in value.items() if key != "artifacts"}
    return from_api(EdgeModelStatus, _without_old_baselines(written), "status")


def _without_old_baselines(value: dict[str, Any]) -> dict[str, Any]:
    """Returns a copy of ``value``; what has another form than expected is left for ``from_api`` to name."""
    rollout = value.get("rollout")
    analysis = rollout.get("analysis") if isinstance(rollout, dict) else None
    baselines = analysis.get("baselines") if isinstance(analysis, dict) else None
    if not isinstance(rollout, dict) or not isinstance(analysis, dict) or not isinstance(baselines, list):
        return value
    kept = [item for item in baselines if not isinstance(item, dict) or item.keys() >= {*BASELINE_OF_TODAY}]
    return {**value, "rollout": {**rollout, "analysis": {**analysis, "baselines": kept}}}


def parse_readable_status(value: Mapping[str, Any]) -> tuple[EdgeModelStatus, tuple[str, ...]]:
    """Returns what can be read of a status, artifacts included, for people to read, and a message for the rest.

    Another version of the operator may have written it. Raises ValueError if it is no object.
    """
    return readable_from_api(EdgeModelStatus, value, "status")


def parse_preflight(value: Mapping[str, Any], revision: str) -> PreflightStatus:
    """Returns ``status.preflight`` of ``revision``, which does not repeat its name. Raises ValueError."""
    return from_api(PreflightStatus, {**value, "revision": revision}, "status.preflight")


def status_to_json(status: EdgeModelStatus | SuspendedStatus) -> dict[str, Any]:
    """Returns the members to write; None removes one.

    The version of the schema marks a status that was written from a complete spec.
    """
    written: dict[str, Any] = {OPERATOR_VERSION: VERSION}
    written |= {camel_case(one.name): to_api(getattr(status, one.name)) for one in fields(status)}
    return {"schemaVersion": SCHEMA_VERSION, **written} if isinstance(status, EdgeModelStatus) else written
