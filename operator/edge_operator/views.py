"""From raw objects of the API to the plain values that decisions see. Pure."""

from datetime import datetime
from typing import Any

from edge_operator.decide.observation import Applied, Job, Node, Pod, Revision
from edgemodel import reasons
from edgemodel.names import (
    ANNOTATION_APPLIED,
    ANNOTATION_ATTEMPT,
    ANNOTATION_SERVER_IMAGE,
    DEFERRAL_PREFIX,
    LABEL_REVISION,
    LABEL_VARIANT,
    PIN_PREFIX,
    daemonset_name,
)
from edgemodel.report import decode
from edgemodel.serving import parse_ending

Raw = dict[str, Any]

_PULL_PROBLEMS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")


def node_view(raw: Raw) -> Node:
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


def pod_view(raw: Raw) -> Pod:
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


def job_view(raw: Raw, pod: Raw | None) -> Job:
    """``pod`` is the Job's newest pod, when it is still there."""
    meta, status = raw["metadata"], raw.get("status") or {}
    annotations = meta.get("annotations") or {}
    complete, failed = _find(raw, "Complete"), _find(raw, "Failed")
    end = next((item for item in (complete, failed) if item is not None and item["status"] == "True"), None)
    terminated = _terminated(pod)
    # On a node that is gone a pod stays terminating, and its Job running, for as long as the node is away.
    leaving = ((pod or {}).get("metadata") or {}).get("deletionTimestamp")
    ended_at = end["lastTransitionTime"] if end is not None else leaving
    return Job(
        name=meta["name"],
        attempt=int(annotations.get(ANNOTATION_ATTEMPT, "1")),
        ended=_time(ended_at) if ended_at is not None else None,
        succeeded=end is not None and end is complete,
        report=decode(terminated.get("message", "")) if terminated else None,
        trouble=_job_trouble(pod, terminated, status) if ended_at is not None else None,
        deleting="deletionTimestamp" in meta,
        waits_for=_waits_for(pod) if pod is not None and end is None else "",
        server_image=annotations.get(ANNOTATION_SERVER_IMAGE, ""),
    )


def revision_view(raw: Raw) -> Revision:
    meta = raw["metadata"]
    return Revision(
        name=meta["name"],
        uid=meta["uid"],
        fingerprint=raw["spec"]["fingerprint"],
        created=_time(meta["creationTimestamp"]),
        spec=raw["spec"],
        verdict=(raw.get("status") or {}).get("verdict", ""),
    )


def applied_view(raw: Raw) -> Applied:
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
    container: Raw = next(iter((pod.get("status") or {}).get("containerStatuses") or ()), {})
    waiting = (container.get("state") or {}).get("waiting") or {}
    if waiting.get("reason") in (None, "ContainerCreating", "PodInitializing"):
        return ""
    return f"{waiting['reason']}: {waiting.get('message', '')}".removesuffix(": ")


def _job_trouble(pod: Raw | None, terminated: Raw | None, status: Raw) -> tuple[str, str] | None:
    if pod is not None and (pod.get("status") or {}).get("reason") == "DeadlineExceeded":
        deadline = pod["spec"].get("activeDeadlineSeconds")
        return (
            reasons.DEADLINE_EXCEEDED,
            f"compression took longer than spec.compression.deadlineSeconds ({deadline} s)",
        )
    if terminated and terminated.get("reason") == "OOMKilled":
        limits = pod["spec"]["containers"][0].get("resources", {}).get("limits", {}) if pod else {}
        limit = limits.get("memory", "the node's memory")
        return (
            reasons.OUT_OF_MEMORY,
            f"compression was killed at {limit} of memory; raise spec.compression.resources.limits.memory",
        )
    return None


def _terminated(pod: Raw | None) -> Raw | None:
    statuses = ((pod or {}).get("status") or {}).get("containerStatuses") or ()
    container: Raw = next(iter(statuses), {})
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
