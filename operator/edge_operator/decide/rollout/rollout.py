"""The move: Hold, Advance, Promote or RollBack. Promotion and rollback are decided here and nowhere else.

The pin alone says what a node should run, so the position of a rollout is read from the pins and the pods
(``trial.py``); status remembers only which revisions are stable and rejected, when the wave started, and what it is
judged by.
"""

from dataclasses import replace
from datetime import timedelta

from edge_operator.decide.placement.pins import switch_cell
from edge_operator.decide.placement.selection import nobody_takes
from edge_operator.decide.refused_pods import SERVING_RESOURCES, explain
from edge_operator.decide.rollout.missing_data import decide_without_verdict
from edge_operator.decide.rollout.moves import Advance, Move, Promote, RollBack
from edge_operator.decide.rollout.progress import hold_without_progress
from edge_operator.decide.rollout.trial import Trial
from edgemodel import reasons


def decide_rollout(trial: Trial) -> Move:
    """Returns the next move."""
    back = _reason_to_roll_back(trial)
    if back is not None:
        return RollBack(*back, trial.failures)
    if trial.timers.paused:
        serves = f"{trial.candidate} serves on {trial.counted(trial.serving())}{trial.kept()}"
        text = f"{trial.where}: spec.rollout.paused, {serves}"
        return trial.hold(reasons.PAUSED, text, held_since=trial.held_since, finish=False)
    while (move := _in_wave(trial)) is None:
        trial = trial.next_wave()
    return move


def _reason_to_roll_back(trial: Trial) -> tuple[str, str] | None:
    """Returns the (reason, message) of a rollback: more nodes failed than may, none is left, or a check failed."""
    failures, limit = trial.failures, trial.rollout.max_failed_nodes
    if len(failures) > limit:
        message = f"{failures[0].message}; {len(failures)} of {trial.counted(trial.tried)} failed, limit {limit}"
        return failures[0].reason, message
    failed = trial.judgement.failed
    if failed is not None and trial.switched:
        of_variant = f" (variant {failed.variant})" if failed.variant not in ("", "default") else ""
        return failed.reason, f"{trial.where}: check {failed.name}{of_variant}: {failed.message}"
    if failures and not trial.switched and not trial.entering:
        return failures[0].reason, f"{failures[0].message}; no node serves it, {trial.counted(len(failures))} failed"
    return None


def _in_wave(trial: Trial) -> Move | None:
    """Returns the move in this wave; None when it is over. A wave that adds no node is over at once."""
    final = [refusal for _, refusal in trial.refused() if refusal.is_final]
    if final:
        told = explain(final[0], SERVING_RESOURCES)
        message = f"{trial.where}: {len(final)} nodes get no pod of {trial.candidate}: {told}"
        return trial.hold(final[0].reason, message, stalled=True)
    if trial.entering:
        return _enter(trial)
    if not trial.switched:
        members = (member for cell in trial.fleet.cells for member in cell.members)
        return hold_without_progress(trial, *nobody_takes(trial.candidate, members, trial.podless))
    serving, timers = trial.serving(), trial.timers
    if serving < len(trial.switched) or trial.finishing():
        text = f"{trial.candidate} goes to {trial.counted(trial.goal)}{trial.troubles()}{trial.kept()}"
        return hold_without_progress(trial, reasons.ROLLING_OUT, text)
    if trial.released is not None:
        return Promote(trial.failures)
    served_since = max(pod.served_since(timers.now) for pod in trial.pods())
    since, reason = max(served_since, trial.started), reasons.BAKING if trial.is_last else reasons.SOAKING
    text = f"{trial.where}: {trial.candidate} serves on {trial.counted(serving)}{trial.kept()}"
    if not timers.passed(since, trial.duration):
        return trial.hold(reason, text, timers.due(since, trial.duration))
    undecided = decide_without_verdict(trial, timers.due(since, trial.duration) or timers.now)
    if undecided is not None:
        return undecided
    if not trial.is_last:
        return None
    if trial.is_new_wave:
        return trial.hold(reason, text, timers.now + timedelta(seconds=1))  # recorded before it is done
    if trial.controls:
        return _enter(trial.release())
    return Promote(trial.failures)


def _enter(trial: Trial) -> Advance:
    """Returns the move by which cells enter the wave, with a deadline of their own.

    A cell that missed its switch leaves before another takes its place: an operator that is killed in between has not
    sent the candidate to more cells than the wave has.
    """
    changes = [change for cell in trial.entering for change in switch_cell(trial.fleet, cell, trial.candidate)]
    is_fresh = not trial.is_new_wave and trial.is_fresh
    if changes and not is_fresh:
        trial = replace(trial, started=trial.timers.now)
    return Advance(
        reasons.ROLLING_OUT,
        f"{trial.where}: {trial.candidate} goes to {trial.goal} of {trial.counted(trial.size)}{trial.troubles()}"
        f"{trial.kept()}",
        trial.state,
        (*trial.keeping(entering=True), *changes, *trial.finishing()),
        trial.failures,
        trial.next_failure_at(),
        measuring_begins=trial.is_new_wave or (not trial.tried and not is_fresh),
    )
