"""The move: which node runs which revision next. Promotion and rollback are decided here and nowhere else.

The pin is the only truth of what a node should run, so where a rollout stands is read off the pins and
the pods; status remembers only which revisions are stable and rejected and when the wave started.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from edge_operator.decide.actions import SetPins
from edge_operator.decide.node_health import NodeFailure, deadline_of, failure, serving_pod
from edge_operator.decide.observation import Node, Observation, Pod
from edge_operator.decide.placement import Placed, Placement, matches
from edge_operator.decide.waves import plan_waves
from edgemodel import reasons
from edgemodel.names import pin_key, puller_of


class Move(StrEnum):
    HOLD = "Hold"
    ADVANCE = "Advance"
    PROMOTE = "Promote"
    ROLL_BACK = "RollBack"


@dataclass(frozen=True)
class Step:
    """One move with its reason, the pins it changes and, while a candidate is on trial, the wave it is in."""

    move: Move
    reason: str
    message: str
    pins: tuple[SetPins, ...] = ()
    wave: int = 0
    wave_started: datetime | None = None
    wake_at: datetime | None = None
    failures: tuple[NodeFailure, ...] = ()


@dataclass(frozen=True)
class Fleet:
    """The placed nodes of one EdgeModel, with answers about what each runs."""

    observation: Observation
    placement: Placement
    stable: str | None
    rejected: frozenset[str]
    known_pins: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Pin -> (revision, variant), for every revision of this EdgeModel that is known."""
    other_variants: dict[str, tuple[tuple[str, dict[str, str]], ...]] = field(default_factory=dict)
    """Revision -> (variant, node selector) in order, for those whose variants are not the spec's."""

    @classmethod
    def of(
        cls, observation: Observation, placement: Placement, stable: str | None, rejected: frozenset[str]
    ) -> "Fleet":
        names = {revision.name for revision in observation.revisions} | rejected
        variants = {variant.name for variant in observation.spec.variants}
        own = {
            revision.name: tuple((item["name"], item.get("nodeSelector") or {}) for item in revision.spec["variants"])
            for revision in observation.revisions
        }
        others = {name: items for name, items in own.items() if {variant for variant, _ in items} != variants}
        variants = variants.union(variant for items in others.values() for variant, _ in items)
        variants |= {puller_of(variant) for variant in variants}
        known = {
            pin_key(observation.namespace, observation.name, name, variant): (name, variant)
            for name in names | ({stable} if stable else set())
            for variant in variants
        }
        return cls(observation, placement, stable, rejected, known, others)

    def variant(self, revision: str, placed: Placed) -> str:
        """The variant of ``revision`` that the node gets.

        By the selectors of the spec, which may be tuned; a revision with other variants than the spec's has its own.
        """
        own = self.other_variants.get(revision, ())
        return next((name for name, selector in own if matches(selector, placed.node.labels)), placed.variant)

    def pin(self, revision: str, placed: Placed) -> str:
        return self._key(revision, self.variant(revision, placed))

    def pull_pin(self, revision: str, placed: Placed) -> str:
        return self._key(revision, puller_of(self.variant(revision, placed)))

    def _key(self, revision: str, variant: str) -> str:
        return pin_key(self.observation.namespace, self.observation.name, revision, variant)

    def pinned(self, revision: str, placed: Placed) -> bool:
        return self.pin(revision, placed) in placed.node.pins

    def pulling(self, revision: str, placed: Placed) -> bool:
        """The node gets the revision's image before its Recreate."""
        return self.pull_pin(revision, placed) in placed.node.pins

    def pulled(self, revision: str, placed: Placed) -> bool:
        """The node has the revision's image."""
        puller = puller_of(self.variant(revision, placed))
        return serving_pod(self.observation.pods, placed.node.name, revision, puller) is not None

    def pod(self, revision: str, placed: Placed) -> Pod | None:
        return serving_pod(self.observation.pods, placed.node.name, revision, self.variant(revision, placed))

    def ours(self, node: Node) -> frozenset[str]:
        """This EdgeModel's pins on ``node``."""
        return node.pins & self.known_pins.keys()

    def pinned_to_rejected(self, placed: Placed) -> bool:
        return any(self.known_pins[pin][0] in self.rejected for pin in self.ours(placed.node))


def settle(fleet: Fleet, revision: str) -> tuple[SetPins, ...]:
    """Pins that bring every placed node to ``revision`` when no candidate is on trial.

    A node moves forward only while it is seen online; away from a rejected revision it moves at once.
    """
    changes = [switch_node(fleet, placed, revision) for placed in fleet.placement.placed]
    return tuple(change for change in changes if change is not None)


def switch_node(fleet: Fleet, placed: Placed, revision: str) -> SetPins | None:
    """The next pin change that brings one node to ``revision``; None when there is nothing to do now.

    Surge: the pin is added, and the others go once the new pod serves. Recreate, once the image is there, and a
    way back from a rejected revision: the pins change places in one patch.
    """
    node, pin = placed.node, fleet.pin(revision, placed)
    others = fleet.ours(node) - {pin}
    if pin not in node.pins:
        if fleet.pinned_to_rejected(placed):
            return SetPins(node.name, frozenset({pin}), others)
        if not node.online:
            return None
        if fleet.observation.spec.serving.strategy == "Recreate":
            return _recreate(fleet, placed, revision)
        return SetPins(node.name, frozenset({pin}))
    rejected = frozenset(other for other in others if fleet.known_pins[other][0] in fleet.rejected)
    if others and fleet.pod(revision, placed) is not None:
        return SetPins(node.name, remove=others)
    return SetPins(node.name, remove=rejected) if rejected else None


def _recreate(fleet: Fleet, placed: Placed, revision: str) -> SetPins | None:
    """First a puller brings the image while the old pod still serves; then the pins change places in one patch."""
    node, pin = placed.node, fleet.pin(revision, placed)
    pull = fleet.pull_pin(revision, placed)
    others = fleet.ours(node) - {pull}
    if not others or (pull in node.pins and fleet.pulled(revision, placed)):
        return SetPins(node.name, frozenset({pin}), others | (node.pins & {pull}))
    return None if pull in node.pins else SetPins(node.name, frozenset({pull}))


def _puller(placed: Placed) -> Placed:
    return replace(placed, variant=puller_of(placed.variant))


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


def decide_rollout(fleet: Fleet, candidate: str, now: datetime) -> Step:
    """The next move of ``candidate``, which is recorded, not stable and not rejected."""
    observation, rollout = fleet.observation, fleet.observation.spec.rollout
    memory: dict[str, Any] = observation.status.get("rollout") or {}
    if observation.status.get("candidateRevision") != candidate:
        memory = {}
    wave = min(memory.get("wave", 0), len(rollout.waves) - 1)
    started = _time(memory.get("waveStartedAt")) or now

    switched = [p for p in fleet.placement.placed if fleet.pinned(candidate, p) and not _still_on_stable(fleet, p)]
    ready_next = [p for p in fleet.placement.placed if p not in switched and _may_switch(fleet, p)]
    pulling = [_puller(p) for p in ready_next if fleet.pulling(candidate, p)]
    failures = _failures(fleet, candidate, [*switched, *pulling], started, now)
    if len(failures) > rollout.max_failed_nodes:
        cause = failures[0]
        tried = len(switched) + len(pulling)
        message = f"{cause.message}; {len(failures)} of {tried} nodes failed, limit {rollout.max_failed_nodes}"
        return Step(Move.ROLL_BACK, cause.reason, message, wave=wave, wave_started=started, failures=failures)

    plan = plan_waves(rollout.waves, len(switched) + len(ready_next))
    failed = {item.node for item in failures}
    good = [p for p in switched if p.node.name not in failed]
    untried = [p for p in ready_next if p.node.name not in failed]
    untried.sort(key=lambda p: not fleet.pulling(candidate, p))
    return _advance(
        fleet, candidate, now, _Trial(wave, started, plan, good, untried, failures, len(switched) + len(ready_next))
    )


@dataclass(frozen=True)
class _Trial:
    wave: int
    started: datetime
    plan: tuple[int, ...]
    switched: list[Placed]
    """Without failed nodes."""
    next_nodes: list[Placed]
    """In the order in which they enter: those that pull the image already come first."""
    failures: tuple[NodeFailure, ...]
    size: int
    """Nodes that the candidate can go to or has gone to, failed ones included."""


def _advance(fleet: Fleet, candidate: str, now: datetime, trial: _Trial) -> Step:
    """Holds in this wave, goes to the next, or promotes."""
    rollout = fleet.observation.spec.rollout
    wave, started = trial.wave, trial.started
    finishing = [change for p in trial.switched if (change := switch_node(fleet, p, candidate)) is not None]
    stable = fleet.stable
    keep = [] if stable is None else _keep_stable(fleet, candidate, stable)
    while True:
        name = rollout.waves[wave].name
        where = f"wave {name} ({wave + 1} of {len(rollout.waves)})"
        missing = trial.plan[wave] - len(trial.switched)  # another node takes the place of one that failed
        entering = trial.next_nodes[: max(missing, 0)]
        if entering:
            changes = [c for p in entering if (c := switch_node(fleet, p, candidate)) is not None]
            text = f"{where}: {candidate} goes to {trial.plan[wave]} of {trial.size} nodes"
            pins = (*changes, *finishing, *keep)
            if changes:
                started = now  # the nodes that enter have a deadline of their own
            wake = _next_deadline(fleet, candidate, replace(trial, started=started), now)
            return Step(Move.ADVANCE, reasons.ROLLING_OUT, text, pins, wave, started, wake, trial.failures)

        def hold(
            reason: str, text: str, until: datetime | None = None, wave: int = wave, started: datetime = started
        ) -> Step:
            return Step(Move.HOLD, reason, text, (*finishing, *keep), wave, started, until, trial.failures)

        if not trial.switched and trial.failures:
            cause = trial.failures[0]
            message = f"{cause.message}; no node serves it, {len(trial.failures)} failed"
            return Step(Move.ROLL_BACK, cause.reason, message, (), wave, started, None, trial.failures)
        if not trial.switched:
            return hold(reasons.NODES_OFFLINE, f"{where}: no node is online to take {candidate}")
        pods = [fleet.pod(candidate, p) for p in trial.switched]
        ready = [pod for pod in pods if pod is not None]
        if len(ready) < len(pods) or finishing:
            text = f"{where}: {trial.plan[wave]} nodes switch to {candidate}"
            return hold(reasons.ROLLING_OUT, text, _next_deadline(fleet, candidate, trial, now))
        served_since = max(_served_since(pod, now) for pod in ready)
        last = wave + 1 == len(rollout.waves)
        until = max(served_since, started) + (rollout.bake if last else rollout.soak)
        if now < until:
            reason = reasons.BAKING if last else reasons.SOAKING
            return hold(reason, f"{where}: {len(ready)} nodes serve {candidate}", until)
        if last:
            return Step(
                Move.PROMOTE,
                reasons.SERVING,
                f"{candidate} serves on {len(ready)} nodes after all waves",
                tuple(keep),
                wave,
                started,
                None,
                trial.failures,
            )
        wave += 1
        started = now if trial.next_nodes and trial.plan[wave] > len(trial.switched) else started


def _keep_stable(fleet: Fleet, candidate: str, stable: str) -> list[SetPins]:
    """Nodes that are not on trial run stable: new ones, rejoined ones, and those that a superseded candidate had."""
    placed = fleet.placement.placed
    rest = [p for p in placed if not fleet.pinned(candidate, p) and not fleet.pulling(candidate, p)]
    return [change for p in rest if (change := switch_node(fleet, p, stable)) is not None]


def _still_on_stable(fleet: Fleet, placed: Placed) -> bool:
    """It went offline before the candidate served there: deferred, for stable's pin goes only when it does."""
    return not placed.node.online and fleet.stable is not None and fleet.pinned(fleet.stable, placed)


def _may_switch(fleet: Fleet, placed: Placed) -> bool:
    """Online, and, where there is a stable revision, on it: serving, or in trouble that the candidate may cure."""
    if not placed.node.online or fleet.pinned_to_rejected(placed):
        return False
    if fleet.stable is None:
        return True
    if not fleet.pinned(fleet.stable, placed):
        return False
    return fleet.pod(fleet.stable, placed) is not None or any(
        pod.node == placed.node.name and pod.revision == fleet.stable and pod.trouble is not None
        for pod in fleet.observation.pods
    )


def _failures(
    fleet: Fleet, candidate: str, switched: list[Placed], started: datetime, now: datetime
) -> tuple[NodeFailure, ...]:
    pods, deadline = fleet.observation.pods, fleet.observation.spec.rollout.node_deadline
    found = [
        failure(p.node, pods, candidate, p.variant, _podless_since(fleet, candidate, p, started), deadline, now)
        for p in switched
    ]
    return tuple(item for item in found if item is not None)


def _podless_since(fleet: Fleet, candidate: str, placed: Placed, started: datetime) -> datetime:
    """Since when ``placed`` has had no pod of ``candidate``, if it has none: its wave, or the end of its last one."""
    return max(started, fleet.observation.pods_lost.get((placed.node.name, candidate, placed.variant), started))


def _served_since(pod: Pod, now: datetime) -> datetime:
    """The node's own clock says when the pod became ready: what is yet to come is not believed."""
    return pod.ready_since if pod.ready_since is not None and pod.ready_since <= now else pod.created


def _next_deadline(fleet: Fleet, candidate: str, trial: _Trial, now: datetime) -> datetime | None:
    pods, deadline = fleet.observation.pods, fleet.observation.spec.rollout.node_deadline
    pulling = [_puller(p) for p in trial.next_nodes if fleet.pulling(candidate, p)]
    on_trial = [*trial.switched, *pulling]
    times = [
        deadline_of(
            pods,
            p.node.name,
            candidate,
            p.variant,
            _podless_since(fleet, candidate, p, trial.started),
            deadline,
            now,
        )
        for p in on_trial
    ]
    return min((time for time in times if time is not None), default=None)


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
