"""The way from the spec to a Revision: which compression Job to run, when to retry, when a person must act.

The memory of a compression is its Job: a failed one stays until the spec changes, and deleting it starts another
attempt. Success is remembered by the EdgeModelRevision that is recorded from the Job's report.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from edge_operator.decide.actions import Action, DeleteJob, RecordRevision, StartJob
from edge_operator.decide.analysis import latency_edge
from edge_operator.decide.artifact.allowed_images import refusal
from edge_operator.decide.observation import CompressionJob, Observation, Revision
from edgemodel import reasons
from edgemodel.caller_signature import CallerSignature
from edgemodel.compression_request import Source
from edgemodel.names import short_hash
from edgemodel.report import ArtifactReport, Published
from edgemodel.revision import (
    RevisionConverter,
    RevisionFile,
    RevisionServing,
    RevisionSource,
    RevisionSpec,
    RevisionVariant,
    ShadowReplay,
    StatefulInput,
)
from edgemodel.verdict import CheckResult

MAX_UNEXPLAINED_ATTEMPTS = 3
"""The number of attempts of a Job that ends without a report (a lost node, a bug) before a person must act."""
RETRY_FIRST = timedelta(seconds=10)
RETRY_LONGEST = timedelta(minutes=10)


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


@dataclass(frozen=True)
class SourceMade:
    """The facts that a compression Job found of its source."""

    digest: str
    converter_digest: str | None
    """Digest of the file that the converter wrote; None where there is no converter."""
    signature: CallerSignature | None


def target_name(observation: Observation) -> str:
    """Returns the revision that the spec asks for: one that was made for it, or the name of the one to make.

    With ``upgrade_servers`` it must also be on the server image that the chart now names; without, an older server
    suffices, so that an upgrade of the chart starts no rollout.
    """
    first = _first_name(observation)
    made = sorted((r for r in observation.revisions if _is_for_spec(observation, r)), key=lambda r: (r.created, r.name))
    if observation.settings.upgrade_servers:
        newest = [r for r in made if r.spec.server_image == observation.settings.server_image]
        if made and not newest:
            return _next_name(observation)
        made = newest
    names = [revision.name for revision in made]
    for name in (observation.status.stable_revision, first):
        if name in names:
            return str(name)
    return names[-1] if names else first


def _first_name(observation: Observation) -> str:
    return f"{observation.name}-{observation.spec.revision_hash}"


def _next_name(observation: Observation) -> str:
    """Returns the name of a revision that differs from an earlier one only in its server."""
    what = f"{observation.spec.revision_hash}/{observation.settings.server_image}"
    return f"{observation.name}-{short_hash(what)}"


def _is_for_spec(observation: Observation, revision: Revision) -> bool:
    return revision.spec.spec_hash == observation.spec.revision_hash


def _job_prefix(observation: Observation) -> str:
    """Returns the name of a Job without its attempt; it differs if the same artifacts are put on another server
    image."""
    attempt, server = observation.spec.attempt_hash, observation.settings.server_image
    twins = [r for r in observation.revisions if r.fingerprint == observation.spec.request.fingerprint]
    if observation.settings.upgrade_servers and any(twin.spec.server_image != server for twin in twins):
        attempt = short_hash(f"{attempt}/{server}")
    return f"{observation.name}-{attempt}-"


def decide_artifact(observation: Observation, rejected: Collection[str], now: datetime) -> Artifact:
    """Decides about the artifact of the target. A revision in ``rejected`` that is no longer recorded is not made
    again."""
    name = target_name(observation)
    prefix = _job_prefix(observation)
    recorded = observation.revision(name)
    if recorded is not None:
        return Artifact(
            recorded, reasons.PUBLISHED, _published(recorded), actions=_delete_jobs_but(observation, prefix)
        )
    if name in rejected:
        message = f"{name} was rejected, and is not compressed again"
        return Artifact(None, reasons.ROLLED_BACK, message, True, _delete_jobs_but(observation, prefix))
    twins = [r for r in observation.revisions if r.fingerprint == observation.spec.request.fingerprint]
    if observation.settings.upgrade_servers:
        twins = [r for r in twins if r.spec.server_image == observation.settings.server_image]
    if twins:
        twin = max(twins, key=lambda revision: (revision.created, revision.name))
        made, converter = twin.spec, twin.spec.source.converter
        source = SourceMade(made.source.digest, converter.digest if converter is not None else None, made.signature)
        artifacts = {variant.name: variant.artifact for variant in made.variants}
        record = RecordRevision(name, revision_spec(observation, source, artifacts, made.server_image))
        return Artifact(None, reasons.PUBLISHED, f"artifacts of {twin.name} serve again", actions=(record,))
    return _compress(observation, name, prefix, now)


def _compress(observation: Observation, name: str, prefix: str, now: datetime) -> Artifact:
    ours = sorted((job for job in observation.jobs if job.name.startswith(prefix)), key=lambda job: job.attempt)
    others = _delete_jobs_but(observation, prefix)
    ours = [job for job in ours if not job.deleting]

    def start(attempt: int, why: str) -> Artifact:
        if refused := refusal(observation):
            return Artifact(None, reasons.CONVERTER_NOT_ALLOWED, refused, stalled=True, actions=others)
        job = StartJob(f"{prefix}{attempt}", attempt, observation.spec)
        older = tuple(DeleteJob(job.name) for job in ours)
        return Artifact(None, reasons.COMPRESSING, why, actions=(*others, job, *older))

    if not ours:
        return start(1, f"Job {prefix}1 runs (attempt 1)")
    job = ours[-1]
    if job.ended is None:
        waits = f"; its pod waits: {job.waits_for}" if job.waits_for else ""
        doing = str(job.step) if job.step is not None else job.doing
        begun = f"; {doing}" if doing else ""
        message = f"Job {job.name} runs (attempt {job.attempt}){waits}{begun}"
        return Artifact(None, reasons.COMPRESSING, message, actions=others)
    if job.succeeded and isinstance(job.report, Published):
        artifacts = {report.variant: report for report in job.report.artifacts}
        report = job.report
        source = SourceMade(report.source_digest, report.converter_digest, report.signature)
        # The chart may name another server by now than when the Job began.
        server = job.server_image or observation.settings.server_image
        record = RecordRevision(name, revision_spec(observation, source, artifacts, server))
        return Artifact(None, reasons.PUBLISHED, "artifacts are published", actions=(*others, record))
    return _after_failure(job, now, start, others)


def _after_failure(job: CompressionJob, now: datetime, start: Any, others: tuple[DeleteJob, ...]) -> Artifact:
    assert job.ended is not None
    reason, message, transient, checks = _why(job)
    if not transient:
        return Artifact(None, reason, message, stalled=True, actions=others, checks=checks)
    delay = min(RETRY_FIRST * 2 ** min(job.attempt - 1, 10), RETRY_LONGEST)
    if now >= job.ended + delay:
        restarted: Artifact = start(job.attempt + 1, f"trying again after {reason}: {message}")
        return restarted
    text = f"{message} (attempt {job.attempt}; next try {delay.total_seconds():.0f} s after it ended)"
    return Artifact(None, reason, text, actions=others, wake_at=job.ended + delay)


def _why(job: CompressionJob) -> tuple[str, str, bool, tuple[CheckResult, ...]]:
    """Returns the (reason, message, transient, checks) of a Job that ended without an artifact."""
    report = job.report
    if report is not None and not isinstance(report, Published):
        return report.reason, report.message, report.transient, report.checks
    if job.trouble is not None:
        return *job.trouble, False, ()
    message = f"Job {job.name} ended without a report; its log tells: kubectl logs job/{job.name}"
    return reasons.COMPRESSION_FAILED, message, job.attempt < MAX_UNEXPLAINED_ATTEMPTS, ()


def _delete_jobs_but(observation: Observation, prefix: str) -> tuple[DeleteJob, ...]:
    """Returns the deletions of Jobs of other specs; the Job that made the target stays for its log."""
    return tuple(DeleteJob(j.name) for j in observation.jobs if not j.name.startswith(prefix) and not j.deleting)


def revision_spec(
    observation: Observation, made: SourceMade, artifacts: Mapping[str, ArtifactReport], server_image: str
) -> RevisionSpec:
    """Returns the immutable spec of the target: the request, the artifacts, and all that a node runs.

    ``artifacts`` are by variant; steps, selectors and resources come from the EdgeModel. ``server_image`` is the image
    that the artifacts were put on.
    """
    spec, request = observation.spec, observation.spec.request
    steps = {recipe.variant: recipe.steps for recipe in request.recipes}
    replay, objective = spec.serving.shadow_replay_max_requests, latency_edge(spec.analysis)
    return RevisionSpec(
        model=observation.name,
        spec_hash=spec.revision_hash,
        fingerprint=request.fingerprint,
        retry_token=spec.rollout.retry_token,
        source=_source(request.source, made),
        datasets={use: RevisionFile(source.uri, source.digest) for use, source in request.datasets.items()},
        teacher=_teacher(request.teacher),
        variants=tuple(
            RevisionVariant(
                name=variant.name,
                steps=steps[variant.name],
                node_selector=variant.node_selector,
                resources=variant.resources,
                artifact=artifacts[variant.name],
            )
            for variant in spec.variants
        ),
        server_image=server_image,
        signature=made.signature,
        serving=RevisionServing(
            port=spec.serving.port,
            strategy=spec.serving.strategy,
            host_port=spec.serving.host_port,
            tuning=spec.serving.tuning,
            shadow_replay=ShadowReplay(replay) if replay else None,
            tolerations=spec.tolerations,
            # The schema allows 8 digits; all 17 of a float would show what dividing by 1000 has rounded.
            latency_objective_milliseconds=f"{1000 * objective:.10g}" if objective is not None else None,
        ),
    )


def _source(source: Source, made: SourceMade) -> RevisionSource:
    converter = None
    if source.converter is not None:
        asked = source.converter
        converter = RevisionConverter(asked.image, asked.args, asked.writes, made.converter_digest)
    stateful = tuple(StatefulInput(taken, given) for taken, given in source.stateful_inputs.items())
    return RevisionSource(source.uri, made.digest, source.format, converter, stateful)


def _teacher(teacher: Source | None) -> RevisionFile | None:
    return RevisionFile(teacher.uri, teacher.digest, teacher.format) if teacher is not None else None


def _published(revision: Revision) -> str:
    artifacts = [variant.artifact for variant in revision.spec.variants]
    sizes = ", ".join(f"{one.source_size_bytes} -> {one.size_bytes} bytes" for one in artifacts)
    return f"{revision.name}: {sizes}"
