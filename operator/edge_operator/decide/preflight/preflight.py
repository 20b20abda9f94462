"""The preflight: before the first wave, a Job measures the candidate on one node of each hardware class.

The classes, and the node of each, are recorded before the first Job starts, and then stay.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from edge_operator.decide.actions import Action, DeleteJob, RecordPreflight
from edge_operator.decide.observation import Observation, Revision
from edge_operator.decide.placement.selection import Placement, nobody_takes
from edge_operator.decide.preflight.class_job import ClassJob, ClassProgress
from edge_operator.decide.preflight.hardware_classes import plan_classes
from edge_operator.decide.preflight.outcome import judged
from edgemodel import reasons
from edgemodel.spec import PreflightSpec
from edgemodel.status import ClassPreflight, PreflightStatus
from edgemodel.verdict import Verdict

MAX_NAMED = 5


@dataclass(frozen=True)
class Preflight:
    """The result of a pass. If ``done``, the first wave may begin; otherwise ``reason`` and ``message`` say what it
    waits for."""

    status: PreflightStatus | None = None
    done: bool = True
    reason: str = ""
    message: str = ""
    rejection: tuple[str, str] | None = None
    """The (reason, message) of a rejection: the candidate must not run on any node."""
    actions: tuple[Action, ...] = ()
    wake_at: datetime | None = None

    def rejected(self, revision: str) -> bool:
        """Returns whether the preflight kept ``revision`` from every node."""
        return self.status is not None and self.status.failed is not None and self.status.revision == revision

    @property
    def unverified(self) -> str:
        """Returns the classes without a measurement, with the reasons; empty if there are none."""
        if self.status is None:
            return ""
        missing = [item for item in self.status.classes if item.verdict is Verdict.INCONCLUSIVE]
        texts = [f"{item.name}: {item.message}" for item in missing[:MAX_NAMED]]
        more = len(missing) - len(texts) + (self.status.omitted or 0)
        return "; ".join([*texts, *([f"and {more} more"] if more else [])])


def decide_preflight(
    observation: Observation,
    target: str,
    placement: Placement,
    settled: Collection[str | None],
    now: datetime,
    *,
    blocked: bool,
) -> Preflight:
    """Returns the decision about the preflight of ``target``.

    ``settled`` are revisions whose rollout has ended, stable or rejected. ``blocked`` is True if something else keeps
    the trial from beginning.
    """
    revision = observation.revision(target)
    if revision is None:
        return Preflight(_if_over(observation.status.preflight), actions=_stop(observation))
    known, on_trial = _known(observation, revision), observation.status.candidate_revision == target
    spec = observation.spec.preflight
    if spec is None or target in settled or on_trial:
        known = _if_over(known)
        return Preflight(known, actions=(*_stop(observation), *_record(revision, known)))
    if blocked:
        return Preflight(known, actions=_stop(observation))
    if known is None:
        if observation.spec.rollout.paused:
            message = f"spec.rollout.paused: {target} has not passed preflight, and goes to no node"
            return Preflight(None, False, reasons.PAUSED, message, actions=_stop(observation))
        if not any(placed.is_available for placed in placement.placed):
            return Preflight(None, False, *nobody_takes(target, placement.placed), actions=_stop(observation))
        known = plan_classes(spec, placement, revision)
    return _go_on(observation, spec, revision, known, now)


def _go_on(
    observation: Observation, spec: PreflightSpec, revision: Revision, known: PreflightStatus, now: datetime
) -> Preflight:
    classes = [_progress(observation, spec, revision, item, now) for item in known.classes]
    status = replace(known, classes=tuple(item.result for item in classes))
    if (failed := status.failed) is not None:
        rejection = failed.reason or reasons.PREFLIGHT_FAILED, failed.message or ""
        return Preflight(status, rejection=rejection, actions=(*_stop(observation), *_record(revision, status)))
    pending = [item for item in classes if item.result.verdict is None]
    actions = (
        *(action for item in classes for action in item.actions),
        *_stop(observation, {item.job for item in classes}),
        *_record(revision, status),
    )
    if not pending:
        return Preflight(status, actions=actions)
    wakes = [item.wake_at for item in pending if item.wake_at is not None]
    reason, message = _waits(observation, revision, pending)
    return Preflight(status, False, reason, message, actions=actions, wake_at=min(wakes, default=None))


def _progress(
    observation: Observation, spec: PreflightSpec, revision: Revision, known: ClassPreflight, now: datetime
) -> ClassProgress:
    """Returns the progress of one class since the previous pass; the limits may have changed since."""
    known = judged(known, spec)
    if known.verdict is not None or known.node is None:
        return ClassProgress(known)
    return ClassJob(observation, spec, revision, known, known.node, now).progress()


def _waits(observation: Observation, revision: Revision, pending: list[ClassProgress]) -> tuple[str, str]:
    where = ", ".join(f"{item.result.node} ({item.result.name})" for item in pending[:MAX_NAMED])
    more = f" and {len(pending) - MAX_NAMED} more" if len(pending) > MAX_NAMED else ""
    if observation.spec.rollout.paused and not any(item.job for item in pending):
        return reasons.PAUSED, f"spec.rollout.paused: {revision.name} does not run preflight on {where}{more}"
    waits = next((f"; {item.job}: its pod waits: {item.waits_for}" for item in pending if item.waits_for), "")
    reason = reasons.POD_REFUSED if any(item.is_refused for item in pending) else reasons.PREFLIGHT_RUNNING
    return reason, f"before its first wave {revision.name} runs preflight on {where}{more}{waits}"


def _stop(observation: Observation, but: Collection[str] = ()) -> tuple[Action, ...]:
    """Returns the deletions of running Jobs; finished ones stay for their logs."""
    running = [job for job in observation.preflights if job.ended is None and not job.deleting]
    return tuple(DeleteJob(job.name) for job in running if job.name not in but)


def _if_over(status: PreflightStatus | None) -> PreflightStatus | None:
    return status if status is not None and status.is_over else None


def _known(observation: Observation, revision: Revision) -> PreflightStatus | None:
    """Returns the plan or result of an earlier pass; a candidate that comes back is not measured again."""
    before, recorded = observation.status.preflight, revision.preflight
    if before is not None and before.revision == revision.name:
        return before
    return PreflightStatus(recorded.classes, recorded.omitted, revision=revision.name) if recorded else None


def _record(revision: Revision, status: PreflightStatus | None) -> tuple[Action, ...]:
    """Returns the action that records the result in the revision, unless it is recorded or not over."""
    if _if_over(status) is None or status is None or revision.preflight is not None:
        return ()
    return (RecordPreflight(revision.name, status.result),)
