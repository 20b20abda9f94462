"""Whether a node that was switched to a revision serves it, is on its way, or has failed, and why."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from edge_operator.decide.observation import Node, Pod
from edgemodel import reasons
from edgemodel.names import daemonset_name

AT_ONCE = frozenset({reasons.GOLDEN_MISMATCH, reasons.MODEL_LOAD_FAILED, reasons.DIGEST_MISMATCH})
"""Reasons that the server itself gave: waiting changes nothing."""
CRASHES = 3
"""A pod that ended this often for reasons of its own has failed. The first pull of an image may fail and heal."""


@dataclass(frozen=True)
class NodeFailure:
    node: str
    reason: str
    message: str


def serving_pod(pods: tuple[Pod, ...], node: str, revision: str, variant: str) -> Pod | None:
    """The ready pod of (revision, variant) on ``node``."""
    return next((pod for pod in _pods_of(pods, node, revision, variant) if pod.ready), None)


def failure(
    node: Node, pods: tuple[Pod, ...], revision: str, variant: str, since: datetime, deadline: timedelta, now: datetime
) -> NodeFailure | None:
    """Why ``node``, pinned to ``revision`` at or after ``since``, has failed; None while it serves or still may."""
    if not node.online:
        return NodeFailure(node.name, reasons.NODE_LOST, f"node {node.name} went offline after its switch")
    mine = _pods_of(pods, node.name, revision, variant)
    if any(pod.ready for pod in mine):
        return None
    pod = max(mine, key=lambda pod: pod.created, default=None)
    if pod is not None and pod.trouble is not None:
        reason, message = pod.trouble
        if reason in AT_ONCE or (reason == reasons.CRASH_LOOP and pod.restarts >= CRASHES):
            return NodeFailure(node.name, reason, f"node {node.name}: {message}")
    started = pod.created if pod is not None else since
    if now < started + deadline:
        return None
    waited = f"not ready after {deadline.total_seconds():.0f} s"
    if pod is not None and pod.trouble is not None:
        return NodeFailure(node.name, pod.trouble[0], f"node {node.name}: {waited}: {pod.trouble[1]}")
    if pod is None:
        name = daemonset_name(revision, variant)
        waited += f", no pod was made: kubectl describe daemonset {name} says why"
    return NodeFailure(node.name, reasons.NODE_DEADLINE_EXCEEDED, f"node {node.name}: {waited}")


def deadline_of(
    pods: tuple[Pod, ...], node: str, revision: str, variant: str, since: datetime, deadline: timedelta
) -> datetime | None:
    """When ``node`` will have failed unless it serves by then; None while it does."""
    mine = _pods_of(pods, node, revision, variant)
    if any(pod.ready for pod in mine):
        return None
    return max((pod.created for pod in mine), default=since) + deadline


def _pods_of(pods: tuple[Pod, ...], node: str, revision: str, variant: str) -> list[Pod]:
    return [
        pod
        for pod in pods
        if pod.node == node and pod.revision == revision and pod.variant == variant and not pod.terminating
    ]
