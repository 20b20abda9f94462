"""The way from the spec to a Revision: which compression Job to run, when to retry, when a person must act.

The memory of a compression is its Job: a failed one stays until the spec changes, and deleting it starts another
attempt. Success is remembered by the EdgeModelRevision that is recorded from the Job's report.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from edge_operator.decide.actions import Action, DeleteJob, StartJob
from edge_operator.decide.artifact.allowed_images import refusal
from edge_operator.decide.artifact.new_revision import record_published, record_twin
from edge_operator.decide.artifact.server_build import current_server, is_on_current_server
from edge_operator.decide.artifact.target import newest_usable_twin, target_name, twins_of_target
from edge_operator.decide.observation import CompressionJob, Observation, Revision
from edge_operator.decide.placement.room import no_room_for_job
from edge_operator.decide.refused_pods import COMPRESSION_RESOURCES, explain, explain_pull
from edgemodel import reasons
from edgemodel.names import short_hash
from edgemodel.report import Failed, Published
from edgemodel.verdict import CheckResult

MAX_UNEXPLAINED_ATTEMPTS = 3
"""The number of attempts of a Job that ends without a report (a lost node, a bug) before a person must act."""
RETRY_FIRST = timedelta(seconds=10)
RETRY_LONGEST = timedelta(minutes=10)
TO_BEGIN = timedelta(seconds=60)
"""The time after which a Job without a pod is reported."""
TO_END = timedelta(minutes=10)
"""The time beyond its deadline after which a Job that does not end is reported; its pod may have waited for a node."""


@dataclass(frozen=True)
class Artifact:
    """The artifact of the target. ``revision`` is the target once it is recorded; until then ``reason`` and ``message``
    say what is missing."""

    revision: Revision | None
    reason: str
    message: str
    stalled: bool = False
    actions: tuple[Action, ...] = ()
    wake_at: datetime | None = None
    checks: tuple[CheckResult, ...] = ()


def decide_artifact(observation: Observation, rejected: Collection[str], now: datetime) -> Artifact:
    """Decides about the artifact of the target. A revision in ``rejected`` that is no longer recorded is not made
    again."""
    name, jobs = target_name(observation), _Jobs.of(observation)
    recorded = observation.revision(name)
    if recorded is not None:
        return Artifact(recorded, reasons.PUBLISHED, _published(recorded), actions=jobs.delete_others())
    if name in rejected:
        message = f"{name} was rejected, and is not compressed again"
        return Artifact(None, reasons.ROLLED_BACK, message, stalled=True, actions=jobs.delete_others())
    twin = newest_usable_twin(observation)
    if twin is not None:
        record = record_twin(observation, name, twin)
        return Artifact(None, reasons.PUBLISHED, f"artifacts of {twin.name} serve again", actions=(record,))
    return _compress(observation, name, jobs, now)


@dataclass(frozen=True)
class _Jobs:
    """The compression Jobs of an EdgeModel, divided by whether they are for its present spec."""

    observation: Observation
    prefix: str
    """The names of the Jobs for the present spec, without their attempt."""

    @classmethod
    def of(cls, observation: Observation) -> "_Jobs":
        """Returns the Jobs; the prefix differs if the same artifacts are put on another server."""
        attempt, settings, twins = observation.spec.attempt_hash, observation.settings, twins_of_target(observation)
        if settings.upgrade_servers and any(not is_on_current_server(twin, settings) for twin in twins):
            attempt = short_hash(f"{attempt}/{current_server(twins, settings)}")
        return cls(observation, f"{observation.name}-{attempt}-")

    @property
    def present(self) -> list[CompressionJob]:
        """Returns the Jobs for the present spec that are not being deleted, by attempt."""
        ours = (job for job in self.observation.jobs if job.name.startswith(self.prefix) and not job.deleting)
        return sorted(ours, key=lambda job: job.attempt)

    def delete_others(self) -> tuple[DeleteJob, ...]:
        """Returns the deletions of Jobs for other specs; the one that made the target stays for its log."""
        others = (job for job in self.observation.jobs if not job.name.startswith(self.prefix) and not job.deleting)
        return tuple(DeleteJob(job.name) for job in others)


def _compress(observation: Observation, name: str, jobs: _Jobs, now: datetime) -> Artifact:
    if not jobs.present:
        return _start(jobs, 1, f"Job {jobs.prefix}1 runs (attempt 1)")
    job = jobs.present[-1]
    if job.ended is None:
        return _while_it_runs(jobs, job, now)
    if job.succeeded and isinstance(job.report, Published) and _is_whole(observation, job.report):
        # The chart may name another server now than when the Job began.
        record = record_published(observation, name, job.report, job.server_image or observation.settings.server_image)
        return Artifact(None, reasons.PUBLISHED, "artifacts are published", actions=(*jobs.delete_others(), record))
    return _after_failure(jobs, job, job.ended, now)


def _while_it_runs(jobs: _Jobs, job: CompressionJob, now: datetime) -> Artifact:
    observation, others = jobs.observation, jobs.delete_others()
    refusal = observation.refusals.get(("Job", job.name)) if not job.has_pod else None
    if refusal is not None:
        message = f"no pod is made for Job {job.name}: {explain(refusal, COMPRESSION_RESOURCES)}"
        reason = reasons.POD_REFUSED if refusal.is_final else reasons.COMPRESSING
        return Artifact(None, reason, message, stalled=refusal.is_final, actions=others)
    if job.pull is not None and job.pull.is_final:
        message = f"Job {job.name} waits: {explain_pull(observation, job.pull)}; Kubernetes tries again by itself"
        return Artifact(None, reasons.IMAGE_PULL_FAILED, message, stalled=True, actions=others)
    waits_for = explain_pull(observation, job.pull) if job.pull is not None else job.waits_for
    waits = f"; its pod waits: {waits_for}" if waits_for else ""
    doing = str(job.step) if job.step is not None else job.doing
    begun = f"; {doing}" if doing else ""
    hint, wake_at = _overdue(job, observation.spec.compression_job.deadline, now)
    message = f"Job {job.name} runs (attempt {job.attempt}){waits}{begun}{hint if not waits else ''}"
    return Artifact(None, reasons.COMPRESSING, message, actions=others, wake_at=wake_at)


def _overdue(job: CompressionJob, deadline: timedelta, now: datetime) -> tuple[str, datetime | None]:
    """Returns (what to look at, when to look again) for a Job that should have begun, or ended, by now."""
    if job.created is None:
        return "", None
    limit = deadline + TO_END if job.has_pod else TO_BEGIN
    if now < job.created + limit:
        return "", job.created + limit
    what = f"it has not ended after {limit.total_seconds():.0f} s" if job.has_pod else "it has no pod"
    return f"; {what}: kubectl describe job {job.name} says why", None


def _start(jobs: _Jobs, attempt: int, why: str, source_bytes: int | None = None) -> Artifact:
    """Returns the start of another Job, which takes the place of all earlier ones."""
    if refused := refusal(jobs.observation):
        return Artifact(None, reasons.CONVERTER_NOT_ALLOWED, refused, stalled=True, actions=jobs.delete_others())
    if source_bytes is not None and (lacking := no_room_for_job(jobs.observation, source_bytes)):
        return Artifact(None, reasons.INSUFFICIENT_MEMORY, lacking, stalled=True, actions=jobs.delete_others())
    start = StartJob(f"{jobs.prefix}{attempt}", attempt, jobs.observation.spec, source_bytes)
    older = (DeleteJob(job.name) for job in jobs.present)
    return Artifact(None, reasons.COMPRESSING, why, actions=(*jobs.delete_others(), start, *older))


def _after_failure(jobs: _Jobs, job: CompressionJob, ended: datetime, now: datetime) -> Artifact:
    reason, message, transient, checks = _why(job)
    larger = job.report.source_size_bytes if isinstance(job.report, Failed) else None
    if larger is not None:
        return _start(jobs, job.attempt + 1, f"trying again with memory and disk for {larger} bytes", larger)
    if not transient:
        return Artifact(None, reason, message, stalled=True, actions=jobs.delete_others(), checks=checks)
    delay = min(RETRY_FIRST * 2 ** min(job.attempt - 1, 10), RETRY_LONGEST)
    if now >= ended + delay:
        return _start(jobs, job.attempt + 1, f"trying again after {reason}: {message}", job.source_bytes)
    text = f"{message} (attempt {job.attempt}; next try {delay.total_seconds():.0f} s after it ended)"
    return Artifact(None, reason, text, actions=jobs.delete_others(), wake_at=ended + delay)


def _why(job: CompressionJob) -> tuple[str, str, bool, tuple[CheckResult, ...]]:
    """Returns the (reason, message, transient, checks) of a Job that ended without an artifact."""
    report = job.report
    if report is not None and not isinstance(report, Published):
        return report.reason, report.message, report.transient, report.checks
    if job.trouble is not None:
        return *job.trouble, False, ()
    what = "a report of every variant" if report is not None and job.succeeded else "a report"
    message = f"Job {job.name} ended without {what}; read its log: kubectl logs job/{job.name}"
    return reasons.COMPRESSION_FAILED, message, job.attempt < MAX_UNEXPLAINED_ATTEMPTS, ()


def _is_whole(observation: Observation, report: Published) -> bool:
    """Returns whether the report has an artifact for each variant of the spec."""
    there = {artifact.variant for artifact in report.artifacts}
    return all(variant.name in there for variant in observation.spec.variants)


def _published(revision: Revision) -> str:
    artifacts = [variant.artifact for variant in revision.spec.variants]
    sizes = ", ".join(f"{one.source_size_bytes} -> {one.size_bytes} bytes" for one in artifacts)
    return f"{revision.name}: {sizes}"
