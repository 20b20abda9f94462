"""One pass for one EdgeModel: gather what the parts decide into a status to write and actions to take."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from edgemodel import reasons
from edgemodel.names import daemonset_name, puller_of
from edgemodel.verdict import Verdict

from edge_operator.decide import status as words
from edge_operator.decide.actions import (
    Action,
    DeleteDaemonSet,
    DeleteRevision,
    EnsureDaemonSet,
    EnsureNetworkPolicies,
    EnsureService,
    RecordVerdict,
)
from edge_operator.decide.artifact import Artifact, decide_artifact, target_name
from edge_operator.decide.observation import Observation, Revision
from edge_operator.decide.placement import Placement, place
from edge_operator.decide.rollout import Fleet, Move, Step, decide_rollout, roll_back, settle, unplace
from edge_operator.decide.status import Condition, NodeCounts


@dataclass(frozen=True)
class Decision:
    """``status`` is written first, then the actions are taken in order; ``wake_at``: look again then at the latest."""

    status: dict[str, Any]
    actions: tuple[Action, ...]
    wake_at: datetime | None


def decide(observation: Observation, now: datetime) -> Decision:
    """The whole of one pass. Deterministic: the same observation and time give the same decision."""
    target = target_name(observation)
    memory = _Memory.of(observation)
    placement = place(observation, target)
    artifact = decide_artifact(observation, now)
    fleet = Fleet.of(observation, placement, memory.stable, frozenset(memory.rejected))

    if (
        artifact.revision is None
        or target in memory.rejected
        or target == memory.stable
        or _misplaced(observation, placement)
    ):
        return _rest(observation, fleet, artifact, memory, target, now)
    return _on_trial(observation, fleet, artifact, memory, target, now)


@dataclass(frozen=True)
class _Memory:
    """What status remembers because the world forgets it."""

    stable: str | None
    rejected: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, observation: Observation) -> "_Memory":
        rejected = {item["name"]: item for item in observation.status.get("rejectedRevisions") or ()}
        stable = observation.status.get("stableRevision")
        return cls(stable if observation.revision(stable) else None, rejected)


def _misplaced(observation: Observation, placement: Placement) -> bool:
    return not placement.placed or bool(observation.host_port_rivals)


def _on_trial(
    observation: Observation, fleet: Fleet, artifact: Artifact, memory: _Memory, target: str, now: datetime
) -> Decision:
    step = decide_rollout(fleet, target, now)
    if step.move is Move.ROLL_BACK:
        rejection = {
            "name": target,
            "reason": step.reason,
            "message": step.message[: words.MESSAGE_MAX],
            "time": words.timestamp(now),
        }
        memory = replace(memory, rejected={**memory.rejected, target: rejection})
        fleet = Fleet.of(observation, fleet.placement, memory.stable, frozenset(memory.rejected))
        return _rest(observation, fleet, artifact, memory, target, now, step.failures, roll_back(fleet, target))
    if step.move is Move.PROMOTE:
        memory = replace(memory, stable=target)
        fleet = Fleet.of(observation, fleet.placement, target, fleet.rejected)
        return _rest(observation, fleet, artifact, memory, target, now, step.failures)
    counts = _count(observation, fleet, target, step.failures)
    conditions = words.reconciling(step.reason, step.message)
    previous = observation.status.get("rollout") or {}
    same = observation.status.get("candidateRevision") == target
    rollout = {
        "wave": step.wave,
        "waveName": observation.spec.rollout.waves[step.wave].name,
        "waves": len(observation.spec.rollout.waves),
        "startedAt": previous.get("startedAt", words.timestamp(now)) if same else words.timestamp(now),
        "waveStartedAt": words.timestamp(step.wave_started or now),
        "reason": step.reason,
    }
    return _decision(
        observation,
        fleet,
        artifact,
        memory,
        target,
        counts,
        conditions,
        (*unplace(fleet), *step.pins),
        now,
        rollout,
        step,
    )


def _rest(
    observation: Observation,
    fleet: Fleet,
    artifact: Artifact,
    memory: _Memory,
    target: str,
    now: datetime,
    failures: tuple[Any, ...] = (),
    pins: tuple[Any, ...] = (),
) -> Decision:
    """No candidate is on trial: every node settles on stable, and the conditions say why there is no trial."""
    if not pins:
        pins = settle(fleet, memory.stable) if memory.stable else roll_back_all(fleet)
    counts = _count(observation, fleet, target, failures)
    conditions = _resting_conditions(observation, fleet, artifact, memory, target, counts)
    return _decision(observation, fleet, artifact, memory, target, counts, conditions, (*unplace(fleet), *pins), now)


def roll_back_all(fleet: Fleet) -> tuple[Any, ...]:
    """With no stable revision to settle on, rejected ones still have to go."""
    return tuple(change for name in sorted(fleet.rejected) for change in roll_back(fleet, name))


def _resting_conditions(
    observation: Observation, fleet: Fleet, artifact: Artifact, memory: _Memory, target: str, counts: NodeCounts
) -> list[Condition]:
    if observation.host_port_rivals:
        port = observation.spec.serving.host_port
        others = ", ".join(observation.host_port_rivals)
        return words.stalled(
            reasons.HOST_PORT_CONFLICT, f"serving.hostPort {port} is taken on shared nodes by {others}"
        )
    if artifact.revision is None:
        make = words.stalled if artifact.stalled else words.reconciling
        return make(artifact.reason, artifact.message)
    if target in memory.rejected:
        why = memory.rejected[target]
        after = f"; stable is {memory.stable}" if memory.stable else "; there is no stable revision to go back to"
        return words.stalled(reasons.ROLLED_BACK, f"{target} rejected: {why['reason']}: {why['message']}{after}")
    if not fleet.placement.placed:
        return _nowhere(observation, fleet)
    online = [p for p in fleet.placement.placed if p.node.online]
    serving = [p for p in online if fleet.pod(target, p)]
    settled = all(not (fleet.ours(p.node) - {fleet.pin(target, p)}) for p in online)
    if len(serving) < len(online) or not settled:
        waiting = len(online) - len(serving)
        message = f"{target}: {waiting} of {len(online)} online nodes do not serve it yet{_trouble(fleet, target)}"
        return words.reconciling(reasons.NODES_CATCHING_UP, message)
    return words.ready(reasons.SERVING, f"{target} serves on {len(serving)} nodes")


def _trouble(fleet: Fleet, revision: str) -> str:
    """What keeps one of its pods from being ready, if that is known."""
    troubled = [pod for pod in fleet.observation.pods if pod.revision == revision and pod.trouble is not None]
    first = min(troubled, key=lambda pod: pod.node, default=None)
    return f"; {first.node}: {first.trouble[0]}: {first.trouble[1]}" if first is not None and first.trouble else ""


def _nowhere(observation: Observation, fleet: Fleet) -> list[Condition]:
    selector = ",".join(f"{key}={value}" for key, value in sorted(observation.spec.node_selector.items()))
    if fleet.placement.unsupported:
        found = ", ".join(sorted({node.architecture for node in fleet.placement.unsupported}))
        have = ", ".join(observation.settings.supported_architectures)
        message = f"every node that {selector} selects is {found}; images exist for {have}"
        return words.stalled(reasons.UNSUPPORTED_ARCHITECTURE, message)
    return words.stalled(reasons.NO_MATCHING_NODES, f"placement.nodeSelector {selector} matches no node")


def _count(observation: Observation, fleet: Fleet, target: str, failures: tuple[Any, ...]) -> NodeCounts:
    placed = fleet.placement.placed
    offline = [p.node.name for p in placed if not p.node.online]
    serves_stable = [p for p in placed if fleet.stable and p.node.online and fleet.pod(fleet.stable, p)]
    serves_target = [p for p in placed if target != fleet.stable and p.node.online and fleet.pod(target, p)]
    both = [p for p in serves_target if p in serves_stable]
    failed = [item.node for item in failures]
    return NodeCounts(
        selected=len(placed) + len(fleet.placement.unsupported),
        stable=len(serves_stable) - len(both),
        candidate=len(serves_target),
        offline=len(offline),
        failed=len(failed),
        unmatched=len(fleet.placement.unsupported),
        samples=tuple(sorted({*offline, *failed, *(node.name for node in fleet.placement.unsupported)})),
    )


def _decision(
    observation: Observation,
    fleet: Fleet,
    artifact: Artifact,
    memory: _Memory,
    target: str,
    counts: NodeCounts,
    conditions: list[Condition],
    pins: tuple[Action, ...],
    now: datetime,
    rollout: dict[str, Any] | None = None,
    step: Step | None = None,
) -> Decision:
    conditions = [
        *conditions,
        _available(counts),
        Condition("ArtifactReady", artifact.revision is not None, artifact.reason, artifact.message),
        *_nodes_pending(counts),
    ]
    shown = artifact.revision or observation.revision(memory.stable)
    on_trial = target if rollout is not None else None
    status: dict[str, Any] = {
        "observedGeneration": observation.generation,
        "stableRevision": memory.stable,
        "candidateRevision": on_trial,
        "rejectedRevisions": sorted(memory.rejected.values(), key=lambda item: str(item["time"]))[
            -words.MAX_REJECTED :
        ],
        "artifacts": _artifacts(shown),
        "checks": list(artifact.checks) or _checks(artifact.revision),
        "nodes": counts.to_json(),
        "rollout": rollout,
        "conditions": words.merge_conditions(
            observation.status.get("conditions") or [], conditions, observation.generation, now
        ),
    }
    live = _live_revisions(fleet, memory, on_trial)
    wanted = _wanted_daemonsets(observation, live)
    actions = (
        *artifact.actions,
        *_objects(observation, wanted),
        *pins,
        *_verdicts(observation, memory),
        *_garbage(observation, wanted, {*live, target}),
    )
    wakes = [time for time in (artifact.wake_at, step.wake_at if step else None) if time is not None]
    return Decision(status, actions, min(wakes, default=None))


def _verdicts(observation: Observation, memory: _Memory) -> list[Action]:
    """What the rollouts of stable and of the rejected revisions came to, where the revision does not say so yet."""
    ended = {name: (Verdict.FAIL, str(why["reason"]), str(why["message"])) for name, why in memory.rejected.items()}
    if memory.stable is not None:
        ended[memory.stable] = (Verdict.PASS, reasons.PROMOTED, "it went through all waves and became stable")
    return [
        RecordVerdict(revision.name, *ended[revision.name])
        for revision in observation.revisions
        if revision.name in ended and revision.verdict != ended[revision.name][0]
    ]


def _available(counts: NodeCounts) -> Condition:
    serving = counts.stable + counts.candidate
    reason = reasons.SERVING if serving else reasons.NOT_SERVING
    return Condition("Available", serving > 0, reason, f"{serving} of {counts.selected} selected nodes serve")


def _nodes_pending(counts: NodeCounts) -> list[Condition]:
    if not counts.offline:
        return []
    names = ", ".join(counts.samples[:5])
    return [
        Condition(
            "NodesPending", True, reasons.NODES_OFFLINE, f"{counts.offline} of {counts.selected} offline: {names}"
        )
    ]


def _artifacts(revision: Revision | None) -> list[dict[str, Any]]:
    if revision is None:
        return []
    return [
        {
            "variant": variant["name"],
            "image": variant["image"],
            **{key: value for key, value in variant["artifact"].items() if key != "checks"},
        }
        for variant in revision.spec["variants"]
    ]


def _checks(revision: Revision | None) -> list[dict[str, Any]]:
    if revision is None:
        return []
    return [check for variant in revision.spec["variants"] for check in variant["artifact"].get("checks", ())][:20]


def _live_revisions(fleet: Fleet, memory: _Memory, candidate: str | None) -> list[str]:
    """Stable, the candidate, and what a node is still pinned to."""
    pinned = {fleet.known_pins[pin][0] for node in fleet.observation.nodes for pin in fleet.ours(node)}
    return sorted({name for name in (memory.stable, candidate, *pinned) if name})


Wanted = dict[str, tuple[Revision, str]]
"""DaemonSet name -> (revision, variant)."""


def _wanted_daemonsets(observation: Observation, live: list[str]) -> Wanted:
    """One for each variant of each live revision; with Recreate a puller beside it."""
    wanted: Wanted = {}
    for revision in (found for name in live if (found := observation.revision(name)) is not None):
        for variant in (item["name"] for item in revision.spec["variants"]):
            wanted[daemonset_name(revision.name, variant)] = (revision, variant)
            if observation.spec.serving.strategy == "Recreate":
                wanted[daemonset_name(revision.name, puller_of(variant))] = (revision, puller_of(variant))
    return wanted


def _objects(observation: Observation, wanted: Wanted) -> list[Action]:
    """What must exist. DaemonSets are immutable: an existing one is left alone, so an upgrade starts no rollout."""
    have = {item.name for item in observation.applied if item.kind == "DaemonSet"}
    tolerations = observation.spec.tolerations
    missing = [(revision, variant) for name, (revision, variant) in wanted.items() if name not in have]
    actions: list[Action] = [EnsureDaemonSet(revision, variant, tolerations) for revision, variant in missing]
    if wanted:
        actions.append(EnsureService(observation.spec.serving.port))
    actions.append(EnsureNetworkPolicies())
    return actions


def _garbage(observation: Observation, wanted: Wanted, keep: set[str]) -> list[Action]:
    """DaemonSets of revisions that nobody runs, and revisions beyond ``revisionHistoryLimit``."""
    stale = [a.name for a in observation.applied if a.kind == "DaemonSet" and a.name not in wanted]
    history = sorted((r for r in observation.revisions if r.name not in keep), key=lambda r: r.created, reverse=True)
    beyond = history[observation.spec.revision_history_limit :]
    return [*(DeleteDaemonSet(name) for name in stale), *(DeleteRevision(revision.name) for revision in beyond)]
