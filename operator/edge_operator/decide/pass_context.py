"""The intermediate results of a pass, and the judgements made from them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from edge_operator.decide.analysis import Judgement, OnTrial, Reported, WaveBaseline, judge, report
from edge_operator.decide.observation import Observation, Revision
from edge_operator.decide.obstacles import Prospect, first_obstacle
from edge_operator.decide.placement.cells import Cell
from edge_operator.decide.placement.controls import was_control
from edge_operator.decide.placement.fleet import Fleet
from edge_operator.decide.placement.selection import Placed
from edge_operator.decide.timers import Timers
from edgemodel import reasons
from edgemodel.status import MAX_MESSAGE_LENGTH, RejectedRevision, RolloutStatus
from edgemodel.verdict import Verdict


def stable_of(observation: Observation) -> str | None:
    """Returns the stable revision; None while none is recorded."""
    stable = observation.status.stable_revision
    return stable if observation.revision(stable) is not None else None


def rejected_of(observation: Observation) -> dict[str, RejectedRevision]:
    """Returns every rejected revision by name: status has the newest, the verdicts of revisions have the others."""
    failed = [revision for revision in observation.revisions if revision.verdict == Verdict.FAIL]
    rejected = {revision.name: _rejection(revision) for revision in failed}
    for item in observation.status.rejected_revisions:
        known = rejected.get(item.name)
        message = item.message or (known.message if known is not None else None)
        rejected[item.name] = replace(item, message=message)
    return rejected


def _rejection(revision: Revision) -> RejectedRevision:
    """Returns the rejection of a revision that status has no room for."""
    message = f"kubectl describe edgemodelrevision {revision.name} says why"
    return RejectedRevision(revision.name, reasons.ROLLED_BACK, revision.created, message)


@dataclass(frozen=True)
class PassContext(Prospect):
    """The facts of a pass about the target, with what is computed from them once."""

    cells: tuple[Cell, ...]
    now: datetime

    @cached_property
    def fleet(self) -> Fleet:
        """Returns the placed nodes; their candidate is the target only while it may be tried."""
        candidate = self.target if self.may_try() else None
        rejected = frozenset(self.rejected)
        return Fleet.of(self.observation, self.placement, self.cells, self.stable, rejected, candidate, self.now)

    @cached_property
    def trial_before(self) -> RolloutStatus:
        """Returns the trial of the target, as status remembers it."""
        return self.observation.status.trial_of(self.target)

    @cached_property
    def timers(self) -> Timers:
        """Returns the timers of the trial, without the time in which it was paused."""
        return Timers.of(self.trial_before.pauses, self.observation.spec.rollout.paused, self.now)

    @cached_property
    def wave_baseline(self) -> WaveBaseline | None:
        """Returns the parameters of the wave; None before its measurement has begun."""
        return WaveBaseline.of(self.trial_before.analysis, self.observation.spec.analysis)

    @cached_property
    def reported(self) -> Reported:
        """Returns the judgement with the messages of status."""
        return report(self.observation.status.checks_of(self.target), self.judgement, self.target)

    @cached_property
    def judgement(self) -> Judgement:
        """Returns the verdicts on the target, from what its nodes have served since the wave began."""
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
            self._variants,
            is_first=self.stable is None,
            now=self.now,
            switched=self._switched,
        )

    @property
    def _switched(self) -> frozenset[str]:
        """Returns the nodes that have left stable.

        The controls, which do so after the bake, are not among them: what stable served there shows the drift until the
        end.
        """
        released, bake = self.trial_before.controls_released_at, self.observation.spec.rollout.bake
        left = (placed for placed in self.placement.placed if self._has_left_stable(placed))
        if released is None:
            return frozenset(placed.node.name for placed in left)
        return frozenset(
            placed.node.name
            for placed in left
            if any(not was_control(pod.created, released, bake) for pod in self.fleet.pods(self.target, placed))
        )

    def _has_left_stable(self, placed: Placed) -> bool:
        fleet, target, stable = self.fleet, self.target, self.stable
        if fleet.pod(target, placed) is not None:
            return True
        return fleet.pinned(target, placed) and not (stable is not None and fleet.pinned(stable, placed))

    @property
    def _variants(self) -> Mapping[str, str]:
        return {placed.node.name: placed.variant for placed in self.placement.placed}

    def may_try(self) -> bool:
        """Returns whether the target goes on trial: it is not stable yet, and nothing keeps the trial from
        beginning."""
        return self.target != self.stable and self.preflight.rejection is None and first_obstacle(self) is None

    def rejecting(self, reason: str, message: str) -> "PassContext":
        """Returns the context after the target was rejected."""
        rejection = RejectedRevision(self.target, reason, self.now, message[:MAX_MESSAGE_LENGTH])
        return replace(self, rejected={**self.rejected, self.target: rejection})

    def promoting(self) -> "PassContext":
        """Returns the context after the target became stable."""
        return replace(self, stable=self.target)
