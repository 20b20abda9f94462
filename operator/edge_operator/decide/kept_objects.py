"""The objects that a pass keeps in existence, and those that it deletes."""

from edge_operator.decide.actions import (
    Action,
    DeleteDaemonSet,
    DeleteRevision,
    EnsureDaemonSet,
    EnsureNetworkPolicies,
    EnsureReplaySecret,
    EnsureService,
    RecordVerdict,
)
from edge_operator.decide.observation import Observation, Revision
from edge_operator.decide.pass_context import PassContext
from edgemodel import reasons
from edgemodel.names import daemonset_name, puller_of
from edgemodel.verdict import Verdict

Wanted = dict[str, tuple[Revision, str]]
"""The (revision, variant) of each wanted DaemonSet, by its name."""


def upkeep(context: PassContext, candidate: str | None) -> tuple[list[Action], list[Action]]:
    """Returns the actions before the pins change, for objects that must exist first, and those after: verdicts and
    garbage.

    ``candidate`` is the target while it is on trial.
    """
    observation = context.observation
    live = _live_revisions(context, candidate)
    wanted = _wanted_daemonsets(observation, live)
    garbage = _garbage(observation, wanted, {*live, context.target})
    serving = observation.revision(context.stable) or observation.revision(context.target)
    return _objects(observation, wanted, serving), [*_verdicts(context), *garbage]


def _live_revisions(context: PassContext, candidate: str | None) -> list[str]:
    """Returns stable, the candidate, and the revisions that nodes are still pinned to."""
    fleet = context.fleet
    pinned = {fleet.known_pins[pin][0] for node in fleet.observation.nodes for pin in fleet.ours(node)}
    return sorted({name for name in (context.stable, candidate, *pinned) if name})


def _wanted_daemonsets(observation: Observation, live: list[str]) -> Wanted:
    """Returns a DaemonSet for each variant of each live revision; with Recreate also its puller."""
    wanted: Wanted = {}
    for revision in (found for name in live if (found := observation.revision(name)) is not None):
        for variant in (item.name for item in revision.spec.variants):
            wanted[daemonset_name(revision.name, variant)] = (revision, variant)
            if revision.spec.serving.strategy == "Recreate":
                wanted[daemonset_name(revision.name, puller_of(variant))] = (revision, puller_of(variant))
    return wanted


def _objects(observation: Observation, wanted: Wanted, serving: Revision | None) -> list[Action]:
    """Returns the objects to create. DaemonSets are immutable: existing ones are left alone, so that an upgrade of the
    operator starts no rollout."""
    have = {item.name for item in observation.applied if item.kind == "DaemonSet"}
    missing = [(revision, variant) for name, (revision, variant) in wanted.items() if name not in have]
    actions: list[Action] = []
    if any(revision.spec.serving.shadow_replay is not None for revision, _ in missing):
        actions.append(EnsureReplaySecret())
    actions += [EnsureDaemonSet(revision, variant) for revision, variant in missing]
    if wanted and serving is not None and not observation.service_name_conflict:
        actions.append(EnsureService(serving.spec.serving.port))
    actions.append(EnsureNetworkPolicies())
    return actions


def _verdicts(context: PassContext) -> list[Action]:
    """Returns the verdicts on stable and on rejected revisions that are not recorded yet."""
    ended = {name: (Verdict.FAIL, rejection.reason, rejection.why) for name, rejection in context.rejected.items()}
    if context.stable is not None:
        ended[context.stable] = (Verdict.PASS, reasons.PROMOTED, "it went through all waves and became stable")
    return [
        RecordVerdict(revision.name, *ended[revision.name])
        for revision in context.observation.revisions
        if revision.name in ended and revision.verdict != ended[revision.name][0]
    ]


def _garbage(observation: Observation, wanted: Wanted, keep: set[str]) -> list[Action]:
    """Returns the deletions of DaemonSets that no node runs, and of revisions beyond ``revisionHistoryLimit``."""
    stale = [a.name for a in observation.applied if a.kind == "DaemonSet" and a.name not in wanted]
    history = sorted((r for r in observation.revisions if r.name not in keep), key=lambda r: r.created, reverse=True)
    beyond = history[observation.spec.revision_history_limit :]
    return [*(DeleteDaemonSet(name) for name in stale), *(DeleteRevision(revision.name) for revision in beyond)]
