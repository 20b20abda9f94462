"""From the spec to a Revision: which compression Job to run, when to try again, when a person must act.

A compression's memory is its Job: a failed one stays until the spec changes, and deleting it by hand
tries again. Its success is remembered by the EdgeModelRevision that is recorded from its report.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from edge_operator.decide.actions import Action, DeleteJob, RecordRevision, StartJob
from edge_operator.decide.observation import Job, Observation, Revision
from edgemodel import reasons
from edgemodel.report import ArtifactReport, Published
from edgemodel.spec import Source

MAX_UNEXPLAINED_ATTEMPTS = 3
"""A Job that ends without a report (a lost node, a bug) is tried this often before a person is asked."""
RETRY_FIRST = timedelta(seconds=10)
RETRY_LONGEST = timedelta(minutes=10)


@dataclass(frozen=True)
class Artifact:
    """``revision``: the target, when it is recorded. Else ``reason`` and ``message`` say what is missing."""

    revision: Revision | None
    reason: str
    message: str
    stalled: bool = False
    actions: tuple[Action, ...] = ()
    wake_at: datetime | None = None
    checks: tuple[dict[str, Any], ...] = ()


def target_name(observation: Observation) -> str:
    return f"{observation.name}-{observation.spec.revision_hash()}"


def decide_artifact(observation: Observation, now: datetime) -> Artifact:
    name = target_name(observation)
    recorded = observation.revision(name)
    if recorded is not None:
        return Artifact(recorded, reasons.PUBLISHED, _published(recorded), actions=_delete_all_jobs(observation))
    twins = [r for r in observation.revisions if r.fingerprint == observation.spec.fingerprint()]
    if twins:
        twin = max(twins, key=lambda revision: (revision.created, revision.name))
        spec = revision_spec(observation, twin.spec["source"]["digest"], twin.spec["variants"])
        record = RecordRevision(name, {**spec, "serverImage": twin.spec["serverImage"]})
        return Artifact(None, reasons.PUBLISHED, f"artifacts of {twin.name} serve again", actions=(record,))
    return _compress(observation, name, now)


def _compress(observation: Observation, name: str, now: datetime) -> Artifact:
    prefix = f"{observation.name}-{observation.spec.attempt_hash()}-"
    ours = sorted((job for job in observation.jobs if job.name.startswith(prefix)), key=lambda job: job.attempt)
    others = tuple(DeleteJob(j.name) for j in observation.jobs if not j.name.startswith(prefix) and not j.deleting)
    ours = [job for job in ours if not job.deleting]

    def start(attempt: int, why: str) -> Artifact:
        job = StartJob(f"{prefix}{attempt}", attempt, observation.spec)
        older = tuple(DeleteJob(job.name) for job in ours)
        return Artifact(None, reasons.COMPRESSING, why, actions=(*others, job, *older))

    if not ours:
        return start(1, f"Job {prefix}1 runs (attempt 1)")
    job = ours[-1]
    if job.ended is None:
        waits = f"; its pod waits: {job.waits_for}" if job.waits_for else ""
        message = f"Job {job.name} runs (attempt {job.attempt}){waits}"
        return Artifact(None, reasons.COMPRESSING, message, actions=others)
    if job.succeeded and isinstance(job.report, Published):
        reports = {report.variant: report for report in job.report.artifacts}
        variants = [_artifact_json(reports[variant.name]) for variant in observation.spec.variants]
        record = RecordRevision(name, revision_spec(observation, job.report.source_digest, variants))
        return Artifact(None, reasons.PUBLISHED, "artifacts are published", actions=(*others, record))
    return _after_failure(job, now, start, others)


def _after_failure(job: Job, now: datetime, start: Any, others: tuple[DeleteJob, ...]) -> Artifact:
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


def _why(job: Job) -> tuple[str, str, bool, tuple[dict[str, Any], ...]]:
    """(reason, message, transient, checks) of a Job that ended without an artifact."""
    report = job.report
    if report is not None and not isinstance(report, Published):
        return report.reason, report.message, report.transient, report.checks
    if job.trouble is not None:
        return *job.trouble, False, ()
    message = f"Job {job.name} ended without a report; its log tells: kubectl logs job/{job.name}"
    return reasons.COMPRESSION_FAILED, message, job.attempt < MAX_UNEXPLAINED_ATTEMPTS, ()


def _delete_all_jobs(observation: Observation) -> tuple[DeleteJob, ...]:
    """Jobs of other specs; the one that made the target stays for its log."""
    prefix = f"{observation.name}-{observation.spec.attempt_hash()}-"
    return tuple(DeleteJob(j.name) for j in observation.jobs if not j.name.startswith(prefix) and not j.deleting)


def revision_spec(observation: Observation, source_digest: str, variants: list[dict[str, Any]]) -> dict[str, Any]:
    """The immutable spec of the target: what was asked for, what came out, what serves it.

    ``variants`` carry name, image and artifact; steps, selectors and resources come from the EdgeModel.
    """
    spec = observation.spec
    made = {variant["name"]: variant for variant in variants}
    datasets = {
        key: _source_json(source)
        for key, source in (("calibration", spec.calibration), ("evaluation", spec.evaluation))
        if source is not None
    }
    serving: dict[str, Any] = {"port": spec.serving.port, "strategy": spec.serving.strategy}
    if spec.serving.host_port is not None:
        serving["hostPort"] = spec.serving.host_port
    return {
        "model": observation.name,
        "fingerprint": spec.fingerprint(),
        "retryToken": spec.rollout.retry_token,
        "source": {"uri": spec.source.uri, "digest": source_digest, "format": spec.source.format},
        "datasets": datasets,
        "variants": [
            {
                "name": variant.name,
                "steps": list(variant.steps),
                "nodeSelector": variant.node_selector,
                "resources": variant.resources,
                "image": made[variant.name]["image"],
                "artifact": made[variant.name]["artifact"],
            }
            for variant in spec.variants
        ],
        "serverImage": observation.settings.server_image,
        "serving": serving,
    }


def _artifact_json(report: ArtifactReport) -> dict[str, Any]:
    value = report.to_json()
    image = value.pop("image")
    checks = value.pop("checks")
    artifact = {key: item for key, item in value.items() if item is not None and key != "variant"}
    return {"name": report.variant, "image": image, "artifact": {**artifact, "checks": checks}}


def _source_json(source: Source) -> dict[str, Any]:
    return {"uri": source.uri, **({"digest": source.digest} if source.digest else {})}


def _published(revision: Revision) -> str:
    artifacts = [variant["artifact"] for variant in revision.spec["variants"]]
    sizes = ", ".join(f"{a['sourceSizeBytes']} -> {a['sizeBytes']} bytes" for a in artifacts)
    return f"{revision.name}: {sizes}"
