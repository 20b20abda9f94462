"""The complete status of an EdgeModel after a pass, from the decisions of the parts."""

from dataclasses import replace

from edge_operator.decide.observation import Revision
from edge_operator.decide.pass_context import PassContext
from edge_operator.decide.preflight.preflight import Preflight
from edge_operator.decide.status.conditions import Condition, merge_conditions
from edge_operator.decide.status.counts import PendingNodes, available, count_nodes, nodes_pending
from edgemodel import reasons
from edgemodel.report import ArtifactReport
from edgemodel.status import CheckStatus, EdgeModelStatus, RejectedRevision, RolloutStatus
from edgemodel.verdict import CheckResult

MAX_REJECTED = 100
MAX_EXPLAINED = 10
"""The number of rejected revisions, the newest, that keep their message."""
MAX_GATE_CHECKS = 20


def whole_status(
    context: PassContext,
    conditions: list[Condition],
    checks: tuple[CheckStatus, ...],
    pending: PendingNodes,
    rollout: RolloutStatus | None,
) -> EdgeModelStatus:
    """Returns the status to write.

    ``conditions`` are Ready with Reconciling or Stalled, ``checks`` those that judge the candidate on nodes;
    ``rollout`` is None while no candidate is on trial.
    """
    observation, artifact = context.observation, context.artifact
    counts = count_nodes(context, pending)
    all_conditions = [
        *conditions,
        available(counts),
        Condition("ArtifactReady", artifact.revision is not None, artifact.reason, artifact.message),
        *nodes_pending(pending, counts),
        *_latency_unverified(context.preflight),
    ]
    gate = artifact.checks or _gate_checks(artifact.revision)
    return EdgeModelStatus(
        observed_generation=observation.generation,
        stable_revision=context.stable,
        candidate_revision=context.target if rollout is not None else None,
        rejected_revisions=_rejected(context),
        artifacts=_artifacts(artifact.revision or observation.revision(context.stable)),
        preflight=context.preflight.status,
        checks=(*map(CheckStatus.of_gate, gate), *checks),
        nodes=counts,
        rollout=rollout,
        conditions=merge_conditions(observation.status.conditions, all_conditions, observation.generation, context.now),
    )


def _latency_unverified(preflight: Preflight) -> list[Condition]:
    """Tools that know only kstatus's conditions take no notice: it is told, and holds nothing up."""
    text = preflight.unverified
    return [Condition("LatencyUnverified", True, reasons.LATENCY_UNVERIFIED, text)] if text else []


def _rejected(context: PassContext) -> tuple[RejectedRevision, ...]:
    """The newest last. Never to be entered again, they are remembered for longer than their objects are kept."""
    newest = sorted(context.rejected.values(), key=lambda item: item.time)[-MAX_REJECTED:]
    explained = len(newest) - MAX_EXPLAINED
    return tuple(item if number >= explained else replace(item, message=None) for number, item in enumerate(newest))


def _artifacts(revision: Revision | None) -> tuple[ArtifactReport, ...]:
    if revision is None:
        return ()
    return tuple(replace(variant.artifact, checks=()) for variant in revision.spec.variants)


def _gate_checks(revision: Revision | None) -> tuple[CheckResult, ...]:
    variants = revision.spec.variants if revision is not None else ()
    return tuple(check for variant in variants for check in variant.artifact.checks)[:MAX_GATE_CHECKS]
