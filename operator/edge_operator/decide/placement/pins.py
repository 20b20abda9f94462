"""How one node, and how all of them, get from the pins that they have to those that they should have."""

from collections.abc import Iterable
from datetime import datetime

from edge_operator.decide.actions import SetPins
from edge_operator.decide.placement.fleet import Fleet
from edge_operator.decide.placement.node_health import Assignment, NodeFailure, failures_of, next_failure_at
from edge_operator.decide.placement.selection import Placed
from edge_operator.decide.placement.waves import plan_waves
from edge_operator.decide.timers import Timers


def switch_node(fleet: Fleet, placed: Placed, revision: str) -> SetPins | None:
    """The next pin change that brings one node to ``revision``; None when there is nothing to do now.

    Surge: the pin is added, and the others go once the new pod serves and the node surely routes to it. Recreate,
    once the image is there, and a way back from a rejected revision: the pins change places in one patch. A node moves
    forward only while it is seen online; what it must not keep it loses at once.
    """
    node, pin = placed.node, fleet.pin(revision, placed)
    others = fleet.ours(node) - {pin}
    leaves = frozenset(other for other in others if _must_leave(fleet, placed, other))
    if pin not in node.pins:
        if fleet.pinned_to_rejected(placed):
            return SetPins(node.name, frozenset({pin}), others)
        if leaves:
            return SetPins(node.name, frozenset({pin}) if leaves == others else frozenset(), leaves)
        if not node.online:
            return None
        if fleet.observation.spec.serving.strategy == "Recreate":
            return _recreate(fleet, placed, revision)
        if len(others) > 1 and fleet.routes_from(node) is not None:
            return None  # it keeps a pod beside another, and has memory for two
        return SetPins(node.name, frozenset({pin}))
    if others and fleet.pod(revision, placed) is not None and fleet.routes_from(node) is None:
        return SetPins(node.name, remove=others)
    return SetPins(node.name, remove=leaves) if leaves else None


def _must_leave(fleet: Fleet, placed: Placed, pin: str) -> bool:
    """A rejected revision at once, an outlived one too; a superseded one before its node comes back to run it again."""
    revision = fleet.known_pins[pin][0]
    if revision in fleet.rejected or revision in fleet.outlived:
        return True
    return not placed.node.online and revision in fleet.superseded


def _recreate(fleet: Fleet, placed: Placed, revision: str) -> SetPins | None:
    """First a puller brings the image while the old pod still serves; then the pins change places in one patch."""
    node, pin = placed.node, fleet.pin(revision, placed)
    pull = fleet.pull_pin(revision, placed)
    others = fleet.ours(node) - {pull}
    if not others or (pull in node.pins and fleet.pulled(revision, placed)):
        return SetPins(node.name, frozenset({pin}), others | (node.pins & {pull}))
    return None if pull in node.pins else SetPins(node.name, frozenset({pull}))


def keep_stable(fleet: Fleet, candidate: str, stable: str) -> list[SetPins]:
    """Nodes that are not on trial run stable: new ones, rejoined ones, and those that a superseded candidate had."""
    placed = fleet.placement.placed
    rest = [p for p in placed if not fleet.pinned(candidate, p) and not fleet.pulling(candidate, p)]
    return [change for p in rest if (change := switch_node(fleet, p, stable)) is not None]


def defer(fleet: Fleet, candidate: str) -> list[SetPins]:
    """Nodes that are offline, or new, in the middle of a rollout are told from those whose turn is yet to come.

    One that went offline before the candidate served there loses its pin: it comes back to stable.
    """
    changes = []
    for placed in fleet.placement.placed:
        node = placed.node
        served = fleet.pinned(candidate, placed) and not still_on_stable(fleet, placed)
        is_new = fleet.stable is not None and not fleet.ours(node)
        if fleet.deferral and not served and (not node.online or is_new):
            mark = frozenset({fleet.deferral}) - node.deferrals
            leaves = frozenset({fleet.pin(candidate, placed), fleet.pull_pin(candidate, placed)}) & node.pins
            if mark or leaves:
                changes.append(SetPins(node.name, mark, leaves))
    return changes


def still_on_stable(fleet: Fleet, placed: Placed) -> bool:
    """It went offline before the candidate served there: deferred, for stable's pin goes only when it does."""
    return not placed.node.online and fleet.stable is not None and fleet.pinned(fleet.stable, placed)


def end_deferrals(fleet: Fleet) -> list[SetPins]:
    """Of candidates that are no longer on trial."""
    ended = [(node.name, node.deferrals & fleet.ended_deferrals) for node in fleet.observation.nodes]
    return [SetPins(name, remove=keys) for name, keys in ended if keys]


def one_for_each_node(changes: Iterable[SetPins]) -> tuple[SetPins, ...]:
    """``changes``, those of one node in one patch."""
    merged: dict[str, SetPins] = {}
    for change in changes:
        first = merged.get(change.node, SetPins(change.node))
        merged[change.node] = SetPins(change.node, first.add | change.add, first.remove | change.remove)
    return tuple(merged.values())


def settle(fleet: Fleet, stable: str, timers: Timers) -> tuple[SetPins, ...]:
    """Pins that bring every placed node to ``stable`` when no candidate is on trial.

    Nodes that serve something else catch up under the limits of a rollout: no more of them at a time than the wave
    before the last holds, and none any more while more than ``maxFailedNodes`` have failed.
    """
    changes = []
    room = _room_to_catch_up(fleet, stable, timers)
    for placed in fleet.placement.placed:
        change = switch_node(fleet, placed, stable)
        if change is None:
            continue
        if _catches_up(fleet, placed, stable):
            if room <= 0:
                continue
            room -= 1
        changes.append(change)
    return tuple(changes)


def failures_at_rest(fleet: Fleet, stable: str, timers: Timers) -> tuple[NodeFailure, ...]:
    """Online nodes that should serve ``stable`` and have not for longer than the node ready timeout."""
    return failures_of(_on_their_way(fleet, stable, timers), fleet.observation.spec.rollout.node_ready_timeout, timers)


def next_deadline_at_rest(fleet: Fleet, stable: str, timers: Timers) -> datetime | None:
    """When the next of the nodes that are on their way to ``stable`` will have failed."""
    deadline = fleet.observation.spec.rollout.node_ready_timeout
    times = (next_failure_at([item], deadline, timers) for item in _on_their_way(fleet, stable, timers))
    return min((time for time in times if time is not None and time > timers.now), default=None)


def _room_to_catch_up(fleet: Fleet, stable: str, timers: Timers) -> int:
    rollout, placed = fleet.observation.spec.rollout, fleet.placement.placed
    failed = {item.node for item in failures_at_rest(fleet, stable, timers)}
    if len(failed) > rollout.max_failed_nodes:
        return 0
    online = [p for p in placed if p.node.online]
    limit = plan_waves(rollout.waves, len(online))[-2] if len(rollout.waves) > 1 else len(online)
    return limit - sum(_on_its_way(fleet, p, stable) for p in online if p.node.name not in failed)


def _catches_up(fleet: Fleet, placed: Placed, stable: str) -> bool:
    """It serves a former stable revision, which it would give up for this one."""
    former = {fleet.known_pins[pin][0] for pin in fleet.ours(placed.node)} - fleet.unproven - {stable}
    return bool(former - fleet.outlived) and not fleet.pinned(stable, placed) and not fleet.pulling(stable, placed)


def _on_their_way(fleet: Fleet, stable: str, timers: Timers) -> list[Assignment]:
    """Returns the online nodes that were sent ``stable`` and do not serve it yet."""
    found = []
    for placed in fleet.placement.placed:
        if not placed.node.online or not _on_its_way(fleet, placed, stable):
            continue
        pin = fleet.pin(stable, placed) if fleet.pinned(stable, placed) else fleet.pull_pin(stable, placed)
        sent_at = fleet.observation.pins_seen.get((placed.node.name, pin), timers.now)
        found.append(fleet.assignment(stable, placed, sent_at))
    return found


def _on_its_way(fleet: Fleet, placed: Placed, stable: str) -> bool:
    sent = fleet.pinned(stable, placed) or fleet.pulling(stable, placed)
    return sent and fleet.pod(stable, placed) is None


def roll_back(fleet: Fleet) -> tuple[SetPins, ...]:
    """Takes rejected revisions off every node, offline ones included, and gives them stable, if there is one."""
    changes = []
    for placed in fleet.placement.placed:
        bad = frozenset(pin for pin in fleet.ours(placed.node) if fleet.known_pins[pin][0] in fleet.rejected)
        if bad:
            back = frozenset({fleet.pin(fleet.stable, placed)} if fleet.stable else ()) - placed.node.pins
            changes.append(SetPins(placed.node.name, back, bad))
    return tuple(changes)


def unplace(fleet: Fleet) -> tuple[SetPins, ...]:
    """Takes this EdgeModel's pins off nodes that it no longer selects."""
    placed = {item.node.name for item in fleet.placement.placed}
    strays = [node for node in fleet.observation.nodes if node.name not in placed and fleet.ours(node)]
    return tuple(SetPins(node.name, remove=fleet.ours(node)) for node in strays)
