"""The obstacles that keep a trial from beginning: one chain of checks, which the conditions and ``may_try`` share.

The first obstacle is the one that the conditions tell of.
"""

from collections.abc import Callable
from dataclasses import dataclass

from edge_operator.decide.artifact.compression import Artifact
from edge_operator.decide.memory import Rejection
from edge_operator.decide.observation import Observation
from edge_operator.decide.placement.host_ports import host_port_rivals
from edge_operator.decide.placement.selection import Placement
from edge_operator.decide.preflight.preflight import Preflight
from edgemodel import reasons


@dataclass(frozen=True)
class Prospect:
    """The facts about the target before it is decided whether it goes on trial."""

    observation: Observation
    target: str
    """The revision that the spec asks for, recorded or not."""
    artifact: Artifact
    placement: Placement
    stable: str | None
    rejected: dict[str, Rejection]
    """By revision."""
    preflight: Preflight


@dataclass(frozen=True)
class Obstacle:
    reason: str
    message: str
    stalled: bool
    """A person must act."""


Check = Callable[[Prospect], Obstacle | None]


def first_obstacle(prospect: Prospect) -> Obstacle | None:
    """Returns what keeps the target from being tried; None when nothing does."""
    found = (check(prospect) for check in CHAIN)
    return next((obstacle for obstacle in found if obstacle is not None), None)


def service_name_is_free(prospect: Prospect) -> Obstacle | None:
    observation = prospect.observation
    if not observation.service_name_conflict:
        return None
    message = f"a Service {observation.namespace}/{observation.name} is there that is not this EdgeModel's: rename one"
    return Obstacle(reasons.SERVICE_NAME_CONFLICT, message, stalled=True)


def host_port_is_free(prospect: Prospect) -> Obstacle | None:
    rivals = host_port_rivals(prospect.observation)
    if not rivals:
        return None
    port = prospect.observation.spec.serving.host_port
    message = f"serving.hostPort {port} is taken on shared nodes by {', '.join(rivals)}"
    return Obstacle(reasons.HOST_PORT_CONFLICT, message, stalled=True)


def target_is_not_rejected(prospect: Prospect) -> Obstacle | None:
    target, why = prospect.target, prospect.rejected.get(prospect.target)
    if why is None:
        return None
    stable = prospect.stable
    after = f"; stable is {stable}" if stable else "; there is no stable revision to go back to"
    reason = reasons.PREFLIGHT_FAILED if prospect.preflight.rejected(target) else reasons.ROLLED_BACK
    return Obstacle(reason, f"{target} rejected: {why.reason}: {why.message}{after}", stalled=True)


def artifact_is_recorded(prospect: Prospect) -> Obstacle | None:
    artifact = prospect.artifact
    return None if artifact.revision is not None else Obstacle(artifact.reason, artifact.message, artifact.stalled)


def there_are_nodes(prospect: Prospect) -> Obstacle | None:
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


def preflight_is_over(prospect: Prospect) -> Obstacle | None:
    preflight = prospect.preflight
    return None if preflight.done else Obstacle(preflight.reason, preflight.message, stalled=False)


CHAIN: tuple[Check, ...] = (
    service_name_is_free,
    host_port_is_free,
    target_is_not_rejected,
    artifact_is_recorded,
    there_are_nodes,
    preflight_is_over,
)
