"""The obstacles that keep a trial from beginning: one chain of checks, which the conditions and ``may_try`` share.

The conditions report the first obstacle.
"""

from collections.abc import Callable
from dataclasses import dataclass

from edge_operator.decide.artifact.compression import Artifact
from edge_operator.decide.observation import Observation
from edge_operator.decide.placement.host_ports import host_port_rivals
from edge_operator.decide.placement.room import context_excess, limit_shortage, nodes_without_room, told
from edge_operator.decide.placement.selection import Placement
from edge_operator.decide.preflight.preflight import Preflight
from edgemodel import reasons
from edgemodel.caller_signature import breaking_changes
from edgemodel.status import RejectedRevision

MAX_CHANGES_TOLD = 6
"""The largest number of changes of a signature in one message."""


@dataclass(frozen=True)
class Prospect:
    """The facts about the target from which its obstacles follow."""

    observation: Observation
    target: str
    """The revision that the spec asks for, recorded or not."""
    artifact: Artifact
    placement: Placement
    stable: str | None
    rejected: dict[str, RejectedRevision]
    """The rejections by revision."""
    preflight: Preflight


@dataclass(frozen=True)
class Obstacle:
    """An obstacle, in the words of the condition Ready."""

    reason: str
    message: str
    stalled: bool
    """True if a person must act."""


Check = Callable[[Prospect], Obstacle | None]


def first_obstacle(prospect: Prospect) -> Obstacle | None:
    """Returns the first obstacle to a trial of the target; None if there is none."""
    found = (check(prospect) for check in CHAIN)
    return next((obstacle for obstacle in found if obstacle is not None), None)


def service_name_is_free(prospect: Prospect) -> Obstacle | None:
    """Returns an obstacle if a Service of another owner has the EdgeModel's name."""
    observation = prospect.observation
    if not observation.service_name_conflict:
        return None
    message = f"a Service {observation.namespace}/{observation.name} is there that is not this EdgeModel's: rename one"
    return Obstacle(reasons.SERVICE_NAME_CONFLICT, message, stalled=True)


def host_port_is_free(prospect: Prospect) -> Obstacle | None:
    """Returns an obstacle if an older EdgeModel has the host port on a shared node."""
    rivals = host_port_rivals(prospect.observation)
    if not rivals:
        return None
    port = prospect.observation.spec.serving.host_port
    message = f"serving.hostPort {port} is taken on shared nodes by {', '.join(rivals)}"
    return Obstacle(reasons.HOST_PORT_CONFLICT, message, stalled=True)


def target_is_not_rejected(prospect: Prospect) -> Obstacle | None:
    """Returns an obstacle if the target was rejected, by its preflight or by a rollback."""
    target, rejection = prospect.target, prospect.rejected.get(prospect.target)
    if rejection is None:
        return None
    stable = prospect.stable
    after = f"; stable is {stable}" if stable else "; there is no stable revision to go back to"
    reason = reasons.PREFLIGHT_FAILED if prospect.preflight.rejected(target) else reasons.ROLLED_BACK
    return Obstacle(reason, f"{target} rejected: {rejection.reason}: {rejection.why}{after}", stalled=True)


def artifact_is_recorded(prospect: Prospect) -> Obstacle | None:
    """Returns an obstacle while the target has no recorded revision."""
    artifact = prospect.artifact
    return None if artifact.revision is not None else Obstacle(artifact.reason, artifact.message, artifact.stalled)


def signature_is_accepted(prospect: Prospect) -> Obstacle | None:
    """Returns an obstacle unless the callers of stable can go on unchanged, or the spec accepts the new signature."""
    observation, target = prospect.observation, prospect.artifact.revision
    stable = observation.revision(prospect.stable)
    if target is None or stable is None or target.name == stable.name:
        return None
    new, old = target.spec.signature, stable.spec.signature
    if new is None or old is None or new.hash == observation.spec.rollout.accept_signature:
        return None
    changes = breaking_changes(old, new)
    if not changes:
        return None
    more = f"; and {len(changes) - MAX_CHANGES_TOLD} more" if len(changes) > MAX_CHANGES_TOLD else ""
    message = (
        f"{target.name} would break callers of {stable.name}, which serves on: "
        f"{'; '.join(changes[:MAX_CHANGES_TOLD])}{more}. "
        f"Change the model, or accept it: spec.rollout.acceptSignature: {new.hash}"
    )
    return Obstacle(reasons.SIGNATURE_CHANGED, message, stalled=True)


def there_are_nodes(prospect: Prospect) -> Obstacle | None:
    """Returns an obstacle if no node is selected, or no selected one has an architecture with an image."""
    observation, unsupported = prospect.observation, prospect.placement.unsupported
    if prospect.placement.placed:
        return None
    selector = ",".join(f"{key}={value}" for key, value in sorted(observation.spec.node_selector.items()))
    if unsupported:
        found = ", ".join(sorted({node.architecture for node in unsupported}))
        have = ", ".join(observation.settings.supported_architectures)
        message = f"every node that {selector} selects is {found}; images exist for {have}"
        return Obstacle(reasons.UNSUPPORTED_ARCHITECTURE, message, stalled=True)
    message = f"placement.nodeSelector {selector} matches no node"
    return Obstacle(reasons.NO_MATCHING_NODES, message, stalled=True)


def server_fits_its_limits(prospect: Prospect) -> Obstacle | None:
    """Returns an obstacle if servers of the target would end because of their limits, before they load anything."""
    target = prospect.artifact.revision
    if target is None or target.name == prospect.stable:
        return None
    if excess := context_excess(target):
        return Obstacle(reasons.INVALID_SPEC, f"{target.name}: {excess}", stalled=True)
    if shortage := limit_shortage(prospect.observation, target):
        return Obstacle(reasons.INSUFFICIENT_MEMORY, f"{target.name}: {shortage}", stalled=True)
    return None


def nodes_have_room(prospect: Prospect) -> Obstacle | None:
    """Returns an obstacle if more nodes than may fail cannot hold a server of the target, with ``Surge`` beside that of
    stable."""
    observation, target = prospect.observation, prospect.artifact.revision
    if target is None or target.name == prospect.stable:
        return None
    stable = observation.revision(prospect.stable)
    lacking = nodes_without_room(observation, target, stable, prospect.placement.placed)
    if len(lacking) <= observation.spec.rollout.max_failed_nodes:
        return None
    beside = any(one.besides for one in lacking)
    cure = "set spec.serving.strategy: Recreate, " if beside else ""
    message = (
        f"{len(lacking)} of {len(prospect.placement.placed)} nodes lack the memory for {target.name}: {told(lacking)}: "
        f"{cure}lower spec.serving.resources.requests.memory or the limits of spec.serving.generate, or take these "
        "nodes out of spec.placement"
    )
    return Obstacle(reasons.INSUFFICIENT_MEMORY, message, stalled=True)


def preflight_is_over(prospect: Prospect) -> Obstacle | None:
    """Returns an obstacle while a hardware class waits for its measurement."""
    preflight = prospect.preflight
    return (
        None
        if preflight.done
        else Obstacle(preflight.reason, preflight.message, stalled=preflight.reason == reasons.POD_REFUSED)
    )


CHAIN: tuple[Check, ...] = (
    service_name_is_free,
    host_port_is_free,
    target_is_not_rejected,
    artifact_is_recorded,
    signature_is_accepted,
    there_are_nodes,
    server_fits_its_limits,
    nodes_have_room,
    preflight_is_over,
)
