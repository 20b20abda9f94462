"""Jobs and their pods, which are read separately, once each, and combined for the decisions."""

from dataclasses import dataclass
from datetime import datetime

from edge_operator.decide.observation import CompressionJob, PreflightJob, PullFailure
from edge_operator.from_api.image_pull import failed_pull
from edge_operator.from_api.raw import Raw, find_condition, parse_time
from edgemodel import preflight_report, reasons, report
from edgemodel.converter import CONVERTER, FETCH
from edgemodel.names import (
    ANNOTATION_ATTEMPT,
    ANNOTATION_SERVER_IMAGE,
    ANNOTATION_SOURCE_BYTES,
    COMPONENT_PREFLIGHT,
    LABEL_COMPONENT,
)
from edgemodel.progress import StepBegun

MAX_LOG_CHARACTERS = 400
"""The length of the end of a converter's log in a message, in characters; the longest image name fits beside it."""


@dataclass(frozen=True)
class JobObject:
    """A Job without its pod."""

    name: str
    uid: str
    is_preflight: bool
    """True for a preflight Job; False for a compression Job."""
    attempt: int
    created: datetime
    finished: datetime | None
    """The time at which the Job ended; None while it runs."""
    succeeded: bool
    deleting: bool
    server_image: str
    """The server image that its artifacts are put on; empty if the operator that created it did not record it."""
    source_bytes: int | None
    """The size of the source that its memory and disk are for, if that was known."""


@dataclass(frozen=True)
class JobPod:
    """A pod of a Job."""

    name: str
    job_uid: str
    """The UID of the owning Job; empty if there is none."""
    created: datetime
    leaving: datetime | None
    """The time at which the pod was deleted; None if it was not."""
    message: str
    """The termination message of the reporting container; empty if there is none, or it does not run the project's
    code."""
    trouble: tuple[str, str] | None
    """The (reason, message) of a pod that ended, if a retry would not help."""
    crashed: str
    """The way in which its container ended, if it ended by itself."""
    waits_for: str
    """The obstacle that keeps it from starting, if known."""
    doing: str
    """Its work before the first step; otherwise empty."""
    never_began: bool
    """True if its last container ended without having run."""
    pull: PullFailure | None
    """The image that it waits for, if that cannot be pulled."""


def read_job(raw: Raw) -> JobObject:
    """Returns the compression or preflight Job."""
    meta = raw["metadata"]
    annotations = meta.get("annotations") or {}
    conditions = (find_condition(raw, "Complete"), find_condition(raw, "Failed"))
    end = next((item for item in conditions if item is not None and item["status"] == "True"), None)
    return JobObject(
        name=meta["name"],
        uid=meta["uid"],
        is_preflight=_is_preflight(raw),
        attempt=int(annotations.get(ANNOTATION_ATTEMPT, "1")),
        created=parse_time(meta["creationTimestamp"]),
        finished=parse_time(end["lastTransitionTime"]) if end is not None else None,
        succeeded=end is not None and end["type"] == "Complete",
        deleting="deletionTimestamp" in meta,
        server_image=annotations.get(ANNOTATION_SERVER_IMAGE, ""),
        source_bytes=int(annotations[ANNOTATION_SOURCE_BYTES]) if ANNOTATION_SOURCE_BYTES in annotations else None,
    )


def read_job_pod(raw: Raw) -> JobPod:
    """Returns the pod of a Job, with what its containers' states tell."""
    meta = raw["metadata"]
    last = _last_container(raw)
    terminated = _terminated_state(last) or {}
    runs_converter = last.get("name") == CONVERTER
    work = _PREFLIGHT if _is_preflight(raw) else _COMPRESSION
    owners = meta.get("ownerReferences") or ()
    return JobPod(
        name=meta["name"],
        job_uid=next((owner["uid"] for owner in owners if owner["kind"] == "Job"), ""),
        created=parse_time(meta["creationTimestamp"]),
        leaving=parse_time(meta["deletionTimestamp"]) if meta.get("deletionTimestamp") else None,
        message="" if runs_converter else terminated.get("message") or "",
        trouble=_converter_trouble(raw, last) if runs_converter else _trouble(raw, terminated, work),
        crashed=_crash(raw, terminated),
        waits_for=_waits_for(raw, last),
        doing=_doing(raw, last),
        never_began=_never_began(terminated),
        pull=_pull(raw, last),
    )


def compression_job(job: JobObject, pod: JobPod | None, step: StepBegun | None = None) -> CompressionJob:
    """Returns the Job as decisions see it. ``pod`` is its newest pod, None when it is gone; ``step`` is the last one
    reported."""
    ended = _ended(job, pod)
    runs = pod is not None and job.finished is None
    return CompressionJob(
        name=job.name,
        attempt=job.attempt,
        ended=ended,
        succeeded=job.succeeded,
        report=report.decode(pod.message) if pod is not None and pod.message else None,
        trouble=pod.trouble if pod is not None and ended is not None else None,
        deleting=job.deleting,
        waits_for=pod.waits_for if pod is not None and runs else "",
        server_image=job.server_image,
        source_bytes=job.source_bytes,
        step=step,
        doing=pod.doing if pod is not None and runs else "",
        uid=job.uid,
        created=job.created,
        has_pod=pod is not None,
        pull=pod.pull if pod is not None and runs else None,
    )


def preflight_job(job: JobObject, pod: JobPod | None) -> PreflightJob:
    """Returns the Job as decisions see it. ``pod`` is its newest pod, None when it is gone."""
    ended = _ended(job, pod)
    trouble = pod.trouble if pod is not None and ended is not None else None
    if pod is not None and trouble is not None and trouble[0] == reasons.DEADLINE_EXCEEDED and pod.never_began:
        message = "the image was not pulled within spec.preflight.deadlineSeconds, or its container could not be made"
        trouble = (
            reasons.IMAGE_PULL_FAILED,
            f"{message}: kubectl describe job {job.name} leads to the events of its pod",
        )
    return PreflightJob(
        name=job.name,
        attempt=job.attempt,
        created=job.created,
        ended=ended,
        report=preflight_report.decode(pod.message) if pod is not None else None,
        trouble=trouble,
        crashed=pod.crashed if pod is not None else "",
        deleting=job.deleting,
        waits_for=pod.waits_for if pod is not None and job.finished is None else "",
        uid=job.uid,
        has_pod=pod is not None,
        pull=pod.pull if pod is not None and job.finished is None else None,
    )


def _is_preflight(raw: Raw) -> bool:
    return bool((raw["metadata"].get("labels") or {}).get(LABEL_COMPONENT) == COMPONENT_PREFLIGHT)


def _ended(job: JobObject, pod: JobPod | None) -> datetime | None:
    """Returns when the work ended; None while it goes on.

    On a node that is gone, a pod stays terminating, and its Job running, for as long as the node is away. That counts
    as an end, although the Job has no condition.
    """
    return job.finished or (pod.leaving if pod is not None else None)


def _waits_for(pod: Raw, container: Raw) -> str:
    scheduled = find_condition(pod, "PodScheduled")
    if scheduled is not None and scheduled["status"] == "False":
        return str(scheduled.get("message", scheduled.get("reason", "")))
    waiting = (container.get("state") or {}).get("waiting") or {}
    if waiting.get("reason") in (None, "ContainerCreating", "PodInitializing"):
        return ""
    if (pull := failed_pull(pod, container)) is not None:
        return pull.message
    return f"{waiting['reason']}: {waiting.get('message', '')}".removesuffix(": ")


def _pull(pod: Raw, container: Raw) -> PullFailure | None:
    meta, pull = pod["metadata"], failed_pull(pod, container)
    return PullFailure(meta["name"], meta.get("uid", ""), pull.message, pull.is_final) if pull is not None else None


@dataclass(frozen=True)
class _Work:
    """The work of a Job, and the fields that limit its time and memory."""

    what: str
    deadline: str
    resources: str


_COMPRESSION = _Work("compression", "spec.compression.deadlineSeconds", "spec.compression.resources")
_PREFLIGHT = _Work("the preflight", "spec.preflight.deadlineSeconds", "spec.serving.resources")


def _trouble(pod: Raw, terminated: Raw, work: _Work) -> tuple[str, str] | None:
    if (pod.get("status") or {}).get("reason") == "DeadlineExceeded":
        deadline = f"{work.deadline} ({pod['spec'].get('activeDeadlineSeconds')} s)"
        return reasons.DEADLINE_EXCEEDED, f"{work.what} took longer than {deadline}"
    if terminated.get("reason") == "OOMKilled":
        limit = _memory_limit(pod["spec"]["containers"][0])
        message = f"{work.what} was killed at {limit} of memory; raise {work.resources}.limits.memory"
        return reasons.OUT_OF_MEMORY, message
    return None


def _doing(pod: Raw, container: Raw) -> str:
    """Returns what a user should know of the running container, if steps do not report it."""
    if "running" not in (container.get("state") or {}):
        return ""
    if container.get("name") == CONVERTER:
        return f"running the converter {_converter_container(pod)['image']}"
    return "fetching the input of the converter" if container.get("name") == FETCH else ""


def _converter_trouble(pod: Raw, container: Raw) -> tuple[str, str] | None:
    """Returns why a Job failed at its user's converter; None for a pod that is being deleted, which says nothing of
    it."""
    status, state = pod.get("status") or {}, container.get("state") or {}
    terminated: Raw = state.get("terminated") or {}
    converter = f"the converter {_converter_container(pod)['image']}"
    if status.get("reason") == "DeadlineExceeded":
        deadline = f"{_COMPRESSION.deadline} ({pod['spec'].get('activeDeadlineSeconds')} s)"
        if "waiting" in state or _never_began(terminated):
            why = (state.get("waiting") or {}).get("message", "")
            message = f"{converter} was not pulled within {deadline}, or could not be started: {why}"
            return reasons.IMAGE_PULL_FAILED, message.removesuffix(": ")
        return reasons.DEADLINE_EXCEEDED, f"{converter} still ran after {deadline}"
    if status.get("reason") == "Evicted" and "EmptyDir" in status.get("message", ""):
        return reasons.CONVERTER_FAILED, f"{converter} wrote more than there is room for: {status['message'].strip()}"
    if terminated.get("reason") == "OOMKilled":
        limit = _memory_limit(_converter_container(pod))
        message = f"{converter} was killed at {limit} of memory; raise spec.source.converter.resources.limits.memory"
        return reasons.OUT_OF_MEMORY, message
    if not terminated or status.get("reason") or "deletionTimestamp" in pod["metadata"]:
        return None
    said = " ".join(str(terminated.get("message", "")).split())[-MAX_LOG_CHARACTERS:]
    ending = f"its log ends: {said}" if said else "it has logged nothing"
    return reasons.CONVERTER_FAILED, f"{converter} ended with exit code {terminated.get('exitCode')}; {ending}"


def _converter_container(pod: Raw) -> Raw:
    return next(item for item in pod["spec"]["initContainers"] if item["name"] == CONVERTER)


def _memory_limit(container: Raw) -> str:
    limits = (container.get("resources") or {}).get("limits") or {}
    return str(limits.get("memory", "the node's memory"))


def _never_began(terminated: Raw) -> bool:
    """Returns whether a container never ran: at a pod's deadline the kubelet reports such a one as terminated, too."""
    return bool(terminated) and not terminated.get("startedAt")


def _crash(pod: Raw, terminated: Raw) -> str:
    """Returns how a container ended by itself; empty for a pod that is deleted or evicted, which says nothing of its
    program."""
    if "deletionTimestamp" in pod["metadata"] or (pod.get("status") or {}).get("reason"):
        return ""
    code = terminated.get("exitCode")
    return f"exit code {code}" if code is not None else ""


def _last_container(pod: Raw) -> Raw:
    """Returns the status of the container that a Job's pod has reached, as they run one after the other.

    It is empty if there is none yet. Containers that something in the cluster has injected are ignored.
    """
    status = pod.get("status") or {}
    for container in status.get("initContainerStatuses") or ():
        ended = _terminated_state(container)
        if container["name"] in (FETCH, CONVERTER) and (ended is None or ended.get("exitCode") != 0):
            return dict(container)
    return dict(next(iter(status.get("containerStatuses") or ()), {}))


def _terminated_state(container: Raw) -> Raw | None:
    terminated: Raw | None = (container.get("state") or {}).get("terminated")
    return terminated
