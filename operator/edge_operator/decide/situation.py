"""What one pass has worked out so far: the observation, the fleet, the target and what status remembers."""

from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from edge_operator.decide.artifact import Artifact
from edge_operator.decide.observation import Observation, Revision
from edge_operator.decide.placement import Placement
from edge_operator.decide.rollout import Fleet
from edge_operator.decide.status import timestamp
from edgemodel import reasons
from edgemodel.verdict import Verdict


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
        rejected |= {item["name"]: item for item in observation.status.get("rejectedRevisions") or ()}
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
class Situation:
    observation: Observation
    target: str
    """The revision that the spec asks for, recorded or not."""
    artifact: Artifact
    placement: Placement
    memory: Memory
    now: datetime

    @cached_property
    def fleet(self) -> Fleet:
        return Fleet.of(self.observation, self.placement, self.memory.stable, frozenset(self.memory.rejected))

    def may_try(self) -> bool:
        """The target is there, new, not rejected, and has nodes to go to."""
        return (
            self.artifact.revision is not None
            and self.target != self.memory.stable
            and self.target not in self.memory.rejected
            and bool(self.placement.placed)
            and not self.observation.host_port_rivals
            and not self.observation.name_taken
        )

    def rejecting(self, rejection: dict[str, Any]) -> "Situation":
        return replace(
            self, memory=replace(self.memory, rejected={**self.memory.rejected, rejection["name"]: rejection})
        )

    def promoting(self) -> "Situation":
        return replace(self, memory=replace(self.memory, stable=self.target))
