"""Pods that cannot be created: the objects whose Events are worth reading, and the messages for users.

A quota, a LimitRange, Pod Security, a missing ServiceAccount or an admission webhook refuse a pod before it exists, so
that no pod has a status. The controller reports it in an Event of the Job or the DaemonSet, and nowhere else.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from edge_operator.decide.observation import CompressionJob, Observation, Pod, PreflightJob, PullFailure, Refusal
from edge_operator.decide.placement.set_aside import why_set_aside
from edgemodel import reasons
from edgemodel.names import daemonset_name

PODLESS_FOR: Final = timedelta(seconds=10)
"""The time after which the Events of an object without a pod are read, since its controller needs a moment."""
MAX_QUESTIONS: Final = 10
"""The largest number of objects of one EdgeModel whose Events are read at a time."""
COMPRESSION_RESOURCES: Final = "spec.compression.resources"
SERVING_RESOURCES: Final = "spec.serving.resources"

_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_ADVICE: Final = (
    (re.compile("must specify"), "set them in {field}"),
    (re.compile("quota"), "raise the quota, free some of it, or lower {field}"),
    (re.compile("usage per|limit to request ratio"), "change {field}, or the LimitRange of the namespace"),
    (re.compile("PodSecurity"), "admit the pod by the labels of the namespace, or drop what it refuses from the spec"),
    (re.compile("service ?account"), "create the ServiceAccount"),
    (re.compile("webhook"), "see whoever runs the webhook"),
)


@dataclass(frozen=True)
class Question:
    """An object whose Events are to be read."""

    kind: str
    name: str
    uid: str


def plan_questions(observation: Observation, now: datetime) -> tuple[Question, ...]:
    """Returns the objects whose Events to read, at most MAX_QUESTIONS: those without a pod, and pods without their
    image or their Secret."""
    found = [*_jobs(observation, now), *_daemonsets(observation, now), *_pods(observation, now)]
    return tuple(found[:MAX_QUESTIONS])


def explain(refusal: Refusal, field: str) -> str:
    """Returns the refusal with advice to a person. ``field`` is the spec's field with the resources of the pod."""
    hint = next((text for pattern, text in _ADVICE if pattern.search(refusal.message)), "")
    advice = f"; {hint.format(field=field)}" if hint and refusal.is_final else ""
    return f"{refusal.message}{advice}; Kubernetes tries again by itself"


def explain_pull(observation: Observation, pull: PullFailure) -> str:
    """Returns the message about a pull, after that of an Event about its Secrets."""
    refusal = observation.refusals.get(("Pod", pull.pod))
    return f"{refusal.message}; {pull.message}" if refusal is not None else pull.message


def _jobs(observation: Observation, now: datetime) -> Iterator[Question]:
    jobs: tuple[CompressionJob | PreflightJob, ...] = (*observation.jobs, *observation.preflights)
    for job in jobs:
        is_podless = job.ended is None and not job.has_pod and not job.deleting
        if is_podless and job.uid and job.created is not None and now - job.created >= PODLESS_FOR:
            yield Question("Job", job.name, job.uid)


def _daemonsets(observation: Observation, now: datetime) -> Iterator[Question]:
    of_pin = {pin: item for item in observation.applied if item.uid for pin in item.pins}
    made = {(pod.node, daemonset_name(pod.revision, pod.variant)) for pod in observation.pods if not pod.terminating}
    lost = {
        (node, daemonset_name(revision, variant)): time
        for (node, revision, variant), time in observation.pods_lost.items()
    }
    asked = set()
    for node in observation.nodes:
        pins = node.pins & of_pin.keys()
        if not pins or not node.online or why_set_aside(node, observation.spec.tolerations):
            continue
        for pin in pins:
            place = (node.name, of_pin[pin].name)
            since = max(observation.pins_seen.get((node.name, pin), now), lost.get(place, _LONG_AGO))
            if place not in made and now - since >= PODLESS_FOR:
                asked.add(of_pin[pin])
    for item in sorted(asked, key=lambda item: item.name):
        yield Question(item.kind, item.name, item.uid)


def _pods(observation: Observation, now: datetime) -> Iterator[Question]:
    jobs: tuple[CompressionJob | PreflightJob, ...] = (*observation.jobs, *observation.preflights)
    for job in jobs:
        if job.pull is not None and job.pull.uid and not job.deleting:
            yield Question("Pod", job.pull.pod, job.pull.uid)
    for pod in observation.pods:
        is_unpulled = pod.trouble is not None and pod.trouble[0] == reasons.IMAGE_PULL_FAILED
        if pod.uid and (is_unpulled or _may_lack_a_secret(observation, pod, now)):
            yield Question("Pod", pod.name, pod.uid)


def _may_lack_a_secret(observation: Observation, pod: Pod, now: datetime) -> bool:
    revision = observation.revision(pod.revision)
    if not pod.creating or pod.terminating or revision is None or now - pod.created < PODLESS_FOR:
        return False
    return revision.spec.serving.api_key_secret_ref is not None
