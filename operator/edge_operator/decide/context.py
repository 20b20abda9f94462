"""What one pass has worked out so far: the observation, the fleet, the target and what status remembers."""

from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from edge_operator.decide.analysis import Judgement, OnTrial, Reported, WaveBaseline, judge, report
from edge_operator.decide.artifact.compression import Artifact
from edge_operator.decide.formats import timestamp
from edge_operator.decide.observation import Observation, Revision
from edge_operator.decide.placement.fleet import Fleet
from edge_operator.decide.placement.host_ports import host_port_rivals
from edge_operator.decide.placement.selection import Placement
from edge_operator.decide.preflight.preflight import Preflight
from edge_operator.decide.timers import Timers
from edgemodel import reasons
from edgemodel.verdict import Verdict

FORGOTTEN = "it failed long ago"
"""What is said of a revision whose message is gone, and it with it."""


@dataclass(frozen=True)
class Memory:
    """What status remembers because the world forgets it."""

    stable: str | None
    rejected: dict[str, dict[str, Any]]
    """By revision: name, reason, message, time."""

    @classmethod
    def of(cls, observation: Observation) -> "Memory":
        failed = [revision for revision in observation.revisions if revision.verdict == Verdict.FAIL]
        rejected = {revision.name: _rejection(revision) for revision in failed}
        for item in observation.status.get("rejectedRevisions") or ():
            rejected[item["name"]] = {"message": FORGOTTEN, **rejected.get(item["name"], {}), **item}
        stable = observation.status.get("stableRevision")
        return cls(stable if observation.revision(stable) else None, rejected)


def _rejection(revision: Revision) -> dict[str, Any]:
    """Of one that status has no room for any more: it holds the newest only."""
    message = f"kubectl describe edgemodelrevision {revision.name} says why"
    return {
        "name": revision.name,
        "reason": reasons.ROLLED_BACK,
        "message": message,
        "time": timestamp(revision.created),
    }


@dataclass(frozen=True)
class PassContext:
    observation: Observation
    target: str
    """The revision that the spec asks for, recorded or not."""
    artifact: Artifact
    placement: Placement
    memory: Memory
    preflight: Preflight
    now: datetime

    @cached_property
    def fleet(self) -> Fleet:
        candidate = self.target if self.may_try() else None
        return Fleet.of(
            self.observation, self.placement, self.memory.stable, frozenset(self.memory.rejected), candidate, self.now
        )

    @cached_property
    def rollout_before(self) -> dict[str, Any]:
        """``status.rollout`` of the target; empty where another revision, or none, was on trial."""
        status = self.observation.status
        same = status.get("candidateRevision") == self.target
        remembered: dict[str, Any] = (status.get("rollout") or {}) if same else {}
        return remembered

    @cached_property
    def timers(self) -> Timers:
        return Timers.of(self.rollout_before.get("pauses") or (), self.observation.spec.rollout.paused, self.now)

    @cached_property
    def wave_baseline(self) -> WaveBaseline | None:
        return WaveBaseline.of(self.rollout_before.get("analysis"), self.observation.spec.analysis)

    @cached_property
    def reported(self) -> Reported:
        """The judgement in the words of status."""
        return report(self.observation.status.get("checks") or (), self.judgement, self.target)

    @cached_property
    def judgement(self) -> Judgement:
        """Of the target, by what the nodes that serve it have done since the wave began."""
        ready = {
            placed.node.name: OnTrial(placed.node.name, placed.variant, pod.served_since(self.now))
            for placed in self.placement.placed
            if (pod := self.fleet.pod(self.target, placed)) is not None
        }
        return judge(
            self.observation.spec.analysis,
            self.observation.samples,
            self.wave_baseline,
            self.target,
            tuple(ready.values()),
            {placed.node.name: placed.variant for placed in self.placement.placed},
            is_first=self.memory.stable is None,
            now=self.now,
        )

    def may_try(self) -> bool:
        """The target is there, new, not rejected, through preflight where that is asked for, and has nodes to go to."""
        return (
            self.artifact.revision is not None
            and self.target != self.memory.stable
            and self.target not in self.memory.rejected
            and bool(self.placement.placed)
            and not host_port_rivals(self.observation)
            and not self.observation.service_name_conflict
            and self.preflight.done
            and self.preflight.rejection is None
        )

    def rejecting(self, rejection: dict[str, Any]) -> "PassContext":
        return replace(
            self, memory=replace(self.memory, rejected={**self.memory.rejected, rejection["name"]: rejection})
        )

    def promoting(self) -> "PassContext":
        return replace(self, memory=replace(self.memory, stable=self.target))
