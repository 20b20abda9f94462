"""The part of status that remembers a trial from one pass to the next."""

from edge_operator.decide.analysis import WaveBaseline
from edge_operator.decide.pass_context import PassContext
from edge_operator.decide.rollout.moves import Advance, Hold
from edgemodel.status import RolloutStatus


def rollout_status(context: PassContext, move: Hold | Advance) -> RolloutStatus:
    """Returns ``status.rollout`` after ``move``."""
    waves, state = context.observation.spec.rollout.waves, move.state
    wave_baseline = _wave_baseline(context, move)
    return RolloutStatus(
        wave=state.wave,
        wave_name=waves[state.wave].name,
        waves=len(waves),
        started_at=context.trial_before.started_at or context.now,
        wave_started_at=state.started,
        reason=move.reason,
        held_since=state.held_since,
        pauses=context.timers.newest_pauses,
        analysis=wave_baseline.stored() if wave_baseline is not None else None,
        control_nodes=state.controls or None,
        controls_released_at=state.released,
    )


def _wave_baseline(context: PassContext, move: Hold | Advance) -> WaveBaseline | None:
    """Returns the parameters of the wave: begun when its first nodes enter, or when the checks are others."""
    analysis, wave_baseline = context.observation.spec.analysis, context.wave_baseline
    if not analysis.checks:
        return None
    if wave_baseline is None or (isinstance(move, Advance) and move.measuring_begins):
        variants = {placed.variant for placed in context.placement.placed}
        return WaveBaseline.begin(analysis, len(variants), context.now)
    return wave_baseline.with_baselines(context.judgement.judged)
