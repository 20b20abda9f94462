"""The numbers of nodes in status, and the conditions that tell of them."""

from edge_operator.decide.context import PassContext
from edge_operator.decide.placement.node_health import NodeFailure
from edge_operator.decide.status.conditions import Condition
from edgemodel import reasons
from edgemodel.status import NodeCounts

MAX_NAMES = 20
MAX_OFFLINE_NAMES = 5


def count_nodes(context: PassContext, failures: tuple[NodeFailure, ...]) -> NodeCounts:
    """Counts cells. One that serves both revisions, in the middle of a Surge, counts as the target's."""
    fleet, target, stable = context.fleet, context.target, context.stable
    unsupported = [node.name for node in context.placement.unsupported]
    online = [cell for cell in context.cells if cell.is_online]
    on_target = {cell.name for cell in online if target != stable and fleet.serves(target, cell)}
    on_stable = [cell for cell in online if stable and cell.name not in on_target and fleet.serves(stable, cell)]
    failed = [failure.node for failure in failures]
    selected = len(context.cells) + len(unsupported)
    return NodeCounts(
        selected=selected,
        stable=len(on_stable),
        candidate=len(on_target),
        offline=len(context.cells) - len(online),
        failed=len(failed),
        unsupported=len(unsupported),
        summary=f"{len(on_stable) + len(on_target)}/{selected}",
        not_ready=tuple(sorted({*_offline(context), *failed, *unsupported})[:MAX_NAMES]),
    )


def available(counts: NodeCounts) -> Condition:
    serving = counts.stable + counts.candidate
    reason = reasons.SERVING if serving else reasons.NOT_SERVING
    return Condition("Available", serving > 0, reason, f"{serving} of {counts.selected} selected nodes serve")


def nodes_pending(context: PassContext, counts: NodeCounts) -> list[Condition]:
    """Returns NodesPending where nodes are offline, else nothing."""
    if not counts.offline:
        return []
    names = ", ".join(sorted(_offline(context))[:MAX_OFFLINE_NAMES])
    message = f"{counts.offline} of {counts.selected} offline: {names}"
    return [Condition("NodesPending", True, reasons.NODES_OFFLINE, message)]


def _offline(context: PassContext) -> list[str]:
    return [placed.node.name for placed in context.placement.placed if not placed.node.online]
