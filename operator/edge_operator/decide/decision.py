"""One pass for one EdgeModel: combines the decisions of the parts into a status to write and actions to take."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, assert_never

from edge_operator.decide.actions import Action, SetPins
from edge_operator.decide.analysis import WaveBaseline
from edge_operator.decide.artifact.compression import decide_artifact, target_name
from edge_operator.decide.context import PassContext, rejected_of, stable_of
from edge_operator.decide.formats import timestamp
from edge_operator.decide.inventory import upkeep
from edge_operator.decide.observation import Observation, Revision
from edge_operator.decide.placement.cells import FormCells, form_cells
from edge_operator.decide.placement.node_health import NodeFailure
from edge_operator.decide.placement.pins import (
    end_deferrals,
    failures_at_rest,
    next_deadline_at_rest,
    one_for_each_node,
    roll_back,
    settle,
    unplace,
)
from edge_operator.decide.placement.selection import place
from edge_operator.decide.preflight.preflight import Preflight, decide_preflight
from edge_operator.decide.rollout.moves import Advance, Hold, Promote, RollBack
from edge_operator.decide.rollout.rollout import decide_rollout
from edge_operator.decide.rollout.trial import find_trial
from edge_operator.decide.status import conditions as words
from edge_operator.decide.status.conditions import Condition, NodeCounts
from edge_operator.decide.status.steady_state import steady_state_conditions
from edge_operator.decide.timers import Timers
from edgemodel import reasons
from edgemodel.plain import to_api
from edgemodel.schema_version import SCHEMA_VERSION


@dataclass(frozen=True)
class Decision:
    """The decision of a pass. ``status`` is written first, then ``actions`` in order; the next pass is at ``wake_at``
    at the latest."""

    status: dict[str, Any]
    actions: tuple[Action, ...]
    wake_at: datetime | None


def decide(observation: Observation, now: datetime, form_cells: FormCells = form_cells) -> Decision:
    """Returns the decision of one pass. It is deterministic: the same observation and time give the same decision."""
    target, stable, rejected = target_name(observation), stable_of(observation), rejected_of(observation)
    placement = place(observation, target)
    context = PassContext(
        observation=observation,
        target=target,
        artifact=decide_artifact(observation, rejected.keys(), now),
        placement=placement,
        stable=stable,
        rejected=rejected,
        preflight=decide_preflight(observation, target, placement, {stable, *rejected}, now),
        cells=form_cells(placement, observation.spec),
        now=now,
    )
    if context.preflight.rejection is not None:
        return _rest(context.rejecting(*context.preflight.rejection))
    if not context.may_try():
        return _rest(context)
    checks, judgement = context.reported.entries, context.reported.judgement
    trial = find_trial(context.fleet, target, context.trial_before, judgement, context.timers)
    move = decide_rollout(trial)
    match move:
        case RollBack(reason, message, failures):
            rejecting = context.rejecting(reason, message)
            return _rest(rejecting, checks, failures, roll_back(rejecting.fleet))
        case Promote(failures):
            return _rest(context.promoting(), checks, failures)
        case Hold(stalled=True):
            return _on_trial(context, checks, move, words.stalled(move.reason, move.message))
        case Hold() | Advance():
            return _on_trial(context, checks, move, words.reconciling(move.reason, move.message))
        case _:
            assert_never(move)


def _on_trial(
    context: PassContext, checks: list[dict[str, Any]], move: Hold | Advance, conditions: list[Condition]
) -> Decision:
    return _decision(context, conditions, checks, move.failures, move.pins, _progress(context, move), move.wake_at)


def _rest(
    context: PassContext,
    checks: list[dict[str, Any]] | None = None,
    failures: tuple[NodeFailure, ...] = (),
    pins: tuple[SetPins, ...] | None = None,
) -> Decision:
    """Returns the decision without a candidate on trial: every cell settles on stable. ``checks`` are those of a trial
    that ends in this pass."""
    fleet, stable, timers = context.fleet, context.stable, Timers(context.now)
    if stable is not None and not failures:
        failures = failures_at_rest(fleet, stable, timers)
    if pins is None:
        pins = settle(fleet, stable, timers) if stable else ()
    if checks is None:
        checks = context.observation.remembered.checks_of(context.target)
    conditions = steady_state_conditions(context, failures)
    wake_at = next_deadline_at_rest(fleet, stable, timers) if stable else None
    return _decision(context, conditions, checks, failures, pins, None, wake_at)


def _decision(
    context: PassContext,
    conditions: list[Condition],
    checks: list[dict[str, Any]],
    failures: tuple[NodeFailure, ...],
    pins: tuple[SetPins, ...],
    progress: dict[str, Any] | None,
    wake_at: datetime | None,
) -> Decision:
    """Returns the decision with its status. ``progress`` is ``status.rollout``; None while no candidate is on trial."""
    artifact, preflight = context.artifact, context.preflight
    candidate = context.target if progress is not None else None
    before, after = upkeep(context, candidate)
    fleet = context.fleet
    changed = {change.node for change in pins}
    leaving = [change for change in roll_back(fleet) if change.node not in changed]
    changes = one_for_each_node((*unplace(fleet), *pins, *leaving, *end_deferrals(fleet)))
    actions = (*artifact.actions, *before, *preflight.actions, *changes, *after)
    times = (artifact.wake_at, preflight.wake_at, wake_at, fleet.next_routes())
    wakes = [time for time in times if time is not None]
    status = _status(context, conditions, checks, _count(context, failures), candidate, progress)
    return Decision(status, actions, min(wakes, default=None))


def _status(
    context: PassContext,
    conditions: list[Condition],
    checks: list[dict[str, Any]],
    counts: NodeCounts,
    candidate: str | None,
    progress: dict[str, Any] | None,
) -> dict[str, Any]:
    observation, artifact = context.observation, context.artifact
    all_conditions = [
        *conditions,
        _available(counts),
        Condition("ArtifactReady", artifact.revision is not None, artifact.reason, artifact.message),
        *_nodes_pending(counts),
        *_latency_unverified(context.preflight),
    ]
    before = list(observation.remembered.conditions)
    return {
        "schemaVersion": SCHEMA_VERSION,
        "observedGeneration": observation.generation,
        "stableRevision": context.stable,
        "candidateRevision": candidate,
        "rejectedRevisions": _rejected(context),
        "artifacts": _artifacts(artifact.revision or observation.revision(context.stable)),
        "preflight": context.preflight.status,
        "checks": [*(to_api(artifact.checks) or _checks(artifact.revision)), *checks],
        "nodes": counts.to_json(),
        "rollout": progress,
        "conditions": words.merge_conditions(before, all_conditions, observation.generation, context.now),
    }


def _progress(context: PassContext, move: Hold | Advance) -> dict[str, Any]:
    """Returns ``status.rollout``, which ``memory.TrialMemory`` reads."""
    waves, state = context.observation.spec.rollout.waves, move.state
    pauses, wave_baseline = context.timers.to_json(), _wave_baseline(context, move)
    return {
        "wave": state.wave,
        "waveName": waves[state.wave].name,
        "waves": len(waves),
        "startedAt": timestamp(context.trial_before.started or context.now),
        "waveStartedAt": timestamp(state.started),
        "reason": move.reason,
        **({"heldSince": timestamp(state.held_since)} if state.held_since is not None else {}),
        **({"pauses": pauses} if pauses else {}),
        **({"analysis": wave_baseline.to_json()} if wave_baseline is not None else {}),
    }


def _wave_baseline(context: PassContext, move: Hold | Advance) -> WaveBaseline | None:
    """Returns the parameters of the wave, which are new when its first nodes enter, or when the checks have changed."""
    analysis, wave_baseline = context.observation.spec.analysis, context.wave_baseline
    if not analysis.checks:
        return None
    if wave_baseline is None or (isinstance(move, Advance) and move.measuring_begins):
        variants = {placed.variant for placed in context.placement.placed}
        return WaveBaseline.begin(analysis, len(variants), context.now)
    return wave_baseline.with_baselines(context.judgement.judged)


def _count(context: PassContext, failures: tuple[NodeFailure, ...]) -> NodeCounts:
    """Returns the numbers of cells. One that serves both revisions, during a Surge, counts as the target's."""
    fleet, target, stable = context.fleet, context.target, context.stable
    unsupported = [node.name for node in context.placement.unsupported]
    online = [cell for cell in context.cells if cell.is_online]
    offline = [item.node.name for cell in context.cells for item in cell.members if not item.node.online]
    on_target = {cell.name for cell in online if target != stable and fleet.serves(target, cell)}
    on_stable = [cell for cell in online if stable and cell.name not in on_target and fleet.serves(stable, cell)]
    failed = [failure.node for failure in failures]
    return NodeCounts(
        selected=len(context.cells) + len(unsupported),
        stable=len(on_stable),
        candidate=len(on_target),
        offline=len(context.cells) - len(online),
        failed=len(failed),
        unsupported=len(unsupported),
        not_ready=tuple(sorted({*offline, *failed, *unsupported})),
        offline_names=tuple(sorted(offline)[:5]),
    )


def _available(counts: NodeCounts) -> Condition:
    serving = counts.stable + counts.candidate
    reason = reasons.SERVING if serving else reasons.NOT_SERVING
    return Condition("Available", serving > 0, reason, f"{serving} of {counts.selected} selected nodes serve")


def _nodes_pending(counts: NodeCounts) -> list[Condition]:
    if not counts.offline:
        return []
    message = f"{counts.offline} of {counts.selected} offline: {', '.join(counts.offline_names)}"
    return [Condition("NodesPending", True, reasons.NODES_OFFLINE, message)]


def _latency_unverified(preflight: Preflight) -> list[Condition]:
    """Returns the condition LatencyUnverified, which holds nothing up and which tools of kstatus ignore."""
    text = preflight.unverified
    return [Condition("LatencyUnverified", True, reasons.LATENCY_UNVERIFIED, text)] if text else []


def _rejected(context: PassContext) -> list[dict[str, str]]:
    """Returns the rejected revisions, the newest last. They are remembered for longer than their objects are kept."""
    newest = sorted(context.rejected.values(), key=lambda item: item.time)[-words.MAX_REJECTED :]
    explained = len(newest) - words.MAX_EXPLAINED
    return [item.to_json(explained=number >= explained) for number, item in enumerate(newest)]


def _artifacts(revision: Revision | None) -> list[dict[str, Any]]:
    if revision is None:
        return []
    return [to_api(replace(variant.artifact, checks=())) for variant in revision.spec.variants]


def _checks(revision: Revision | None) -> list[dict[str, Any]]:
    variants = revision.spec.variants if revision is not None else ()
    found = [to_api(check) for variant in variants for check in variant.artifact.checks]
    return found[: words.MAX_CHECKS]
