"""The Job of one hardware class: whether it is started, waited for or tried again, and its result."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from edge_operator.decide.actions import Action, StartPreflight
from edge_operator.decide.observation import Node, Observation, PreflightJob, Revision
from edge_operator.decide.placement.set_aside import why_set_aside
from edge_operator.decide.preflight.outcome import failed, judged, measured, unverified
from edge_operator.decide.refused_pods import SERVING_RESOURCES, explain, explain_pull
from edgemodel import reasons
from edgemodel.names import preflight_job_prefix
from edgemodel.preflight_report import Incompatible, Measurement
from edgemodel.spec import PreflightSpec
from edgemodel.status import ClassPreflight

MAX_ATTEMPTS = 3
"""The number of attempts of a Job that ends without a report, as after a restart of the node or a crash."""
RETRY_FIRST = timedelta(seconds=10)
TO_BEGIN = timedelta(seconds=60)
"""The time that a Job may take beyond its deadline, which the kubelet counts from the moment it accepts the pod."""


@dataclass(frozen=True)
class ClassProgress:
    """A class after this pass."""

    result: ClassPreflight
    actions: tuple[Action, ...] = ()
    job: str = ""
    """The name of the Job that continues; empty if none does."""
    wake_at: datetime | None = None
    waits_for: str = ""
    is_refused: bool = False
    """Kubernetes makes no pod for the Job until a person acts."""


@dataclass(frozen=True)
class ClassJob:
    """A class without a verdict, and the node that represents it."""

    observation: Observation
    spec: PreflightSpec
    revision: Revision
    known: ClassPreflight
    """The class as the previous pass left it."""
    node_name: str
    now: datetime

    @property
    def prefix(self) -> str:
        """The names of the Jobs of the class without their attempt."""
        return preflight_job_prefix(self.revision.name, self.known.name, self.node_name)

    @property
    def node(self) -> Node | None:
        """Returns the node that represents the class; None if it is gone."""
        return next((node for node in self.observation.nodes if node.name == self.node_name), None)

    @property
    def is_online(self) -> bool:
        """Returns whether the node exists and is online."""
        return self.node is not None and self.node.online

    def progress(self) -> ClassProgress:
        """Returns the progress of the class since the previous pass."""
        named = [job for job in self.observation.preflights if job.name.startswith(self.prefix) and not job.deleting]
        job = max(named, key=lambda job: job.attempt, default=None)
        if job is None:
            return self._start(1)
        if job.ended is None:
            return self._while_it_runs(job)
        if isinstance(job.report, Measurement):
            return ClassProgress(judged(measured(self.known, job.report, job.ended), self.spec))
        if isinstance(job.report, Incompatible):
            return ClassProgress(failed(self.known, job.report.reason, job.report.message))
        if job.trouble is not None:
            return ClassProgress(failed(self.known, *job.trouble))
        at = job.ended + RETRY_FIRST * 2 ** min(job.attempt - 1, MAX_ATTEMPTS)
        if self.now < at:
            # Its pod's message may arrive later than the end of the Job.
            return ClassProgress(self.known, wake_at=at)
        return self._start(job.attempt + 1) if job.attempt < MAX_ATTEMPTS else ClassProgress(self._given_up(job))

    def _start(self, attempt: int) -> ClassProgress:
        if not self.is_online:
            return ClassProgress(unverified(self.known, f"node {self.node_name} went offline before it was measured"))
        if self.node is not None and (why := why_set_aside(self.node, self.observation.spec.tolerations)):
            text = f"node {self.node_name} was set aside before it was measured: {why}"
            return ClassProgress(unverified(self.known, text))
        if self.observation.spec.rollout.paused:
            return ClassProgress(self.known)
        name = f"{self.prefix}{attempt}"
        start = StartPreflight(name, attempt, self.revision, self.known.variant, self.node_name, self.spec.deadline)
        return ClassProgress(self.known, (start,), name)

    def _while_it_runs(self, job: PreflightJob) -> ClassProgress:
        overdue = job.created + self.spec.deadline + TO_BEGIN
        refusal = self.observation.refusals.get(("Job", job.name)) if not job.has_pod else None
        waits_for = f"it is not made: {explain(refusal, SERVING_RESOURCES)}" if refusal is not None else job.waits_for
        pull = job.pull
        if pull is not None:
            waits_for = explain_pull(self.observation, pull)
        if self.now < overdue:
            is_refused = refusal is not None and refusal.is_final
            return ClassProgress(self.known, job=job.name, wake_at=overdue, waits_for=waits_for, is_refused=is_refused)
        why = waits_for or ("its pod does not end" if self.is_online else "it is offline")
        limit = f"{self.spec.deadline.total_seconds():.0f} s (preflight.deadlineSeconds)"
        return ClassProgress(unverified(self.known, f"node {self.node_name} did not answer within {limit}: {why}"))

    def _given_up(self, job: PreflightJob) -> ClassPreflight:
        if job.crashed:
            tells = f"read its log: kubectl logs job/{job.name}"
            text = f"the preflight ended {job.attempt} times without a report ({job.crashed}); {tells}"
            return failed(self.known, reasons.PREFLIGHT_FAILED, text)
        return unverified(self.known, f"node {self.node_name} ended the Job {job.attempt} times without a report")
