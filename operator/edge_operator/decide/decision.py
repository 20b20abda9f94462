"""One pass for one EdgeModel: combines the decisions of the parts into a status to write and actions to take."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from edge_operator.decide.actions import Action, SetPins
from edge_operator.decide.analysis.evidence import Judged
from edge_operator.decide.artifact.compression import decide_artifact
from edge_operator.decide.artifact.target import target_name
from edge_operator.decide.kept_objects import upkeep
from edge_operator.decide.observation import Observation
from edge_operator.decide.obstacles import Prospect, first_obstacle
from edge_operator.decide.pass_context import PassContext, rejected_of, stable_of
from edge_operator.decide.placement.cells import CellFailure, FormCells, form_cells
from edge_operator.decide.placement.pins import (
    end_deferrals,
    failures_at_rest,
    next_deadline_at_rest,
    one_for_each_node,
    podless_at_rest,
    roll_back,
    settle,
    unplace,
)
from edge_operator.decide.placement.selection import place
from edge_operator.decide.preflight.preflight import Preflight, decide_preflight
from edge_operator.decide.rollout.moves import Advance, Hold, Promote, RollBack
from edge_operator.decide.rollout.rollout import decide_rollout
from edge_operator.decide.rollout.trial import Trial, find_trial
from edge_operator.decide.status import conditions as words
from edge_operator.decide.status.conditions import Condition
from edge_operator.decide.status.counts import PendingNodes, find_pending
from edge_operator.decide.status.rollout_status import rollout_status
from edge_operator.decide.status.steady_state import steady_state_conditions
from edge_operator.decide.status.whole import whole_status
from edge_operator.decide.timers import Timers
from edgemodel.status import CheckStatus, EdgeModelStatus, RolloutStatus


@dataclass(frozen=True)
class Decision:
    """The decision of a pass. ``status`` is written first, then ``actions`` in order; the next pass is at ``wake_at``
    at the latest."""

    status: EdgeModelStatus
    actions: tuple[Action, ...]
    wake_at: datetime | None
    judged: tuple[Judged, ...] = ()
    """The judgements of this pass, with numbers that status does not follow; empty while no candidate is on trial."""


def decide(observation: Observation, now: datetime, form_cells: FormCells = form_cells) -> Decision:
    """Returns the decision of one pass. It is deterministic: the same observation and time give the same decision."""
    context = gather(observation, now, form_cells)
    if context.preflight.rejection is not None:
        return _rest(context.rejecting(*context.preflight.rejection))
    if not context.may_try():
        return _rest(context)
    checks, judgement = context.reported.checks, context.reported.judgement
    trial = find_trial(context.fleet, context.target, context.trial_before, judgement, context.timers)
    move = decide_rollout(trial)
    match move:
        case RollBack(reason, message, failures):
            rejecting = context.rejecting(reason, message)
            return _rest(rejecting, checks, failures, roll_back(rejecting.fleet))
        case Promote(failures):
            return _rest(context.promoting(), checks, failures)
        case Hold(stalled=True):
            return _on_trial(context, checks, trial, move, words.stalled(move.reason, move.message))
        case Hold() | Advance():
            return _on_trial(context, checks, trial, move, words.reconciling(move.reason, move.message))
        case _:
            assert_never(move)


def gather(observation: Observation, now: datetime, form_cells: FormCells = form_cells) -> PassContext:
    """Returns the facts for the decisions of a pass, up to whether the target goes on trial."""
    target, stable, rejected = target_name(observation), stable_of(observation), rejected_of(observation)
    placement = place(observation, target)
    artifact = decide_artifact(observation, rejected.keys(), now)
    blocked = first_obstacle(Prospect(observation, target, artifact, placement, stable, rejected, Preflight()))
    settled = {stable, *rejected}
    return PassContext(
        observation=observation,
        target=target,
        artifact=artifact,
        placement=placement,
        stable=stable,
        rejected=rejected,
        preflight=decide_preflight(observation, target, placement, settled, now, blocked=blocked is not None),
        cells=form_cells(placement, observation.spec),
        now=now,
    )


def _on_trial(
    context: PassContext,
    checks: tuple[CheckStatus, ...],
    trial: Trial,
    move: Hold | Advance,
    conditions: list[Condition],
) -> Decision:
    pending = find_pending(context, move.failures, trial.podless)
    decision = _decision(context, conditions, checks, pending, move.pins, rollout_status(context, move), move.wake_at)
    return replace(decision, judged=trial.judgement.judged)


def _rest(
    context: PassContext,
    checks: tuple[CheckStatus, ...] | None = None,
    failures: tuple[CellFailure, ...] = (),
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
        checks = context.observation.status.checks_of(context.target)
    podless = podless_at_rest(fleet, stable, timers) if stable is not None else ()
    conditions = steady_state_conditions(context, failures, podless)
    wake_at = next_deadline_at_rest(fleet, stable, timers) if stable else None
    pending = find_pending(context, failures, podless)
    return _decision(context, conditions, checks, pending, pins, None, wake_at)


def _decision(
    context: PassContext,
    conditions: list[Condition],
    checks: tuple[CheckStatus, ...],
    pending: PendingNodes,
    pins: tuple[SetPins, ...],
    rollout: RolloutStatus | None,
    wake_at: datetime | None,
) -> Decision:
    """Returns the decision with its status. ``rollout`` is ``status.rollout``; None while no candidate is on trial."""
    artifact, preflight, fleet = context.artifact, context.preflight, context.fleet
    before, after = upkeep(context, context.target if rollout is not None else None)
    changed = {change.node for change in pins}
    leaving = [change for change in roll_back(fleet) if change.node not in changed]
    changes = one_for_each_node((*unplace(fleet), *pins, *leaving, *end_deferrals(fleet)))
    actions = (*artifact.actions, *before, *preflight.actions, *changes, *after)
    times = (artifact.wake_at, preflight.wake_at, wake_at, fleet.next_routes())
    wakes = [time for time in times if time is not None]
    status = whole_status(context, conditions, checks, pending, rollout)
    return Decision(status, actions, min(wakes, default=None))
