"""The conditions while no candidate is on trial, and why there is no trial."""

from edge_operator.decide.obstacles import first_obstacle
from edge_operator.decide.pass_context import PassContext
from edge_operator.decide.placement.cells import Cell, CellFailure
from edge_operator.decide.placement.pins import refused_at_rest
from edge_operator.decide.placement.set_aside import SetAside
from edge_operator.decide.refused_pods import SERVING_RESOURCES, explain
from edge_operator.decide.status import conditions as words
from edge_operator.decide.status.conditions import Condition
from edgemodel import reasons


def steady_state_conditions(
    context: PassContext, failures: tuple[CellFailure, ...], podless: tuple[SetAside, ...]
) -> list[Condition]:
    """Returns Ready, and Reconciling or Stalled if one of them is true.

    ``podless`` are the nodes for which no pod of stable was made in time.
    """
    obstacle = first_obstacle(context)
    if obstacle is None:
        return _serving(context, failures, podless)
    say = words.stalled if obstacle.stalled else words.reconciling
    return say(obstacle.reason, obstacle.message)


def _serving(context: PassContext, failures: tuple[CellFailure, ...], podless: tuple[SetAside, ...]) -> list[Condition]:
    """Returns the conditions of a served EdgeModel, which is Ready unless more than ``maxFailedNodes`` nodes failed."""
    fleet, target, limit = context.fleet, context.target, context.observation.spec.rollout.max_failed_nodes
    without = {item.node for item in podless}
    refused = [refusal for _, refusal in refused_at_rest(fleet, target) if refusal.is_final]
    if refused:
        told = explain(refused[0], SERVING_RESOURCES)
        return words.stalled(refused[0].reason, f"{target}: {len(refused)} nodes get no pod of it: {told}")
    set_aside = [cell for cell in fleet.cells if cell.is_online and _is_set_aside(cell, without)]
    online = [cell for cell in fleet.cells if cell.is_online and not _is_set_aside(cell, without)]
    of_online = f"{len(online)} online {fleet.unit(len(online))}"
    if len(failures) > limit:
        message = f"{target}: {failures[0].message}; {len(failures)} of {of_online} failed, limit {limit}"
        return words.stalled(reasons.NODES_FAILED, message)
    failed = {failure.cell for failure in failures}
    rest = [cell for cell in online if cell.name not in failed]
    waiting = [cell for cell in rest if not fleet.serves(target, cell)]
    unsettled = [
        cell for cell in rest if any(fleet.ours(item.node) - {fleet.pin(target, item)} for item in cell.members)
    ]
    if waiting:
        message = f"{target}: {len(waiting)} of {of_online} do not serve it yet{_trouble(context)}"
        return words.reconciling(reasons.NODES_CATCHING_UP, message)
    if unsettled:
        message = f"{target}: {len(unsettled)} of {of_online} still run one before it beside it"
        return words.reconciling(reasons.NODES_CATCHING_UP, message)
    serving = len(rest) + sum(fleet.serves(target, cell) for cell in set_aside)
    if set_aside and not serving and not failures:
        all_online = f"all {len(set_aside)} online {fleet.unit(len(set_aside))}"
        message = f"{target}: {all_online} are set aside, and none serves it: see NodesPending"
        return words.reconciling(reasons.NODES_SET_ASIDE, message)
    besides = f"; {fleet.counted(len(failures))} failed: {failures[0].message}" if failures else ""
    return words.ready(reasons.SERVING, f"{target} serves on {fleet.counted(serving)}{besides}")


def _is_set_aside(cell: Cell, without: set[str]) -> bool:
    """Returns whether a member is set aside, or among the nodes ``without`` a pod."""
    return not cell.is_available or any(member.node.name in without for member in cell.members)


def _trouble(context: PassContext) -> str:
    """Returns what keeps a pod of the target from being ready, if that is known."""
    pods = context.observation.pods
    troubled = [pod for pod in pods if pod.revision == context.target and pod.trouble is not None]
    first = min(troubled, key=lambda pod: pod.node, default=None)
    return f"; {first.node}: {first.trouble[0]}: {first.trouble[1]}" if first is not None and first.trouble else ""
