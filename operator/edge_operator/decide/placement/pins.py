"""The pin changes of one node, and of all, from the present pins to the wanted ones."""

from collections.abc import Iterable
from datetime import datetime

from edge_operator.decide.actions import SetPins
from edge_operator.decide.observation import Refusal
from edge_operator.decide.placement.cells import Cell, CellFailure, failed_cells
from edge_operator.decide.placement.fleet import Fleet
from edge_operator.decide.placement.node_health import Assignment, failures_of, next_failure_at, podless
from edge_operator.decide.placement.selection import Placed
from edge_operator.decide.placement.set_aside import SetAside
from edge_operator.decide.placement.waves import plan_waves
from edge_operator.decide.timers import Timers


def switch_cell(fleet: Fleet, cell: Cell, revision: str) -> list[SetPins]:
    """Returns the next pin changes that bring a cell to ``revision``; none if there is nothing to do now.

    Surge: the pins are added, and the others are removed once all members serve the revision and surely route to it.
    Recreate, once the image is there, and the way back from a rejected revision: one patch per node exchanges the pins.
    A cell moves forward only while all members are available; a pin that a node must not keep is removed at once.
    """
    changes = (_switch_node(fleet, cell, member, revision) for member in cell.members)
    return [change for change in changes if change is not None]


def _switch_node(fleet: Fleet, cell: Cell, placed: Placed, revision: str) -> SetPins | None:
    node, pin = placed.node, fleet.pin(revision, placed)
    others = fleet.ours(node) - {pin}
    leaves = frozenset(other for other in others if _must_leave(fleet, placed, other))
    if pin not in node.pins:
        if fleet.pinned_to_rejected(placed):
            return SetPins(node.name, frozenset({pin}), others)
        if leaves:
            return SetPins(node.name, frozenset({pin}) if leaves == others else frozenset(), leaves)
        if not cell.is_available:
            return None
        if fleet.recreates(revision):
            return _recreate(fleet, cell, placed, revision)
        if any(_has_no_room(fleet, member, revision) for member in cell.members):
            return None
        return SetPins(node.name, frozenset({pin}))
    if others and all(_serves_surely(fleet, member, revision) for member in cell.members):
        return SetPins(node.name, remove=others)
    return SetPins(node.name, remove=leaves) if leaves else None


def _has_no_room(fleet: Fleet, placed: Placed, revision: str) -> bool:
    """Returns whether the node still keeps two pods, until it routes to the new one, so that a third has no room."""
    others = fleet.ours(placed.node) - {fleet.pin(revision, placed)}
    return not fleet.pinned(revision, placed) and len(others) > 1 and fleet.routes_from(placed.node) is not None


def _serves_surely(fleet: Fleet, placed: Placed, revision: str) -> bool:
    """Returns whether the node has a ready pod of ``revision``, and routes to it."""
    return fleet.pod(revision, placed) is not None and fleet.routes_from(placed.node) is None


def _must_leave(fleet: Fleet, placed: Placed, pin: str) -> bool:
    """Returns whether the node must lose the pin now: of a rejected or outlived revision at once, of a superseded one
    before the node comes back to run it again."""
    revision = fleet.known_pins[pin][0]
    if revision in fleet.rejected or revision in fleet.outlived:
        return True
    if revision not in fleet.superseded:
        return False
    return not placed.node.online or (bool(placed.set_aside) and not fleet.has_pod(revision, placed))


def _recreate(fleet: Fleet, cell: Cell, placed: Placed, revision: str) -> SetPins | None:
    """Returns the next change of a Recreate: a puller brings the image while the old pod serves, then one patch
    exchanges the pins."""
    node, pin, pull = placed.node, fleet.pin(revision, placed), fleet.pull_pin(revision, placed)
    if all(_may_recreate(fleet, member, revision) for member in cell.members):
        return SetPins(node.name, frozenset({pin}), (fleet.ours(node) - {pull}) | (node.pins & {pull}))
    if pull in node.pins or not fleet.ours(node):
        return None
    return SetPins(node.name, frozenset({pull}))


def _may_recreate(fleet: Fleet, placed: Placed, revision: str) -> bool:
    """Returns whether the node has switched already, has nothing to give up, or has the image."""
    if fleet.pinned(revision, placed) or not fleet.ours(placed.node) - {fleet.pull_pin(revision, placed)}:
        return True
    return fleet.pulling(revision, placed) and fleet.pulled(revision, placed)


def keep_stable(fleet: Fleet, candidate: str, stable: str) -> list[SetPins]:
    """Returns the changes that keep cells that are not on trial on stable: new ones, rejoined ones, and those of a
    superseded candidate."""
    rest = (cell for cell in fleet.cells if not _was_sent(fleet, cell, candidate))
    return [change for cell in rest for change in switch_cell(fleet, cell, stable)]


def _was_sent(fleet: Fleet, cell: Cell, candidate: str) -> bool:
    return any(fleet.pinned(candidate, item) or fleet.pulling(candidate, item) for item in cell.members)


def is_on_trial(fleet: Fleet, cell: Cell, candidate: str) -> bool:
    """Returns whether the cell has switched to ``candidate``.

    If a member went offline before the candidate served there, the cell has missed its switch. If a member is set
    aside, the cell is on trial only as long as the candidate serves there: its loss says nothing about the candidate.
    """
    switched = any(fleet.pinned(candidate, member) for member in cell.members)
    return switched and not any(_missed(fleet, member, candidate) for member in cell.members)


def _missed(fleet: Fleet, placed: Placed, candidate: str) -> bool:
    """Returns whether the node went offline before its switch: it still has stable's pin, which it keeps until the
    candidate serves, or lacks the candidate's. For a node that is, or was, set aside: whether it does not serve."""
    if placed.set_aside or fleet.deferred(placed):
        return fleet.pod(candidate, placed) is None
    if placed.node.online:
        return False
    return not fleet.pinned(candidate, placed) or (fleet.stable is not None and fleet.pinned(fleet.stable, placed))


def defer(fleet: Fleet, candidate: str) -> list[SetPins]:
    """Returns the changes that mark cells that are offline, set aside or new during a rollout, to distinguish them from
    those whose turn is yet to come.

    A cell that went offline before the candidate served there loses its pin: it comes back to stable. A cell that is
    set aside keeps the candidate's pin if that pod is all that the node has: stable's could not be made in its place.
    """
    late = (cell for cell in fleet.cells if not is_on_trial(fleet, cell, candidate) and _is_late(fleet, cell))
    changes = (change for cell in late for change in _defer_cell(fleet, cell, candidate))
    return [change for change in changes if change.add or change.remove]


def _is_late(fleet: Fleet, cell: Cell) -> bool:
    is_new = fleet.stable is not None and any(not fleet.ours(item.node) for item in cell.members)
    return is_new or not cell.is_available


def _defer_cell(fleet: Fleet, cell: Cell, candidate: str) -> list[SetPins]:
    keeps = any(_has_only(fleet, member, candidate) for member in cell.members if member.set_aside)
    return [_defer(fleet, member, candidate, keeps=keeps) for member in cell.members]


def _has_only(fleet: Fleet, placed: Placed, candidate: str) -> bool:
    """Returns whether the node has a pod of the candidate and is not pinned to stable."""
    is_on_stable = fleet.stable is not None and fleet.pinned(fleet.stable, placed)
    return not is_on_stable and fleet.has_pod(candidate, placed)


def _defer(fleet: Fleet, placed: Placed, candidate: str, *, keeps: bool) -> SetPins:
    """Returns the change of one node. With ``keeps``, it keeps the candidate's pin."""
    node, ours = placed.node, fleet.ours(placed.node)
    mark = frozenset({fleet.deferral} if fleet.deferral else ()) - node.deferrals
    sent = frozenset({fleet.pin(candidate, placed), fleet.pull_pin(candidate, placed)})
    leaves = frozenset() if keeps else sent & node.pins
    # A member that has switched before another one missed it would be left with nothing.
    back = frozenset({fleet.pin(fleet.stable, placed)} if fleet.stable and leaves and not ours - leaves else ())
    return SetPins(node.name, mark | back, leaves)


def end_deferrals(fleet: Fleet) -> list[SetPins]:
    """Returns the changes that remove the deferrals of candidates that are no longer on trial."""
    ended = [(node.name, node.deferrals & fleet.ended_deferrals) for node in fleet.observation.nodes]
    return [SetPins(name, remove=keys) for name, keys in ended if keys]


def one_for_each_node(changes: Iterable[SetPins]) -> tuple[SetPins, ...]:
    """Returns ``changes`` with one patch per node."""
    merged: dict[str, SetPins] = {}
    for change in changes:
        first = merged.get(change.node, SetPins(change.node))
        merged[change.node] = SetPins(change.node, first.add | change.add, first.remove | change.remove)
    return tuple(merged.values())


def settle(fleet: Fleet, stable: str, timers: Timers) -> tuple[SetPins, ...]:
    """Returns the pins that bring every cell to ``stable`` when no candidate is on trial.

    Cells that serve something else catch up within the limits of a rollout: at most as many at a time as the wave
    before the last has, and none while more than ``maxFailedNodes`` have failed.
    """
    changes: list[SetPins] = []
    room = _room_to_catch_up(fleet, stable, timers)
    for cell in fleet.cells:
        steps = switch_cell(fleet, cell, stable)
        if steps and _catches_up(fleet, cell, stable):
            if room <= 0:
                continue
            room -= 1
        changes += steps
    return tuple(changes)


def failures_at_rest(fleet: Fleet, stable: str, timers: Timers) -> tuple[CellFailure, ...]:
    """Returns the failure of each cell that should serve ``stable`` and has not for longer than the node timeout."""
    deadline = fleet.observation.spec.rollout.node_ready_timeout
    return failed_cells(fleet.cells, failures_of(_on_their_way(fleet, stable, timers), deadline, timers))


def podless_at_rest(fleet: Fleet, stable: str, timers: Timers) -> tuple[SetAside, ...]:
    """Returns the nodes for which no pod of ``stable`` was made within the node timeout, or is refused or cannot
    start."""
    deadline, refused = fleet.observation.spec.rollout.node_ready_timeout, refused_at_rest(fleet, stable)
    told = {member.node.name: SetAside(member.node.name, f"{why.what}: {why.message}") for member, why in refused}
    found = (podless(item, deadline, timers) for item in _on_their_way(fleet, stable, timers))
    return tuple((told | {item.node: item for item in found if item is not None and item.node not in told}).values())


def refused_at_rest(fleet: Fleet, stable: str) -> tuple[tuple[Placed, Refusal], ...]:
    """Returns the available nodes that were sent ``stable`` and get no pod, or none that can start, with Kubernetes'
    messages."""
    if not fleet.observation.refusals:
        return ()
    sent = (item for item in fleet.placement.placed if item.is_available and _on_its_way(fleet, item, stable))
    found = ((item, fleet.refusal(stable, item)) for item in sent)
    return tuple((item, refusal) for item, refusal in found if refusal is not None)


def next_deadline_at_rest(fleet: Fleet, stable: str, timers: Timers) -> datetime | None:
    """Returns the time at which the next node on its way to ``stable`` will have failed."""
    deadline = fleet.observation.spec.rollout.node_ready_timeout
    times = (next_failure_at([item], deadline, timers) for item in _on_their_way(fleet, stable, timers))
    return min((time for time in times if time is not None and time > timers.now), default=None)


def _room_to_catch_up(fleet: Fleet, stable: str, timers: Timers) -> int:
    rollout = fleet.observation.spec.rollout
    failures = failures_at_rest(fleet, stable, timers)
    if len(failures) > rollout.max_failed_nodes:
        return 0
    failed = {failure.cell for failure in failures}
    available = [cell for cell in fleet.cells if cell.is_available]
    limit = plan_waves(rollout.waves, len(available))[-2] if len(rollout.waves) > 1 else len(available)
    away = {*failed, *(item.node for item in podless_at_rest(fleet, stable, timers))}
    going = [cell for cell in available if not away & {cell.name, *(member.node.name for member in cell.members)}]
    return limit - sum(any(_on_its_way(fleet, member, stable) for member in cell.members) for cell in going)


def _catches_up(fleet: Fleet, cell: Cell, stable: str) -> bool:
    """Returns whether a member serves a former stable revision, which it would give up for ``stable``."""
    return any(_gives_up(fleet, member, stable) for member in cell.members)


def _gives_up(fleet: Fleet, placed: Placed, stable: str) -> bool:
    former = {fleet.known_pins[pin][0] for pin in fleet.ours(placed.node)} - fleet.unproven - {stable}
    return bool(former - fleet.outlived) and not fleet.pinned(stable, placed) and not fleet.pulling(stable, placed)


def _on_their_way(fleet: Fleet, stable: str, timers: Timers) -> list[Assignment]:
    """Returns the nodes, neither offline nor set aside, that were sent ``stable`` and do not serve it yet."""
    found = []
    for placed in fleet.placement.placed:
        if not placed.is_available or not _on_its_way(fleet, placed, stable) or fleet.is_set_aside(stable, placed):
            continue
        pin = fleet.pin(stable, placed) if fleet.pinned(stable, placed) else fleet.pull_pin(stable, placed)
        sent_at = fleet.observation.pins_seen.get((placed.node.name, pin), timers.now)
        found.append(fleet.assignment(stable, placed, sent_at))
    return found


def _on_its_way(fleet: Fleet, placed: Placed, stable: str) -> bool:
    sent = fleet.pinned(stable, placed) or fleet.pulling(stable, placed)
    return sent and fleet.pod(stable, placed) is None


def roll_back(fleet: Fleet) -> tuple[SetPins, ...]:
    """Returns the changes that take rejected revisions off every node, including offline ones, and give them stable, if
    there is one."""
    changes = []
    for placed in fleet.placement.placed:
        bad = frozenset(pin for pin in fleet.ours(placed.node) if fleet.known_pins[pin][0] in fleet.rejected)
        if bad:
            back = frozenset({fleet.pin(fleet.stable, placed)} if fleet.stable else ()) - placed.node.pins
            changes.append(SetPins(placed.node.name, back, bad))
    return tuple(changes)


def unplace(fleet: Fleet) -> tuple[SetPins, ...]:
    """Returns the changes that take this EdgeModel's pins off nodes that it no longer selects."""
    placed = {item.node.name for item in fleet.placement.placed}
    strays = [node for node in fleet.observation.nodes if node.name not in placed and fleet.ours(node)]
    return tuple(SetPins(node.name, remove=fleet.ours(node)) for node in strays)
