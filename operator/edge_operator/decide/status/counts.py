"""The numbers of nodes in status, and the conditions about them."""

from collections.abc import Iterable
from dataclasses import dataclass

from edge_operator.decide.pass_context import PassContext
from edge_operator.decide.placement.cells import Cell, CellFailure
from edge_operator.decide.placement.set_aside import SetAside
from edge_operator.decide.status.conditions import Condition
from edgemodel import reasons
from edgemodel.status import NodeCounts

MAX_NAMES = 20
MAX_TOLD = 5
"""The number of nodes of a kind that NodesPending names."""


@dataclass(frozen=True)
class PendingNodes:
    """The placed nodes that are not in their wanted state."""

    failed: tuple[str, ...]
    offline: tuple[SetAside, ...]
    """The offline nodes; the reason is empty unless they would also be set aside."""
    set_aside: tuple[SetAside, ...]
    """The online nodes that take no new pod, whether they serve or not."""


def find_pending(
    context: PassContext, failures: tuple[CellFailure, ...], podless: tuple[SetAside, ...]
) -> PendingNodes:
    """Returns the pending nodes by name. ``podless`` are the nodes for which no pod was made in time."""
    nodes = [(placed.node.online, SetAside(placed.node.name, placed.set_aside)) for placed in context.placement.placed]
    barred = {item.node: item for is_online, item in nodes if is_online and item.why}
    set_aside = {item.node: item for item in podless} | barred
    return PendingNodes(
        failed=tuple(member.node for failure in failures for member in failure.members),
        offline=tuple(sorted((item for is_online, item in nodes if not is_online), key=lambda item: item.node)),
        set_aside=tuple(item for _, item in sorted(set_aside.items())),
    )


def count_nodes(context: PassContext, pending: PendingNodes) -> NodeCounts:
    """Returns the numbers of nodes. A node serves if its whole cell does.

    One that serves both revisions, during a Surge, counts as the target's. One that is set aside but still serves
    counts as both.
    """
    fleet, target, stable = context.fleet, context.target, context.stable
    unsupported = [node.name for node in context.placement.unsupported]
    online = [cell for cell in context.cells if cell.is_online]
    on_target = _nodes_of(cell for cell in online if target != stable and fleet.serves(target, cell))
    on_stable = _nodes_of(cell for cell in online if stable and fleet.serves(stable, cell)) - on_target
    serving, selected = on_target | on_stable, len(context.placement.placed) + len(unsupported)
    idle = {item.node for item in pending.set_aside} - serving
    not_ready = {*(item.node for item in pending.offline), *pending.failed, *unsupported, *idle}
    return NodeCounts(
        selected=selected,
        stable=len(on_stable),
        candidate=len(on_target),
        offline=len(pending.offline),
        failed=len(pending.failed),
        unsupported=len(unsupported),
        set_aside=len(pending.set_aside),
        summary=f"{len(serving)}/{selected}",
        not_ready=tuple(sorted(not_ready)[:MAX_NAMES]),
    )


def _nodes_of(cells: Iterable[Cell]) -> set[str]:
    return {member.node.name for cell in cells for member in cell.members}


def available(counts: NodeCounts) -> Condition:
    """Returns the condition Available, which is true if any node serves."""
    serving = counts.stable + counts.candidate
    reason = reasons.SERVING if serving else reasons.NOT_SERVING
    return Condition("Available", serving > 0, reason, f"{serving} of {counts.selected} selected nodes serve")


def nodes_pending(pending: PendingNodes, counts: NodeCounts) -> list[Condition]:
    """Returns NodesPending if nodes are offline or set aside."""
    told = []
    if counts.offline:
        told.append(f"{counts.offline} of {counts.selected} offline: {_names(pending.offline)}")
    if counts.set_aside:
        told.append(f"{counts.set_aside} of {counts.selected} set aside: {_names(pending.set_aside)}")
    reason = reasons.NODES_OFFLINE if counts.offline else reasons.NODES_SET_ASIDE
    return [Condition("NodesPending", True, reason, "; ".join(told))] if told else []


def _names(nodes: tuple[SetAside, ...]) -> str:
    return ", ".join(str(item) for item in nodes[:MAX_TOLD])
