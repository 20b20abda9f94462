"""The rule for a wave that has soaked while its checks do not decide: it holds, and later takes the spec's action."""

from datetime import datetime, timedelta
from typing import Final

from edge_operator.decide.analysis import Judgement
from edge_operator.decide.rollout.moves import Hold, RollBack
from edge_operator.decide.rollout.trial import Trial
from edgemodel import reasons
from edgemodel.analysis import InconclusiveAction
from edgemodel.timestamp import timestamp

SCRAPED_WITHIN = timedelta(seconds=60)
"""The largest age of the last answers of a wave that may go on."""

_THEN: Final = {
    InconclusiveAction.PAUSE: "waits for a person",
    InconclusiveAction.ROLL_BACK: "rolls back",
    InconclusiveAction.PROCEED: "goes on",
}


def decide_without_verdict(trial: Trial, due: datetime) -> Hold | RollBack | None:
    """Returns the move at the end of a wave, at ``due``, whose checks do not decide; None: the rollout goes on."""
    judgement, rule = trial.judgement, trial.fleet.observation.spec.analysis.on_inconclusive
    if not judgement.measured:
        judged = trial.fleet.observation.spec.analysis.checks
        if not judged or (rule.action is InconclusiveAction.PROCEED and not rule.after):
            return None
        reason = reasons.BAKING if trial.is_last else reasons.SOAKING
        text = f"{trial.where}: {trial.candidate} serves on {trial.counted(trial.serving())}{trial.kept()}"
        # The measurement in progress triggers the next pass; an operator that has just started has none yet.
        return trial.hold(reason, text, held_since=trial.held_since)
    waits = _waits_for(judgement, due)
    if waits is None:
        return None
    reason, why = waits
    since = trial.held_since or trial.timers.now.replace(microsecond=0)
    text = f"{trial.where}: waits for {why}"
    if not trial.timers.passed(since, rule.after):
        at = trial.timers.due(since, rule.after)
        until = f"; undecided at {timestamp(at)}, it {_THEN[rule.action]}" if at is not None else ""
        return trial.hold(reason, text + until, at, held_since=since)
    if rule.action is InconclusiveAction.PROCEED:
        return None
    limit = f"limit {rule.after.total_seconds():.0f} s (analysis.onInconclusive.afterSeconds)"
    if rule.action is InconclusiveAction.ROLL_BACK:
        message = f"{text}; undecided since {timestamp(since)}, {limit}"
        return RollBack(reason, message, trial.failures)
    message = f"{text}; {limit}"
    return trial.hold(reasons.ANALYSIS_DEADLINE_EXCEEDED, message, held_since=since, stalled=True)


def _waits_for(judgement: Judgement, due: datetime) -> tuple[str, str] | None:
    """Returns the (reason, message) of what the wave waits for: checks that do not decide, or metrics of the whole
    soak.

    A remote write may delay metrics.
    """
    waiting = judgement.waiting
    if waiting:
        names = ", ".join(sorted({item.name for item in waiting}))
        return waiting[0].reason, f"{names}: {waiting[0].message}"
    if judgement.reaches is not None and judgement.reaches < due - SCRAPED_WITHIN:
        return reasons.METRICS_UNAVAILABLE, f"metrics up to {timestamp(due)}: Prometheus gets them late"
    return None
