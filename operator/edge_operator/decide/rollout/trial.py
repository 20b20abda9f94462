"""The position of the candidate at the beginning of a pass, from the pins, the pods and the remembered status."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from edge_operator.decide.actions import SetPins
from edge_operator.decide.analysis import Judgement
from edge_operator.decide.observation import Pod, Refusal
from edge_operator.decide.placement.cells import Cell, CellFailure, failed_cells
from edge_operator.decide.placement.controls import Variants, choose_controls
from edge_operator.decide.placement.fleet import Fleet
from edge_operator.decide.placement.node_health import Assignment, failures_of, next_failure_at, podless
from edge_operator.decide.placement.pins import defer, is_on_trial, keep_stable, switch_cell
from edge_operator.decide.placement.selection import Placed
from edge_operator.decide.placement.set_aside import SetAside
from edge_operator.decide.placement.waves import plan_waves
from edge_operator.decide.refused_pods import SERVING_RESOURCES, explain
from edge_operator.decide.rollout.moves import Hold, WaveState
from edge_operator.decide.timers import Timers
from edgemodel import reasons
from edgemodel.spec import Rollout
from edgemodel.status import RolloutStatus

FRESH = timedelta(seconds=60)
TOLD_AT_ONCE = frozenset({reasons.UNSCHEDULABLE, reasons.IMAGE_PULL_FAILED, reasons.CONTAINER_NOT_STARTED})
"""The reasons of pods that a person may want to correct before the node has failed."""


@dataclass(frozen=True)
class Trial:
    """The position of a candidate, from which the next move follows."""

    fleet: Fleet
    candidate: str
    timers: Timers
    judgement: Judgement
    wave: int
    wave_before: int
    """The wave of the previous pass."""
    started: datetime
    """The time at which the last cells entered the wave."""
    held_since: datetime | None
    switched: tuple[Cell, ...]
    """The cells that should run the candidate, without failed ones."""
    next_cells: tuple[Cell, ...]
    """The cells that enter next, in order: those that already pull the image come first. Controls are not among
    them."""
    failures: tuple[CellFailure, ...]
    tried: int
    """The number of cells that the candidate was sent to, including failed ones."""
    size: int
    """The number of cells that it can go to or has gone to."""
    podless: tuple[SetAside, ...] = ()
    """The nodes that were sent the candidate but for which no pod was created in time; their cells are not on trial."""
    controls: tuple[Cell, ...] = ()
    """The cells that stay on stable until the bake is through; waves count the others."""
    released: datetime | None = None
    """The time at which the bake was through, and the controls began to switch; None before."""

    @property
    def rollout(self) -> Rollout:
        """Returns ``spec.rollout``."""
        return self.fleet.observation.spec.rollout

    @property
    def where(self) -> str:
        """Returns the wave for messages, such as ``wave canary (1 of 3)``."""
        waves = self.rollout.waves
        wave = f"wave {waves[self.wave].name} ({self.wave + 1} of {len(waves)})"
        return f"controls, after {wave}" if self.released is not None else wave

    @property
    def is_last(self) -> bool:
        """Returns whether no wave follows this one."""
        return self.wave + 1 == len(self.rollout.waves)

    @property
    def is_new_wave(self) -> bool:
        """Returns whether the wave begins in this pass."""
        return self.wave != self.wave_before

    @property
    def duration(self) -> timedelta:
        """Returns how long the wave serves: the soak, or after the last one the bake."""
        return self.rollout.bake if self.is_last else self.rollout.soak

    @property
    def goal(self) -> int:
        """Returns the number of cells that run the candidate after this wave."""
        return plan_waves(self.rollout.waves, self.size - len(self.controls))[self.wave]

    @property
    def entering(self) -> tuple[Cell, ...]:
        """Returns the cells that enter now; another cell takes the place of a failed one."""
        return self.next_cells[: max(self.goal - len(self.switched), 0)]

    @property
    def is_fresh(self) -> bool:
        """Returns whether the wave started so recently that its start need not be reset. An operator that is killed
        between status and pins again and again would otherwise write nothing but status."""
        return self.timers.now - self.started < min(self.rollout.node_ready_timeout / 2, FRESH)

    @property
    def state(self) -> WaveState:
        """Returns what status remembers of a wave that is not held."""
        return WaveState(self.wave, self.started, None, len(self.controls), self.released)

    def pods_of(self, cell: Cell) -> list[Pod]:
        """Returns the ready pods of the candidate on the members of ``cell``."""
        found = (self.fleet.pod(self.candidate, member) for member in cell.members)
        return [pod for pod in found if pod is not None]

    def pods(self) -> list[Pod]:
        """Returns the ready pods of the candidate on all switched cells."""
        return [pod for cell in self.switched for pod in self.pods_of(cell)]

    def serving(self) -> int:
        """Returns the number of cells all of whose members serve the candidate."""
        return sum(len(self.pods_of(cell)) == len(cell.members) for cell in self.switched)

    def refused(self) -> tuple[tuple[Placed, Refusal], ...]:
        """Returns the nodes that were sent the candidate and get no pod, or none that can start, with Kubernetes'
        messages."""
        if not self.fleet.observation.refusals:
            return ()
        pulling = pulling_members(self.fleet, self.candidate, self.next_cells)
        members = (*(member for cell in self.switched for member in cell.members), *pulling)
        found = ((member, self.fleet.refusal(self.candidate, member)) for member in members if member.is_available)
        return tuple((member, refusal) for member, refusal in found if refusal is not None)

    def troubles(self) -> str:
        """Returns why the first node that does not serve yet does not, if that is known, for a message."""
        for member, refusal in self.refused()[:1]:
            return f"; {member.node.name}: {refusal.what}: {explain(refusal, SERVING_RESOURCES)}"
        pulling = pulling_members(self.fleet, self.candidate, self.next_cells)
        for member in (*(member for cell in self.switched for member in cell.members), *pulling):
            for pod in self.fleet.observation.pods_on(member.node.name, self.candidate):
                if not pod.ready and pod.trouble is not None and pod.trouble[0] in TOLD_AT_ONCE:
                    return f"; {member.node.name}: {pod.trouble[0]}: {pod.trouble[1]}"
        return ""

    def counted(self, number: int) -> str:
        """Returns ``number`` in the unit in which the rollout counts: nodes, or cells of several nodes."""
        return self.fleet.counted(number)

    def kept(self) -> str:
        """Returns how many cells stay on stable, for a message; empty if none does."""
        count, wanted = len(self.controls), self.rollout.control_nodes
        if not count:
            return ""
        verb, few = ("stays" if count == 1 else "stay"), f" (rollout.controlNodes: {wanted})" if count < wanted else ""
        return f"; {self.counted(count)} {verb} on stable until the bake is through{few}"

    def release(self) -> "Trial":
        """Returns the trial after the bake: the controls enter now."""
        cells, now = (*self.next_cells, *self.controls), self.timers.now
        return replace(self, controls=(), next_cells=cells, released=now.replace(microsecond=0), started=now)

    def next_wave(self) -> "Trial":
        """Returns the trial in the next wave, which starts now if cells enter it."""
        following = replace(self, wave=self.wave + 1, held_since=None)
        return replace(following, started=self.timers.now) if following.entering else following

    def finishing(self) -> list[SetPins]:
        """Returns the changes by which cells that serve both revisions lose stable's pin, and others complete their
        switch."""
        return [change for cell in self.switched for change in switch_cell(self.fleet, cell, self.candidate)]

    def keeping(self, *, entering: bool = False) -> list[SetPins]:
        """Returns the changes by which the other cells stay on stable.

        Cells that join after a cell was sent the candidate, or while one is (``entering``), are excluded from the
        trial, and so are those that missed their switch. The only cell may miss it, and still be tried when it is back.
        """
        fleet, stable = self.fleet, self.fleet.stable
        kept = [] if stable is None else keep_stable(fleet, self.candidate, stable)
        return [*kept, *(defer(fleet, self.candidate) if self.tried or entering else ())]

    def next_failure_at(self) -> datetime | None:
        """Returns when the first node that was sent the candidate will have failed; None if all serve."""
        pulling = pulling_members(self.fleet, self.candidate, self.next_cells)
        members = (*(member for cell in self.switched for member in cell.members), *pulling)
        sent = [self.fleet.assignment(self.candidate, member, self.started) for member in members]
        return next_failure_at(sent, self.rollout.node_ready_timeout, self.timers)

    def hold(
        self,
        reason: str,
        text: str,
        until: datetime | None = None,
        *,
        held_since: datetime | None = None,
        stalled: bool = False,
        finish: bool = True,
    ) -> Hold:
        """Returns a Hold. With ``finish``, cells that serve both revisions lose stable's pin."""
        pins = (*(self.finishing() if finish else ()), *self.keeping())
        state = replace(self.state, held_since=held_since)
        return Hold(reason, text, state, pins, self.failures, until, stalled)


def find_trial(fleet: Fleet, candidate: str, memory: RolloutStatus, judgement: Judgement, timers: Timers) -> Trial:
    """Returns the trial of ``candidate``, which is recorded, neither stable nor rejected."""
    rollout = fleet.observation.spec.rollout
    started = memory.wave_started_at or timers.now
    wave = min(memory.wave, len(rollout.waves) - 1)
    switched = [cell for cell in fleet.cells if is_on_trial(fleet, cell, candidate)]
    names = {cell.name for cell in switched}
    ready_next = [cell for cell in fleet.cells if cell.name not in names and may_switch(fleet, cell)]
    waits = [*switched, *(cell for cell in ready_next if pulling_members(fleet, candidate, (cell,)))]
    without_pods = _podless(fleet, candidate, waits, started, timers)
    away = {item.node for item in without_pods}
    switched, ready_next = _without(switched, away), _without(ready_next, away)
    pulling = [cell for cell in ready_next if pulling_members(fleet, candidate, (cell,))]
    members = (
        *(member for cell in switched for member in cell.members),
        *pulling_members(fleet, candidate, pulling),
    )
    sent = [fleet.assignment(candidate, member, started) for member in members]
    failures = failed_cells([*switched, *pulling], failures_of(sent, rollout.node_ready_timeout, timers))
    failed = {failure.cell for failure in failures}
    is_pulling = {cell.name for cell in pulling}
    untried = [cell for cell in ready_next if cell.name not in failed]
    released = memory.controls_released_at if wave + 1 == len(rollout.waves) else None
    controls: tuple[Cell, ...] = ()
    if fleet.stable is not None and released is None:
        sent_to = [cell for cell in (*switched, *pulling) if cell.name not in failed]
        # The last ones are chosen, and a node on which stable fails shows nothing.
        waiting = sorted((c for c in untried if c.name not in is_pulling), key=lambda c: _serves_stable(fleet, c))
        controls = choose_controls(waiting, sent_to, rollout.control_nodes, _variants_for(fleet, candidate))
    kept = {cell.name for cell in controls}
    entering = [cell for cell in untried if cell.name not in kept]
    return Trial(
        fleet=fleet,
        candidate=candidate,
        timers=timers,
        judgement=judgement,
        wave=wave,
        wave_before=wave,
        started=started,
        held_since=memory.held_since,
        switched=tuple(cell for cell in switched if cell.name not in failed),
        next_cells=tuple(sorted(entering, key=lambda cell: cell.name not in is_pulling)),
        failures=failures,
        tried=len(switched) + len(pulling),
        size=len(switched) + len(ready_next),
        podless=without_pods,
        controls=controls,
        released=released,
    )


def _serves_stable(fleet: Fleet, cell: Cell) -> bool:
    stable = fleet.stable
    return stable is not None and all(fleet.pod(stable, member) is not None for member in cell.members)


def _variants_for(fleet: Fleet, candidate: str) -> Callable[[Cell], Variants]:
    """Returns a function that returns the variants of the candidate that a cell's members get."""
    return lambda cell: tuple(sorted({fleet.variant(candidate, member) for member in cell.members}))


def _podless(
    fleet: Fleet, candidate: str, cells: list[Cell], started: datetime, timers: Timers
) -> tuple[SetAside, ...]:
    """Returns the nodes of ``cells`` for which no pod of the candidate, or of its puller, was created in time.

    A node with a message of Kubernetes is not among them: that holds up the rollout.
    """
    deadline = fleet.observation.spec.rollout.node_ready_timeout
    found = []
    for placed in (member for cell in cells for member in cell.members):
        assignment = _since_its_pin(fleet, candidate, placed, started)
        if assignment is None or fleet.refusal(candidate, placed) is not None:
            continue
        if (item := podless(assignment, deadline, timers)) is not None:
            found.append(item)
    return tuple(found)


def _since_its_pin(fleet: Fleet, candidate: str, placed: Placed, started: datetime) -> Assignment | None:
    """Returns the assignment; None for a node without a pin of the candidate. A new wave gives no node more time."""
    pin = fleet.pin(candidate, placed)
    if not fleet.pinned(candidate, placed):
        pin = fleet.pull_pin(candidate, placed)
    if pin not in placed.node.pins:
        return None
    return fleet.assignment(candidate, placed, fleet.observation.pins_seen.get((placed.node.name, pin), started))


def _without(cells: list[Cell], nodes: set[str]) -> list[Cell]:
    """Returns ``cells`` without those that have a member among ``nodes``."""
    return [cell for cell in cells if not any(member.node.name in nodes for member in cell.members)]


def pulling_members(fleet: Fleet, candidate: str, cells: tuple[Cell, ...] | list[Cell]) -> list[Placed]:
    """Returns the nodes of ``cells`` that pull the candidate's image before they switch."""
    return [member for cell in cells for member in cell.members if fleet.pulling(candidate, member)]


def may_switch(fleet: Fleet, cell: Cell) -> bool:
    """Returns whether all members can enter a wave."""
    return all(_may_switch(fleet, member) for member in cell.members)


def _may_switch(fleet: Fleet, placed: Placed) -> bool:
    """Returns whether the node is available, not deferred and, if there is a stable revision, on it: serving, or with a
    failure that the candidate may cure."""
    if not placed.is_available or fleet.deferred(placed) or fleet.pinned_to_rejected(placed):
        return False
    if fleet.stable is None:
        return True
    if not fleet.pinned(fleet.stable, placed):
        return False
    return fleet.pod(fleet.stable, placed) is not None or any(
        pod.trouble is not None for pod in fleet.observation.pods_on(placed.node.name, fleet.stable)
    )
