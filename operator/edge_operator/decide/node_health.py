"""Whether a node that was switched to a revision serves it, is on its way, or has failed, and why."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from edge_operator.decide.observation import Node, Pod
from edge_operator.decide.timers import Timers
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
    node: Node,
    pods: tuple[Pod, ...],
    revision: str,
    variant: str,
    since: datetime,
    deadline: timedelta,
    timers: Timers,
) -> NodeFailure | None:
    """Why ``node``, which has had no pod of ``revision`` since ``since`` where it has none, has failed.

    None while it serves or still may.
    """
    if not node.online:
        if not timers.passed(_offline_since(node, timers.now), deadline):
            return None
        gone = f"node {node.name} went offline after its switch, and is not back after {deadline.total_seconds():.0f} s"
        return NodeFailure(node.name, reasons.NODE_LOST, gone)
    mine = _pods_of(pods, node.name, revision, variant)
    if any(pod.ready for pod in mine):
        return None
    pod = max(mine, key=lambda pod: pod.created, default=None)
    if pod is not None and pod.trouble is not None:
        reason, message = pod.trouble
        if reason in AT_ONCE or (reason == reasons.CRASH_LOOP and pod.restarts >= CRASHES):
            return NodeFailure(node.name, reason, f"node {node.name}: {message}")
    if not timers.passed(_waits_since(node, pod, since, timers.now), deadline):
        return None
    waited = f"not ready after {deadline.total_seconds():.0f} s"
    if pod is not None and pod.trouble is not None:
        return NodeFailure(node.name, pod.trouble[0], f"node {node.name}: {waited}: {pod.trouble[1]}")
    if pod is None:
        name = daemonset_name(revision, variant)
        waited += f", no pod was made: kubectl describe daemonset {name} says why"
    return NodeFailure(node.name, reasons.NODE_READY_TIMEOUT, f"node {node.name}: {waited}")


def deadline_of(
    node: Node,
    pods: tuple[Pod, ...],
    revision: str,
    variant: str,
    since: datetime,
    deadline: timedelta,
    timers: Timers,
) -> datetime | None:
    """When ``node`` will have failed unless it serves by then; None while it does, and in a pause."""
    if not node.online:
        return timers.due(_offline_since(node, timers.now), deadline)
    mine = _pods_of(pods, node.name, revision, variant)
    if any(pod.ready for pod in mine):
        return None
    newest = max(mine, key=lambda pod: pod.created, default=None)
    return timers.due(_waits_since(node, newest, since, timers.now), deadline)


def _offline_since(node: Node, now: datetime) -> datetime:
    """A node that drops off the network has as long to come back as a pod has to start; so has one of which an API
    server that was away itself has not heard."""
    return min(node.offline_since or now, now)


def _waits_since(node: Node, pod: Pod | None, since: datetime, now: datetime) -> datetime:
    """A pod that served and stopped has as long as a new one, and so has one whose node has just come back.

    The node's clock, which may be wrong, says when that was: what is yet to come is not believed.
    """
    begun = since if pod is None else pod.created
    later = (node.online_since, pod.unready_since if pod is not None else None)
    return max([begun, *(time for time in later if time is not None and time <= now)])


def _pods_of(pods: tuple[Pod, ...], node: str, revision: str, variant: str) -> list[Pod]:
    return [
        pod
        for pod in pods
        if pod.node == node and pod.revision == revision and pod.variant == variant and not pod.terminating
    ]
