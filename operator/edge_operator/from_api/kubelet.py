"""The kubelet's words and the documented reasons that they mean: no word of the kubelet becomes a reason by itself.

The message keeps the kubelet's word, so that a search for it finds Kubernetes' documentation.
"""

from typing import Final

from edgemodel import reasons

CONTAINER_REASONS: Final = {
    "ErrImagePull": reasons.IMAGE_PULL_FAILED,
    "ImagePullBackOff": reasons.IMAGE_PULL_FAILED,
    "InvalidImageName": reasons.IMAGE_PULL_FAILED,
    "ErrImageNeverPull": reasons.IMAGE_PULL_FAILED,
    "ImageInspectError": reasons.IMAGE_PULL_FAILED,
    "RegistryUnavailable": reasons.IMAGE_PULL_FAILED,
    "SignatureValidationFailed": reasons.IMAGE_PULL_FAILED,
    "CreateContainerConfigError": reasons.CONTAINER_NOT_STARTED,
    "CreateContainerError": reasons.CONTAINER_NOT_STARTED,
    "RunContainerError": reasons.CONTAINER_NOT_STARTED,
    "StartError": reasons.CONTAINER_NOT_STARTED,
    "PreCreateHookError": reasons.CONTAINER_NOT_STARTED,
    "PreStartHookError": reasons.CONTAINER_NOT_STARTED,
    "PostStartHookError": reasons.CONTAINER_NOT_STARTED,
}
"""The reason that a user sees for a container's ``state.waiting.reason``."""

POD_REASONS: Final = {
    "Evicted": reasons.POD_EVICTED,
    "Preempting": reasons.POD_EVICTED,
    "Preempted": reasons.POD_EVICTED,
    "NodeShutdown": reasons.POD_EVICTED,
    "Terminated": reasons.POD_EVICTED,
    "NodeLost": reasons.NODE_LOST,
    "NodeAffinity": reasons.POD_NOT_ADMITTED,
    "NodeName": reasons.POD_NOT_ADMITTED,
    "NodePorts": reasons.POD_NOT_ADMITTED,
    "OutOfcpu": reasons.POD_NOT_ADMITTED,
    "OutOfmemory": reasons.POD_NOT_ADMITTED,
    "OutOfephemeral-storage": reasons.POD_NOT_ADMITTED,
    "OutOfpods": reasons.POD_NOT_ADMITTED,
    "UnexpectedAdmissionError": reasons.POD_NOT_ADMITTED,
    "DeadlineExceeded": reasons.DEADLINE_EXCEEDED,
}
"""The reason that a user sees for a failed pod's ``status.reason``."""


def container_reason(word: str | None) -> str | None:
    """Returns the reason for a waiting container; None if it waits for nothing out of the ordinary."""
    return CONTAINER_REASONS.get(word) if word is not None else None


def pod_reason(word: str | None) -> str:
    """Returns the reason for a failed pod, also for an empty or unknown word of the kubelet."""
    return POD_REASONS.get(word or "", reasons.POD_FAILED)
