"""The move: Hold, Advance, Promote or RollBack. Promotion and rollback are decided here and nowhere else.

The pin is the only truth of what a node should run, so where a rollout stands is read off the pins and the pods; status
remembers only which revisions are stable and rejected, when the wave started, and by what it is judged.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from edge_operator.decide.actions import SetPins
from edge_operator.decide.analysis import Judgement
from edge_operator.decide.formats import timestamp
from edge_operator.decide.observation import Pod
from edge_operator.decide.placement.fleet import Fleet
from edge_operator.decide.placement.node_health import NodeFailure, failures_of, next_failure_at
from edge_operator.decide.placement.pins import defer, keep_stable, still_on_stable, switch_node
from edge_operator.decide.placement.selection import Placed
from edge_operator.decide.placement.waves import plan_waves
from edge_operator.decide.timers import Timers
from edgemodel import reasons
from edgemodel.spec import Rollout

FRESH = timedelta(seconds=60)
SCRAPED_WITHIN = timedelta(seconds=60)
"""What a wave has served last need not have been scraped before it goes on."""


class Move(StrEnum):
    HOLD = "Hold"
    ADVANCE = "Advance"
    PROMOTE = "Promote"
    ROLL_BACK = "RollBack"


@dataclass(frozen=True)
class RolloutDecision:
    """One move with its reason, the pins it changes and, while a candidate is on trial, the wave it is in."""

    move: Move
    reason: str
    message: str
    pins: tuple[SetPins, ...] = ()
    wave: int = 0
    wave_started: datetime | None = None
    wake_at: datetime | None = None
    failures: tuple[NodeFailure, ...] = ()
    measuring_begins: bool = False
    """The first nodes of a wave enter it: what stable has done up to now is its baseline."""
    held_since: datetime | None = None
    """The wave has served its time, and the data do not decide."""
    stalled: bool = False
    """A person must act, though it goes on by itself when it can."""


@dataclass(frozen=True)
class Trial:
    """Where the candidate stands at the beginning of a pass."""

    fleet: Fleet
    candidate: str
    timers: Timers
    judgement: Judgement
    wave: int
    wave_before: int
    """Of the pass before."""
    started: datetime
    """When the last nodes entered the wave."""
    held_since: datetime | None
    switched: tuple[Placed, ...]
    """Nodes that should run the candidate, without failed ones."""
    next_nodes: tuple[Placed, ...]
    """In the order in which they enter: those that pull the image already come first."""
    failures: tuple[NodeFailure, ...]
    tried: int
    """Nodes that the candidate was sent to, failed ones included."""
    size: int
    """Nodes that it can go to or has gone to."""

    @property
    def rollout(self) -> Rollout:
        return self.fleet.observation.spec.rollout

    @property
    def where(self) -> str:
        waves = self.rollout.waves
        return f"wave {waves[self.wave].name} ({self.wave + 1} of {len(waves)})"

    @property
    def is_last(self) -> bool:
        return self.wave + 1 == len(self.rollout.waves)

    @property
    def goal(self) -> int:
        """How many nodes run the candidate after this wave."""
        return plan_waves(self.rollout.waves, self.size)[self.wave]

    @property
    def entering(self) -> tuple[Placed, ...]:
        """Another node takes the place of one that failed."""
        return self.next_nodes[: max(self.goal - len(self.switched), 0)]

    def is_fresh(self, moment: datetime) -> bool:
        """So short ago that it need not be set anew: an operator that ends between status and pins again and again
        would otherwise write nothing but status."""
        return self.timers.now - moment < min(self.rollout.node_ready_timeout / 2, FRESH)

    @property
    def pods(self) -> list[Pod]:
        """Ready ones of the candidate."""
        found = (self.fleet.pod(self.candidate, placed) for placed in self.switched)
        return [pod for pod in found if pod is not None]


def find_trial(fleet: Fleet, candidate: str, judgement: Judgement, timers: Timers) -> Trial:
    """Of ``candidate``, which is recorded, not stable and not rejected."""
    memory: dict[str, Any] = fleet.observation.status.get("rollout") or {}
    if fleet.observation.status.get("candidateRevision") != candidate:
        memory = {}
    started = _time(memory.get("waveStartedAt")) or timers.now
    wave = min(memory.get("wave", 0), len(fleet.observation.spec.rollout.waves) - 1)
    switched = [p for p in fleet.placement.placed if fleet.pinned(candidate, p) and not still_on_stable(fleet, p)]
    has_switched = {p.node.name for p in switched}
    rest = [p for p in fleet.placement.placed if p.node.name not in has_switched]
    ready_next = [p for p in rest if _may_switch(fleet, p)]
    pulling = [p for p in ready_next if fleet.pulling(candidate, p)]
    sent = [fleet.assignment(candidate, p, started) for p in (*switched, *pulling)]
    failures = failures_of(sent, fleet.observation.spec.rollout.node_ready_timeout, timers)
    failed = {item.node for item in failures}
    untried = [p for p in ready_next if p.node.name not in failed]
    return Trial(
        fleet=fleet,
        candidate=candidate,
        timers=timers,
        judgement=judgement,
        wave=wave,
        wave_before=wave,
        started=started,
        held_since=_time(memory.get("heldSince")),
        switched=tuple(p for p in switched if p.node.name not in failed),
        next_nodes=tuple(sorted(untried, key=lambda p: not fleet.pulling(candidate, p))),
        failures=failures,
        tried=len(switched) + len(pulling),
        size=len(switched) + len(ready_next),
    )


def decide_rollout(trial: Trial) -> RolloutDecision:
    """The next move."""
    back = _reason_to_roll_back(trial)
    if back is not None:
        reason, message = back
        return RolloutDecision(Move.ROLL_BACK, reason, message, (), trial.wave, trial.started, failures=trial.failures)
    if trial.timers.paused:
        text = f"{trial.where}: spec.rollout.paused, {len(trial.pods)} nodes serve {trial.candidate}"
        return _hold(trial, reasons.PAUSED, text, held_since=trial.held_since, finish=False)
    return _go_on(trial)


def _reason_to_roll_back(trial: Trial) -> tuple[str, str] | None:
    """(reason, message): more nodes failed than may, none is left, or a check failed."""
    failures, limit = trial.failures, trial.rollout.max_failed_nodes
    if len(failures) > limit:
        message = f"{failures[0].message}; {len(failures)} of {trial.tried} nodes failed, limit {limit}"
        return failures[0].reason, message
    failed = trial.judgement.failed
    if failed is not None and trial.switched:
        of_variant = f" (variant {failed.variant})" if failed.variant not in ("", "default") else ""
        return failed.reason, f"{trial.where}: check {failed.name}{of_variant}: {failed.message}"
    if failures and not trial.switched and not trial.entering:
        return failures[0].reason, f"{failures[0].message}; no node serves it, {len(failures)} failed"
    return None


def _go_on(trial: Trial) -> RolloutDecision:
    """Holds in this wave, goes to the next, or promotes; waves that add no node are passed over."""
    while True:
        if trial.entering:
            return _enter(trial)
        if not trial.switched:
            return _no_progress(trial, reasons.NODES_OFFLINE, f"no node is online to take {trial.candidate}")
        pods = trial.pods
        if len(pods) < len(trial.switched) or _finishing(trial):
            text = f"{trial.goal} nodes switch to {trial.candidate}"
            return _no_progress(trial, reasons.ROLLING_OUT, text)
        served_since = max(pod.served_since(trial.timers.now) for pod in pods)
        since, duration = max(served_since, trial.started), _duration(trial)
        if not trial.timers.passed(since, duration):
            reason = reasons.BAKING if trial.is_last else reasons.SOAKING
            text = f"{trial.where}: {len(pods)} nodes serve {trial.candidate}"
            return _hold(trial, reason, text, trial.timers.due(since, duration))
        undecided = _undecided(trial, trial.timers.due(since, duration) or trial.timers.now)
        if undecided is not None:
            return undecided
        if trial.is_last and trial.wave != trial.wave_before:
            text = f"{trial.where}: {len(pods)} nodes serve {trial.candidate}"
            return _hold(trial, reasons.BAKING, text, trial.timers.now + timedelta(seconds=1))  # said before it is done
        if trial.is_last:
            text = f"{trial.candidate} serves on {len(pods)} nodes after all waves"
            pins = tuple(_keep(trial))
            return RolloutDecision(
                Move.PROMOTE, reasons.SERVING, text, pins, trial.wave, trial.started, failures=trial.failures
            )
        trial = replace(trial, wave=trial.wave + 1, held_since=None)
        if trial.entering:
            trial = replace(trial, started=trial.timers.now)


def _enter(trial: Trial) -> RolloutDecision:
    """Nodes enter the wave, with a deadline of their own."""
    changes = [c for p in trial.entering if (c := switch_node(trial.fleet, p, trial.candidate)) is not None]
    fresh = trial.wave == trial.wave_before and trial.is_fresh(trial.started)
    if changes and not fresh:
        trial = replace(trial, started=trial.timers.now)
    return RolloutDecision(
        Move.ADVANCE,
        reasons.ROLLING_OUT,
        f"{trial.where}: {trial.candidate} goes to {trial.goal} of {trial.size} nodes",
        (*changes, *_finishing(trial), *_keep(trial)),
        trial.wave,
        trial.started,
        _next_deadline(trial),
        trial.failures,
        measuring_begins=trial.wave != trial.wave_before or (not trial.tried and not fresh),
    )


def _undecided(trial: Trial, due: datetime) -> RolloutDecision | None:
    """What to do at the end of a wave whose checks do not decide; None: go on."""
    judgement, rule = trial.judgement, trial.fleet.observation.spec.analysis.on_inconclusive
    if not judgement.measured:
        judged = trial.fleet.observation.spec.analysis.checks
        if not judged or (rule.action == "Proceed" and not rule.after):
            return None
        reason = reasons.BAKING if trial.is_last else reasons.SOAKING
        text = f"{trial.where}: {len(trial.pods)} nodes serve {trial.candidate}"
        # The measurement that is under way brings the next pass; an operator that began anew has none yet.
        return _hold(trial, reason, text, held_since=trial.held_since)
    waits = _waits_for(judgement, due)
    if waits is None:
        return None
    reason, why = waits
    since = trial.held_since or trial.timers.now.replace(microsecond=0)
    text = f"{trial.where}: waits for {why}"
    if not trial.timers.passed(since, rule.after):
        at = trial.timers.due(since, rule.after)
        then = {"Pause": "asks for a person", "RollBack": "rolls back", "Proceed": "goes on"}[rule.action]
        until = f"; undecided at {timestamp(at)}, it {then}" if at is not None else ""
        return _hold(trial, reason, text + until, at, held_since=since)
    if rule.action == "Proceed":
        return None
    limit = f"limit {rule.after.total_seconds():.0f} s (analysis.onInconclusive.afterSeconds)"
    if rule.action == "RollBack":
        message = f"{text}; undecided since {timestamp(since)}, {limit}"
        return RolloutDecision(Move.ROLL_BACK, reason, message, (), trial.wave, trial.started, failures=trial.failures)
    message = f"{text}; {limit}"
    return _hold(trial, reasons.ANALYSIS_DEADLINE_EXCEEDED, message, held_since=since, stalled=True)


def _waits_for(judgement: Judgement, due: datetime) -> tuple[str, str] | None:
    """(reason, what for): checks that do not decide, or metrics of the whole soak, which a remote write may delay."""
    waiting = judgement.waiting
    if waiting:
        names = ", ".join(sorted({item.name for item in waiting}))
        return waiting[0].reason, f"{names}: {waiting[0].message}"
    if judgement.reaches is not None and judgement.reaches < due - SCRAPED_WITHIN:
        return reasons.METRICS_UNAVAILABLE, f"metrics up to {timestamp(due)}: Prometheus gets them late"
    return None


def _no_progress(trial: Trial, reason: str, text: str) -> RolloutDecision:
    """Held by nodes that do not serve; a person is asked when that lasts."""
    served = [pod.served_since(trial.timers.now) for pod in trial.pods]
    last, deadline = max([trial.started, *served, *_stopped(trial)]), trial.rollout.progress_deadline
    text = f"{trial.where}: {text}"
    times = [time for time in (_next_deadline(trial), trial.timers.due(last, deadline)) if time is not None]
    if not trial.timers.passed(last, deadline):
        return _hold(trial, reason, text, min(times, default=None))
    message = f"{text}; no progress since {timestamp(last)}, limit {deadline.total_seconds():.0f} s"
    return _hold(trial, reasons.PROGRESS_DEADLINE_EXCEEDED, message, _next_deadline(trial), stalled=True)


def _stopped(trial: Trial) -> list[datetime]:
    """When switched nodes that served the candidate stopped: until then it was the soak that lasted."""
    fleet, now = trial.fleet, trial.timers.now
    found = []
    for placed in trial.switched:
        node, variant = placed.node.name, fleet.variant(trial.candidate, placed)
        if fleet.pod(trial.candidate, placed) is None:
            of_pods = [
                pod.unready_since for pod in fleet.observation.pods_on(node, trial.candidate) if pod.variant == variant
            ]
            of_pods += [fleet.observation.pods_lost.get((node, trial.candidate, variant)), placed.node.offline_since]
            found += [time for time in of_pods if time is not None and time <= now]
    return found


def _hold(
    trial: Trial,
    reason: str,
    text: str,
    until: datetime | None = None,
    *,
    held_since: datetime | None = None,
    stalled: bool = False,
    finish: bool = True,
) -> RolloutDecision:
    """``finish``: nodes that serve both revisions lose stable's pin."""
    pins = (*(_finishing(trial) if finish else ()), *_keep(trial))
    return RolloutDecision(
        Move.HOLD,
        reason,
        text,
        pins,
        trial.wave,
        trial.started,
        until,
        trial.failures,
        held_since=held_since,
        stalled=stalled,
    )


def _duration(trial: Trial) -> timedelta:
    return trial.rollout.bake if trial.is_last else trial.rollout.soak


def _finishing(trial: Trial) -> list[SetPins]:
    return [c for p in trial.switched if (c := switch_node(trial.fleet, p, trial.candidate)) is not None]


def _keep(trial: Trial) -> list[SetPins]:
    """The others stay on stable, and once a node was sent the candidate, those that come late are out of it."""
    fleet, stable = trial.fleet, trial.fleet.stable
    kept = [] if stable is None else keep_stable(fleet, trial.candidate, stable)
    return [*kept, *(defer(fleet, trial.candidate) if trial.tried else ())]


def _may_switch(fleet: Fleet, placed: Placed) -> bool:
    """Online, not deferred, and, where there is a stable revision, on it: serving, or in trouble that it may cure."""
    if not placed.node.online or fleet.deferred(placed) or fleet.pinned_to_rejected(placed):
        return False
    if fleet.stable is None:
        return True
    if not fleet.pinned(fleet.stable, placed):
        return False
    return fleet.pod(fleet.stable, placed) is not None or any(
        pod.trouble is not None for pod in fleet.observation.pods_on(placed.node.name, fleet.stable)
    )


def _next_deadline(trial: Trial) -> datetime | None:
    fleet, candidate = trial.fleet, trial.candidate
    pulling = (p for p in trial.next_nodes if fleet.pulling(candidate, p))
    sent = [fleet.assignment(candidate, p, trial.started) for p in (*trial.switched, *pulling)]
    return next_failure_at(sent, trial.rollout.node_ready_timeout, trial.timers)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
