"""The host port of a node, which the oldest of the EdgeModels that want it gets."""

from edge_operator.decide.observation import HostPortClaim, Observation
from edge_operator.decide.placement.selection import matches


def host_port_rivals(observation: Observation) -> tuple[str, ...]:
    """Returns ``namespace/name`` of the older EdgeModels with the same ``serving.hostPort`` on a shared node."""
    if not observation.host_port_claims:
        return ()
    mine = [node for node in observation.nodes if matches(observation.spec.node_selector, node.labels)]
    older = (claim for claim in observation.host_port_claims if _is_older(claim, observation))
    return tuple(
        f"{claim.namespace}/{claim.name}"
        for claim in older
        if any(matches(claim.node_selector, node.labels) for node in mine)
    )


def _is_older(claim: HostPortClaim, observation: Observation) -> bool:
    return (claim.created, claim.uid) < (observation.created, observation.uid)
