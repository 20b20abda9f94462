"""What the conditions say while no candidate is on trial, and why there is no trial."""

from edge_operator.decide.context import PassContext
from edge_operator.decide.placement.host_ports import host_port_rivals
from edge_operator.decide.placement.node_health import NodeFailure
from edge_operator.decide.status import conditions as words
from edge_operator.decide.status.conditions import Condition
from edgemodel import reasons


def steady_state_conditions(context: PassContext, failures: tuple[NodeFailure, ...]) -> list[Condition]:
    """Ready, and Reconciling or Stalled where one of them is true."""
    observation, artifact, memory, target = (
        context.observation,
        context.artifact,
        context.memory,
        context.target,
    )
    if observation.service_name_conflict:
        message = (
            f"a Service {observation.namespace}/{observation.name} is there that is not this EdgeModel's: rename one"
        )
        return words.stalled(reasons.SERVICE_NAME_CONFLICT, message)
    if host_port_rivals(observation):
        port, others = observation.spec.serving.host_port, ", ".join(host_port_rivals(observation))
        message = f"serving.hostPort {port} is taken on shared nodes by {others}"
        return words.stalled(reasons.HOST_PORT_CONFLICT, message)
    if target in memory.rejected:
        why = memory.rejected[target]
        after = f"; stable is {memory.stable}" if memory.stable else "; there is no stable revision to go back to"
        reason = reasons.PREFLIGHT_FAILED if context.preflight.rejected(target) else reasons.ROLLED_BACK
        return words.stalled(reason, f"{target} rejected: {why['reason']}: {why['message']}{after}")
    if artifact.revision is None:
        make = words.stalled if artifact.stalled else words.reconciling
        return make(artifact.reason, artifact.message)
    if not context.placement.placed:
        return _nowhere(context)
    if not context.preflight.done:
        return words.reconciling(context.preflight.reason, context.preflight.message)
    return _serving(context, failures)


def _serving(context: PassContext, failures: tuple[NodeFailure, ...]) -> list[Condition]:
    """Nodes that failed do not keep it from being Ready unless they are more than ``maxFailedNodes``."""
    fleet, target, limit = context.fleet, context.target, context.observation.spec.rollout.max_failed_nodes
    online = [placed for placed in context.placement.placed if placed.node.online]
    if len(failures) > limit:
        message = (
            f"{target}: {failures[0].message}; {len(failures)} of {len(online)} online nodes failed, limit {limit}"
        )
        return words.stalled(reasons.NODES_FAILED, message)
    failed = {failure.node for failure in failures}
    rest = [placed for placed in online if placed.node.name not in failed]
    waiting = [placed for placed in rest if fleet.pod(target, placed) is None]
    unsettled = [placed for placed in rest if fleet.ours(placed.node) - {fleet.pin(target, placed)}]
    if waiting:
        message = f"{target}: {len(waiting)} of {len(online)} online nodes do not serve it yet{_trouble(context)}"
        return words.reconciling(reasons.NODES_CATCHING_UP, message)
    if unsettled:
        message = f"{target}: {len(unsettled)} of {len(online)} online nodes still run one before it beside it"
        return words.reconciling(reasons.NODES_CATCHING_UP, message)
    besides = f"; {len(failures)} failed: {failures[0].message}" if failures else ""
    return words.ready(reasons.SERVING, f"{target} serves on {len(rest)} nodes{besides}")


def _trouble(context: PassContext) -> str:
    """What keeps one of the target's pods from being ready, if that is known."""
    pods = context.observation.pods
    troubled = [pod for pod in pods if pod.revision == context.target and pod.trouble is not None]
    first = min(troubled, key=lambda pod: pod.node, default=None)
    return f"; {first.node}: {first.trouble[0]}: {first.trouble[1]}" if first is not None and first.trouble else ""


def _nowhere(context: PassContext) -> list[Condition]:
    observation, unsupported = context.observation, context.placement.unsupported
    selector = ",".join(f"{key}={value}" for key, value in sorted(observation.spec.node_selector.items()))
    if unsupported:
        found = ", ".join(sorted({node.architecture for node in unsupported}))
        have = ", ".join(observation.settings.supported_architectures)
        message = f"every node that {selector} selects is {found}; images exist for {have}"
        return words.stalled(reasons.UNSUPPORTED_ARCHITECTURE, message)
    return words.stalled(reasons.NO_MATCHING_NODES, f"placement.nodeSelector {selector} matches no node")
