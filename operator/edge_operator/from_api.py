"""From raw objects of the API to the plain values that decisions see. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from edge_operator.decide.observation import Applied, CompressionJob, Node, Pod, PreflightJob, Revision
from edgemodel import preflight_report, reasons
from edgemodel.converter import CONVERTER, FETCH
from edgemodel.names import (
    ANNOTATION_APPLIED,
    ANNOTATION_ATTEMPT,
    ANNOTATION_SERVER_IMAGE,
    COMPONENT_PREFLIGHT,
    DEFERRAL_PREFIX,
    LABEL_COMPONENT,
    LABEL_REVISION,
    LABEL_VARIANT,
    PIN_PREFIX,
    daemonset_name,
)
from edgemodel.report import decode
from edgemodel.serving import parse_ending

Raw = dict[str, Any]

MAX_LOG_CHARACTERS = 400
"""Characters of the end of a converter's log in a message, which has room for the longest image name besides."""
_PULL_PROBLEMS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")


def read_node(raw: Raw) -> Node:
    labels = raw["metadata"].get("labels") or {}
    status = raw.get("status") or {}
    ready = _find(raw, "Ready")
    online = ready is not None and ready["status"] == "True"
    said = ready.get("lastTransitionTime") if ready is not None else None
    changed = _time(said) if said else None
    return Node(
        name=raw["metadata"]["name"],
        uid=raw["metadata"]["uid"],
        labels={key: value for key, value in labels.items() if not key.startswith((PIN_PREFIX, DEFERRAL_PREFIX))},
        pins=frozenset(key for key in labels if key.startswith(PIN_PREFIX)),
        deferrals=frozenset(key for key in labels if key.startswith(DEFERRAL_PREFIX)),
        online=online,
        architecture=(status.get("nodeInfo") or {}).get("architecture") or labels.get("kubernetes.io/arch", ""),
        offline_since=None if online else changed,
        online_since=changed if online else None,
    )


def read_pod(raw: Raw) -> Pod:
    """A server pod."""
    meta, status = raw["metadata"], raw.get("status") or {}
    container: Raw = next(iter(status.get("containerStatuses") or ()), {})
    ready = _find(raw, "Ready")
    is_ready = ready is not None and ready["status"] == "True"
    since = _time(ready["lastTransitionTime"]) if ready is not None and ready.get("lastTransitionTime") else None
    return Pod(
        name=meta["name"],
        node=(raw.get("spec") or {}).get("nodeName") or _wanted_node(raw),
        revision=meta["labels"].get(LABEL_REVISION, ""),
        variant=meta["labels"].get(LABEL_VARIANT, ""),
        ready=is_ready,
        ready_since=since if is_ready else None,
        created=_time(meta["creationTimestamp"]),
        terminating="deletionTimestamp" in meta,
        restarts=container.get("restartCount", 0),
        trouble=None if is_ready else _server_trouble(raw, container),
        ip=status.get("podIP", ""),
        unready_since=None if is_ready else since,
    )


def made_by_daemonset(raw: Raw) -> bool:
    """Of its revision and variant. Somebody else's pod with our labels is no server of ours: nothing rests on it."""
    meta = raw["metadata"]
    labels = meta.get("labels") or {}
    expected = daemonset_name(labels.get(LABEL_REVISION, ""), labels.get(LABEL_VARIANT, ""))
    return any(
        owner.get("controller") and (owner["kind"], owner["name"]) == ("DaemonSet", expected)
        for owner in meta.get("ownerReferences") or ()
    )


def read_job(raw: Raw, pod: Raw | None) -> CompressionJob:
    """``pod`` is the Job's newest pod, when it is still there."""
    meta = raw["metadata"]
    annotations = meta.get("annotations") or {}
    end, ended = _end(raw, pod)
    last = _last_container(pod)
    terminated = _terminated_state(last)
    of_user = pod is not None and last.get("name") == CONVERTER  # what it says is no report of ours
    trouble = _converter_trouble(pod, last) if pod and of_user else _job_trouble(pod, terminated, _COMPRESSION)
    return CompressionJob(
        name=meta["name"],
        attempt=int(annotations.get(ANNOTATION_ATTEMPT, "1")),
        ended=ended,
        succeeded=end is not None and end["type"] == "Complete",
        report=decode(terminated.get("message", "")) if terminated and not of_user else None,
        trouble=trouble if ended is not None else None,
        deleting="deletionTimestamp" in meta,
        waits_for=_waits_for(pod) if pod is not None and end is None else "",
        server_image=annotations.get(ANNOTATION_SERVER_IMAGE, ""),
        doing=_doing(pod, last) if pod is not None and end is None else "",
    )


def is_preflight(job: Raw) -> bool:
    """Tells a preflight Job from a compression Job."""
    return bool((job["metadata"].get("labels") or {}).get(LABEL_COMPONENT) == COMPONENT_PREFLIGHT)


def read_preflight_job(raw: Raw, pod: Raw | None) -> PreflightJob:
    """As ``read_job``."""
    meta = raw["metadata"]
    end, ended = _end(raw, pod)
    terminated = _terminated_state(_last_container(pod)) or {}
    trouble = _job_trouble(pod, terminated, _PREFLIGHT) if ended is not None else None
    if trouble is not None and trouble[0] == reasons.DEADLINE_EXCEEDED and _never_began(terminated):
        message = "the image did not come within spec.preflight.deadlineSeconds, or its container could not be made"
        trouble = reasons.IMAGE_PULL_FAILED, f"{message}: kubectl describe job {meta['name']} leads to its pod's events"
    return PreflightJob(
        name=meta["name"],
        attempt=int((meta.get("annotations") or {}).get(ANNOTATION_ATTEMPT, "1")),
        created=_time(meta["creationTimestamp"]),
        ended=ended,
        report=preflight_report.decode(terminated.get("message", "")),
        trouble=trouble,
        crashed=_crash(pod, terminated),
        deleting="deletionTimestamp" in meta,
        waits_for=_waits_for(pod) if pod is not None and end is None else "",
    )


def _end(raw: Raw, pod: Raw | None) -> tuple[Raw | None, datetime | None]:
    """(condition, time) of a Job's end.

    On a node that is gone a pod stays terminating, and its Job running, for as long as the node is away: that is an
    end, without a condition.
    """
    conditions = (_find(raw, "Complete"), _find(raw, "Failed"))
    end = next((item for item in conditions if item is not None and item["status"] == "True"), None)
    leaving = ((pod or {}).get("metadata") or {}).get("deletionTimestamp")
    ended_at = end["lastTransitionTime"] if end is not None else leaving
    return end, _time(ended_at) if ended_at is not None else None


def read_revision(raw: Raw) -> Revision:
    meta = raw["metadata"]
    return Revision(
        name=meta["name"],
        uid=meta["uid"],
        fingerprint=raw["spec"]["fingerprint"],
        created=_time(meta["creationTimestamp"]),
        spec=raw["spec"],
        verdict=(raw.get("status") or {}).get("verdict", ""),
        preflight=(raw.get("status") or {}).get("preflight"),
    )


def read_applied(raw: Raw) -> Applied:
    annotations = raw["metadata"].get("annotations") or {}
    return Applied(raw["kind"], raw["metadata"]["name"], annotations.get(ANNOTATION_APPLIED, ""))


def _server_trouble(raw: Raw, container: Raw) -> tuple[str, str] | None:
    waiting = (container.get("state") or {}).get("waiting") or {}
    if waiting.get("reason") in _PULL_PROBLEMS:
        return reasons.IMAGE_PULL_FAILED, waiting.get("message") or "the image cannot be pulled"
    ended = (container.get("state") or {}).get("terminated") or (container.get("lastState") or {}).get("terminated")
    if ended:
        told = parse_ending(ended.get("message", ""))
        if told is not None:
            return told
        why = f"{ended.get('reason', 'Error')}, exit code {ended.get('exitCode')}"
        if ended.get("reason") == "OOMKilled":
            why += "; raise spec.serving.resources.limits.memory"
        return reasons.CRASH_LOOP, f"the server ends again and again ({why})"
    scheduled = _find(raw, "PodScheduled")
    if scheduled is not None and scheduled["status"] == "False":
        return reasons.UNSCHEDULABLE, scheduled.get("message", "")
    if waiting.get("reason") in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
        return waiting["reason"], waiting.get("message", "")
    status = raw.get("status") or {}
    if status.get("phase") == "Failed":
        return status.get("reason") or reasons.CRASH_LOOP, status.get("message", "")
    return None


def _waits_for(pod: Raw) -> str:
    scheduled = _find(pod, "PodScheduled")
    if scheduled is not None and scheduled["status"] == "False":
        return str(scheduled.get("message", scheduled.get("reason", "")))
    waiting = (_last_container(pod).get("state") or {}).get("waiting") or {}
    if waiting.get("reason") in (None, "ContainerCreating", "PodInitializing"):
        return ""
    return f"{waiting['reason']}: {waiting.get('message', '')}".removesuffix(": ")


@dataclass(frozen=True)
class _Work:
    """What a Job does, and what gives it time and memory."""

    what: str
    deadline: str
    resources: str


_COMPRESSION = _Work("compression", "spec.compression.deadlineSeconds", "spec.compression.resources")
_PREFLIGHT = _Work("the preflight", "spec.preflight.deadlineSeconds", "spec.serving.resources")


def _job_trouble(pod: Raw | None, terminated: Raw | None, work: _Work) -> tuple[str, str] | None:
    if pod is not None and (pod.get("status") or {}).get("reason") == "DeadlineExceeded":
        deadline = f"{work.deadline} ({pod['spec'].get('activeDeadlineSeconds')} s)"
        return reasons.DEADLINE_EXCEEDED, f"{work.what} took longer than {deadline}"
    if pod is not None and terminated and terminated.get("reason") == "OOMKilled":
        limit = _memory_limit(pod["spec"]["containers"][0])
        message = f"{work.what} was killed at {limit} of memory; raise {work.resources}.limits.memory"
        return reasons.OUT_OF_MEMORY, message
    return None


def _doing(pod: Raw, container: Raw) -> str:
    """What the user should know of the container that runs, where steps do not tell it."""
    if "running" not in (container.get("state") or {}):
        return ""
    if container.get("name") == CONVERTER:
        return f"running the converter {_converter_container(pod)['image']}"
    return "fetching what the converter is to read" if container.get("name") == FETCH else ""


def _converter_trouble(pod: Raw, container: Raw) -> tuple[str, str] | None:
    """Of a Job that came no further than its user's converter. A pod that is deleted says nothing of it."""
    status, state = pod["status"], container.get("state") or {}
    terminated: Raw = state.get("terminated") or {}
    converter = f"the converter {_converter_container(pod)['image']}"
    if status.get("reason") == "DeadlineExceeded":
        deadline = f"{_COMPRESSION.deadline} ({pod['spec'].get('activeDeadlineSeconds')} s)"
        if "waiting" in state or _never_began(terminated):
            why = (state.get("waiting") or {}).get("message", "")
            message = f"{converter} did not come within {deadline}, or could not be started: {why}"
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
    """At a pod's deadline the kubelet says of a container that it never made that it is terminated, too."""
    return bool(terminated) and not terminated.get("startedAt")


def _crash(pod: Raw | None, terminated: Raw) -> str:
    """Ended by itself: a pod that is deleted, or evicted, says nothing of what ran in it."""
    if pod is None or "deletionTimestamp" in pod["metadata"] or (pod.get("status") or {}).get("reason"):
        return ""
    code = terminated.get("exitCode")
    return f"exit code {code}" if code is not None else ""


def _last_container(pod: Raw | None) -> Raw:
    """The status of the container that a Job's pod has come to: they run one after the other. Empty: of none yet.

    Others than ours, that something in the cluster may have put beside them, are passed over.
    """
    status = (pod or {}).get("status") or {}
    for container in status.get("initContainerStatuses") or ():
        ended = _terminated_state(container)
        if container["name"] in (FETCH, CONVERTER) and (ended is None or ended.get("exitCode") != 0):
            return dict(container)
    return dict(next(iter(status.get("containerStatuses") or ()), {}))


def _terminated_state(container: Raw) -> Raw | None:
    terminated: Raw | None = (container.get("state") or {}).get("terminated")
    return terminated


def _wanted_node(raw: Raw) -> str:
    """The node that the DaemonSet controller made the pod for, while no scheduler has bound it."""
    affinity = ((raw.get("spec") or {}).get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or ():
        for field in term.get("matchFields") or ():
            if field.get("key") == "metadata.name":
                return str(field["values"][0])
    return ""


def _find(raw: Raw, kind: str) -> Raw | None:
    conditions = (raw.get("status") or {}).get("conditions") or ()
    found: Raw | None = next((item for item in conditions if item["type"] == kind), None)
    return found


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
