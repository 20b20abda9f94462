"""Pods of inference servers and of pullers, and what keeps them from being ready."""

from edge_operator.decide.observation import Pod
from edge_operator.from_api.image_pull import failed_pull
from edge_operator.from_api.kubelet import container_reason, pod_reason
from edge_operator.from_api.raw import Raw, find_condition, parse_time
from edgemodel import reasons
from edgemodel.names import LABEL_REVISION, LABEL_VARIANT, daemonset_name
from edgemodel.serving import parse_ending


def read_server_pod(raw: Raw) -> Pod:
    """Returns the pod of a server or a puller."""
    meta, status = raw["metadata"], raw.get("status") or {}
    container: Raw = next(iter(status.get("containerStatuses") or ()), {})
    ready = find_condition(raw, "Ready")
    is_ready = ready is not None and ready["status"] == "True"
    since = parse_time(ready["lastTransitionTime"]) if ready is not None and ready.get("lastTransitionTime") else None
    return Pod(
        name=meta["name"],
        node=(raw.get("spec") or {}).get("nodeName") or _wanted_node(raw),
        revision=meta["labels"].get(LABEL_REVISION, ""),
        variant=meta["labels"].get(LABEL_VARIANT, ""),
        ready=is_ready,
        ready_since=since if is_ready else None,
        created=parse_time(meta["creationTimestamp"]),
        terminating="deletionTimestamp" in meta,
        restarts=container.get("restartCount", 0),
        trouble=None if is_ready else _trouble(raw, container),
        ip=status.get("podIP", ""),
        unready_since=None if is_ready else since,
        uid=meta.get("uid", ""),
        creating=((container.get("state") or {}).get("waiting") or {}).get("reason") == "ContainerCreating",
    )


def is_made_by_daemonset(raw: Raw) -> bool:
    """Returns whether the DaemonSet of the pod's revision and variant created it.

    A pod that only carries the operator's labels proves nothing: anybody may have created it.
    """
    meta = raw["metadata"]
    labels = meta.get("labels") or {}
    expected = daemonset_name(labels.get(LABEL_REVISION, ""), labels.get(LABEL_VARIANT, ""))
    return any(
        owner.get("controller") and (owner["kind"], owner["name"]) == ("DaemonSet", expected)
        for owner in meta.get("ownerReferences") or ()
    )


def _trouble(raw: Raw, container: Raw) -> tuple[str, str] | None:
    """Returns the (reason, message) of what keeps the pod from being ready; None if nothing is known."""
    state = container.get("state") or {}
    waiting = state.get("waiting") or {}
    waits_because = container_reason(waiting.get("reason"))
    if (pull := failed_pull(raw, container)) is not None:
        return reasons.IMAGE_PULL_FAILED, pull.message
    ended = state.get("terminated") or (container.get("lastState") or {}).get("terminated")
    if ended:
        told = parse_ending(ended.get("message", ""))
        if told is not None:
            reason, message = told
            return told if reason in reasons.REASONS else (reasons.CRASH_LOOP, f"{reason}: {message}")
        why = f"{ended.get('reason', 'Error')}, exit code {ended.get('exitCode')}"
        if ended.get("reason") == "OOMKilled":
            why += "; raise spec.serving.resources.limits.memory"
        return reasons.CRASH_LOOP, f"the server ends again and again ({why})"
    scheduled = find_condition(raw, "PodScheduled")
    if scheduled is not None and scheduled["status"] == "False":
        return reasons.UNSCHEDULABLE, scheduled.get("message", "")
    if waits_because is not None:
        return waits_because, f"{waiting['reason']}: {waiting.get('message', '')}".removesuffix(": ")
    status = raw.get("status") or {}
    if status.get("phase") == "Failed":
        words = (status.get("reason"), status.get("message"))
        return pod_reason(status.get("reason")), ": ".join(word for word in words if word) or "the pod has failed"
    return None


def _wanted_node(raw: Raw) -> str:
    """Returns the node that the DaemonSet controller created the pod for, while no scheduler has bound it."""
    affinity = ((raw.get("spec") or {}).get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or ():
        for field in term.get("matchFields") or ():
            if field.get("key") == "metadata.name":
                return str(field["values"][0])
    return ""
