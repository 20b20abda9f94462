"""One pass for one EdgeModel: gather what the parts decide into a status to write and actions to take."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from edge_operator.decide.actions import Action, SetPins
from edge_operator.decide.analysis import WaveBaseline
from edge_operator.decide.artifact.compression import decide_artifact, target_name
from edge_operator.decide.context import Memory, PassContext
from edge_operator.decide.formats import MAX_MESSAGE_LENGTH, timestamp
from edge_operator.decide.inventory import upkeep
from edge_operator.decide.observation import Observation, Revision
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
from edge_operator.decide.rollout.rollout import Move, RolloutDecision, decide_rollout, find_trial
from edge_operator.decide.status import conditions as words
from edge_operator.decide.status.conditions import Condition, NodeCounts
from edge_operator.decide.status.steady_state import steady_state_conditions
from edge_operator.decide.timers import Timers
from edgemodel import reasons
from edgemodel.plain import to_api
from edgemodel.schema_version import SCHEMA_VERSION


@dataclass(frozen=True)
class Decision:
    """``status`` is written first, then the actions are taken in order; ``wake_at``: look again then at the latest."""

    status: dict[str, Any]
    actions: tuple[Action, ...]
    wake_at: datetime | None


def decide(observation: Observation, now: datetime) -> Decision:
    """The whole of one pass. Deterministic: the same observation and time give the same decision."""
    target, memory = target_name(observation), Memory.of(observation)
    placement = place(observation, target)
    settled = {memory.stable, *memory.rejected}
    context = PassContext(
        observation=observation,
        target=target,
        artifact=decide_artifact(observation, memory.rejected.keys(), now),
        placement=placement,
        memory=memory,
        preflight=decide_preflight(observation, target, placement, settled, now),
        now=now,
    )
    if context.preflight.rejection is not None:
        return _rest(context.rejecting(_rejection(target, *context.preflight.rejection, now)))
    if not context.may_try():
        return _rest(context)
    checks, judgement = context.reported.entries, context.reported.judgement
    rollout = decide_rollout(find_trial(context.fleet, target, judgement, context.timers))
    if rollout.move is Move.ROLL_BACK:
        rejected = context.rejecting(_rejection(target, rollout.reason, rollout.message, now))
        return _rest(rejected, checks, rollout.failures, roll_back(rejected.fleet))
    if rollout.move is Move.PROMOTE:
        return _rest(context.promoting(), checks, rollout.failures)
    return _on_trial(context, checks, rollout)


def _rejection(revision: str, reason: str, message: str, now: datetime) -> dict[str, Any]:
    return {
        "name": revision,
        "reason": reason,
        "message": message[:MAX_MESSAGE_LENGTH],
        "time": timestamp(now),
    }


def _on_trial(context: PassContext, checks: list[dict[str, Any]], rollout: RolloutDecision) -> Decision:
    say = words.stalled if rollout.stalled else words.reconciling
    conditions = say(rollout.reason, rollout.message)
    return _decision(
        context, conditions, checks, rollout.failures, rollout.pins, _progress(context, rollout), rollout.wake_at
    )


def _rest(
    context: PassContext,
    checks: list[dict[str, Any]] | None = None,
    failures: tuple[NodeFailure, ...] = (),
    pins: tuple[SetPins, ...] | None = None,
) -> Decision:
    """No candidate is on trial: every node settles on stable. ``checks``: of a trial that ends in this pass."""
    fleet, stable, timers = context.fleet, context.memory.stable, Timers(context.now)
    if stable is not None and not failures:
        failures = failures_at_rest(fleet, stable, timers)
    if pins is None:
        pins = settle(fleet, stable, timers) if stable else ()
    if checks is None:
        before = context.observation.status.get("checks") or ()
        checks = [item for item in before if item.get("revision") == context.target]
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
    """``progress`` is ``status.rollout``: None while no candidate is on trial."""
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
    observation, artifact, memory = context.observation, context.artifact, context.memory
    all_conditions = [
        *conditions,
        _available(counts),
        Condition("ArtifactReady", artifact.revision is not None, artifact.reason, artifact.message),
        *_nodes_pending(counts),
        *_latency_unverified(context.preflight),
    ]
    before = observation.status.get("conditions") or []
    return {
        "schemaVersion": SCHEMA_VERSION,
        "observedGeneration": observation.generation,
        "stableRevision": memory.stable,
        "candidateRevision": candidate,
        "rejectedRevisions": _rejected(memory),
        "artifacts": _artifacts(artifact.revision or observation.revision(memory.stable)),
        "preflight": context.preflight.status,
        "checks": [*(to_api(artifact.checks) or _checks(artifact.revision)), *checks],
        "nodes": counts.to_json(),
        "rollout": progress,
        "conditions": words.merge_conditions(before, all_conditions, observation.generation, context.now),
    }


def _progress(context: PassContext, rollout: RolloutDecision) -> dict[str, Any]:
    now, before = context.now, context.rollout_before
    waves = context.observation.spec.rollout.waves
    pauses, wave_baseline = context.timers.to_json(), _wave_baseline(context, rollout)
    return {
        "wave": rollout.wave,
        "waveName": waves[rollout.wave].name,
        "waves": len(waves),
        "startedAt": before.get("startedAt", timestamp(now)),
        "waveStartedAt": timestamp(rollout.wave_started or now),
        "reason": rollout.reason,
        **({"heldSince": timestamp(rollout.held_since)} if rollout.held_since is not None else {}),
        **({"pauses": pauses} if pauses else {}),
        **({"analysis": wave_baseline.to_json()} if wave_baseline is not None else {}),
    }


def _wave_baseline(context: PassContext, rollout: RolloutDecision) -> WaveBaseline | None:
    """The parameters of the wave: begun when its first nodes enter, or when the checks are others."""
    analysis, wave_baseline = context.observation.spec.analysis, context.wave_baseline
    if not analysis.checks:
        return None
    if wave_baseline is None or rollout.measuring_begins:
        variants = {placed.variant for placed in context.placement.placed}
        return WaveBaseline.begin(analysis, len(variants), context.now)
    return wave_baseline.with_baselines(context.judgement.judged)


def _count(context: PassContext, failures: tuple[NodeFailure, ...]) -> NodeCounts:
    """A node that serves both, in the middle of a Surge, counts as the target's."""
    fleet, target, stable = context.fleet, context.target, context.memory.stable
    placed, unsupported = context.placement.placed, context.placement.unsupported
    online = [p for p in placed if p.node.online]
    offline = [p.node.name for p in placed if not p.node.online]
    on_target = [p for p in online if target != stable and fleet.pod(target, p)]
    has_target = {p.node.name for p in on_target}
    on_stable = [p for p in online if stable and p.node.name not in has_target and fleet.pod(stable, p)]
    failed = [failure.node for failure in failures]
    return NodeCounts(
        selected=len(placed) + len(unsupported),
        stable=len(on_stable),
        candidate=len(on_target),
        offline=len(offline),
        failed=len(failed),
        unsupported=len(unsupported),
        not_ready=tuple(sorted({*offline, *failed, *(node.name for node in unsupported)})),
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
    """Tools that know only kstatus's conditions take no notice: it is told, and holds nothing up."""
    text = preflight.unverified
    return [Condition("LatencyUnverified", True, reasons.LATENCY_UNVERIFIED, text)] if text else []


def _rejected(memory: Memory) -> list[dict[str, Any]]:
    """The newest last. Never to be entered again, they are remembered for longer than their objects are kept."""
    newest = sorted(memory.rejected.values(), key=lambda item: str(item["time"]))[-words.MAX_REJECTED :]
    without_message = [
        {key: item[key] for key in ("name", "reason", "time")} for item in newest[: -words.MAX_EXPLAINED]
    ]
    return without_message + newest[-words.MAX_EXPLAINED :]


def _artifacts(revision: Revision | None) -> list[dict[str, Any]]:
    if revision is None:
        return []
    return [to_api(replace(variant.artifact, checks=())) for variant in revision.spec.variants]


def _checks(revision: Revision | None) -> list[dict[str, Any]]:
    variants = revision.spec.variants if revision is not None else ()
    found = [to_api(check) for variant in variants for check in variant.artifact.checks]
    return found[: words.MAX_CHECKS]
