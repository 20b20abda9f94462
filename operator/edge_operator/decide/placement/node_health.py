"""The health of a node that was sent a revision: whether it serves, is on its way, or has failed, and why."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from edge_operator.decide.observation import Node, Observation, Pod
from edge_operator.decide.placement.set_aside import SetAside
from edge_operator.decide.timers import Timers
from edgemodel import reasons
from edgemodel.names import daemonset_name

AT_ONCE = frozenset({reasons.GOLDEN_MISMATCH, reasons.MODEL_LOAD_FAILED, reasons.DIGEST_MISMATCH})
"""The reasons that the server itself reported: waiting changes nothing."""
CRASHES = 3
"""The number of crashes after which a pod has failed. The first pull of an image may fail and succeed later."""


@dataclass(frozen=True)
class NodeFailure:
    """A node that has failed, in the words of a condition."""

    node: str
    reason: str
    message: str


@dataclass(frozen=True)
class Assignment:
    """A node that was sent a revision, with its pods of that revision."""

    node: Node
    revision: str
    variant: str
    pods: tuple[Pod, ...]
    """The pods of (revision, variant) on the node that are not terminating."""
    podless_since: datetime
    """The time since which the node has no such pod, if it has none."""
    opened_since: datetime | None = None
    """The time at which the node's taints or its cordon last changed, if that was observed."""
    startable_since: datetime | None = None
    """The time since which nothing keeps the newest pod from starting, if something did."""

    def waits_since(self, now: datetime) -> datetime | None:
        """Returns since when the node does not serve the revision; None while it does.

        A node that drops off the network has as long to come back as a pod has to start; so has a node that the API
        server does not know of because it was away itself. A pod that served and stopped has as long as a new one, and
        so has one whose node has just come back, or is no longer set aside, and one whose Secret was missing. The
        node's clock, which may be wrong, says when it came back: times in the future are ignored.
        """
        if not self.node.online:
            return min(self.node.offline_since or now, now)
        if any(pod.ready for pod in self.pods):
            return None
        pod = self.newest
        begun = self.podless_since if pod is None else pod.created
        unready = pod.unready_since if pod is not None else None
        later = (self.node.online_since, self.opened_since, self.startable_since, unready)
        return max([begun, *(time for time in later if time is not None and time <= now)])

    @property
    def newest(self) -> Pod | None:
        """Returns the pod that was created last; None if there is none."""
        return max(self.pods, key=lambda pod: pod.created, default=None)


def pods_of(observation: Observation, node: str, revision: str, variant: str) -> tuple[Pod, ...]:
    """Returns the pods of (revision, variant) on ``node`` that are not terminating."""
    here = observation.pods_on(node, revision)
    return tuple(pod for pod in here if pod.variant == variant and not pod.terminating)


def failures_of(assignments: Iterable[Assignment], deadline: timedelta, timers: Timers) -> tuple[NodeFailure, ...]:
    """Returns the failures among ``assignments``, in their order."""
    found = (failure(assignment, deadline, timers) for assignment in assignments)
    return tuple(item for item in found if item is not None)


def next_failure_at(assignments: Iterable[Assignment], deadline: timedelta, timers: Timers) -> datetime | None:
    """Returns when the first of ``assignments`` will have failed unless it serves by then.

    None if all serve, and while paused. The time is past if one has failed already.
    """
    waiting = (assignment.waits_since(timers.now) for assignment in assignments)
    times = (timers.due(since, deadline) for since in waiting if since is not None)
    return min((time for time in times if time is not None), default=None)


def failure(assignment: Assignment, deadline: timedelta, timers: Timers) -> NodeFailure | None:
    """Returns why the node has failed; None while it serves, or may still do so.

    A node for which no pod is made, or whose pod lacks a Secret, does not fail: that says nothing about the revision
    (``podless``).
    """
    node, pod = assignment.node, assignment.newest
    since = assignment.waits_since(timers.now)
    if since is None:
        return None
    is_over = timers.passed(since, deadline)
    if not node.online:
        gone = f"node {node.name} went offline after its switch, and is not back after {deadline.total_seconds():.0f} s"
        return NodeFailure(node.name, reasons.NODE_LOST, gone) if is_over else None
    if pod is not None and pod.trouble is not None:
        if pod.lacks_secret:
            return None
        reason, message = pod.trouble
        if reason in AT_ONCE or (reason == reasons.CRASH_LOOP and pod.restarts >= CRASHES):
            return NodeFailure(node.name, reason, f"node {node.name}: {message}")
    if not is_over or pod is None:
        return None
    waited = f"not ready after {deadline.total_seconds():.0f} s"
    if pod.trouble is not None:
        return NodeFailure(node.name, pod.trouble[0], f"node {node.name}: {waited}: {pod.trouble[1]}")
    return NodeFailure(node.name, reasons.NODE_READY_TIMEOUT, f"node {node.name}: {waited}")


def podless(assignment: Assignment, deadline: timedelta, timers: Timers) -> SetAside | None:
    """Returns the node, with the reason in words, if no pod was made within ``deadline``; None otherwise."""
    since = assignment.waits_since(timers.now)
    if since is None or not assignment.node.online or assignment.pods or not timers.passed(since, deadline):
        return None
    name = daemonset_name(assignment.revision, assignment.variant)
    why = f"no pod was made in {deadline.total_seconds():.0f} s: kubectl describe daemonset {name} says why"
    return SetAside(assignment.node.name, why)
