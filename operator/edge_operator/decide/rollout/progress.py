"""The limit for a wave whose nodes do not serve: how long it may last before a person must act."""

from datetime import datetime

from edge_operator.decide.rollout.moves import Hold
from edge_operator.decide.rollout.trial import Trial
from edgemodel import reasons
from edgemodel.timestamp import timestamp


def hold_without_progress(trial: Trial, reason: str, text: str) -> Hold:
    """Returns a Hold for nodes that do not serve; it is Stalled once that has lasted for the progress deadline."""
    served = [pod.served_since(trial.timers.now) for pod in trial.pods()]
    last, deadline = max([trial.started, *served, *_stopped(trial)]), trial.rollout.progress_deadline
    text = f"{trial.where}: {text}"
    next_failure = trial.next_failure_at()
    if not trial.timers.passed(last, deadline):
        times = [time for time in (next_failure, trial.timers.due(last, deadline)) if time is not None]
        return trial.hold(reason, text, min(times, default=None))
    message = f"{text}; no progress since {timestamp(last)}, limit {deadline.total_seconds():.0f} s"
    return trial.hold(reasons.PROGRESS_DEADLINE_EXCEEDED, message, next_failure, stalled=True)


def _stopped(trial: Trial) -> list[datetime]:
    """Returns when nodes that served the candidate stopped; until then they were soaking."""
    fleet, now = trial.fleet, trial.timers.now
    found = []
    for placed in (member for cell in trial.switched for member in cell.members):
        node, variant = placed.node.name, fleet.variant(trial.candidate, placed)
        if fleet.pod(trial.candidate, placed) is None:
            here = fleet.observation.pods_on(node, trial.candidate)
            times = [pod.unready_since for pod in here if pod.variant == variant]
            times += [fleet.observation.pods_lost.get((node, trial.candidate, variant)), placed.node.offline_since]
            found += [time for time in times if time is not None and time <= now]
    return found
