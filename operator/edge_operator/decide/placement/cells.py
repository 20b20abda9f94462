"""The unit that switches: nodes of which all or none run a revision.

Today every cell is one node. A kind of model that spans several nodes will form other cells, here.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edge_operator.decide.placement.node_health import NodeFailure
from edge_operator.decide.placement.selection import Placed, Placement
from edgemodel.spec import EdgeModelSpec


@dataclass(frozen=True)
class Cell:
    """A cell of one or more nodes. It serves if all its members do, and is lost or has failed if one of them is or
    has."""

    name: str
    members: tuple[Placed, ...]

    @property
    def is_online(self) -> bool:
        """Returns whether all members are online."""
        return all(member.node.online for member in self.members)

    @property
    def is_available(self) -> bool:
        """Returns whether all members can take a pod now."""
        return all(member.is_available for member in self.members)


FormCells = Callable[[Placement, EdgeModelSpec], tuple[Cell, ...]]
"""A function that puts each placed node into exactly one cell, and returns the cells in the order in which they
switch."""


def form_cells(placement: Placement, spec: EdgeModelSpec) -> tuple[Cell, ...]:
    """Returns a cell for each placed node."""
    return tuple(Cell(placed.node.name, (placed,)) for placed in placement.placed)


def unit_of(cells: Iterable[Cell], number: int) -> str:
    """Returns the unit of ``cells`` in messages: nodes, or cells if some of them have several members."""
    unit = "cell" if any(len(cell.members) > 1 for cell in cells) else "node"
    return unit if number == 1 else f"{unit}s"


@dataclass(frozen=True)
class CellFailure:
    """A cell that has failed. ``reason`` and ``message`` are those of its first member that has."""

    cell: str
    members: tuple[NodeFailure, ...]
    """The failures of members, at least one."""

    @property
    def reason(self) -> str:
        """Returns the reason of the first failed member."""
        return self.members[0].reason

    @property
    def message(self) -> str:
        """Returns the message of the first failed member."""
        return self.members[0].message


def failed_cells(cells: Iterable[Cell], failures: Iterable[NodeFailure]) -> tuple[CellFailure, ...]:
    """Returns the cells with a member among ``failures``, in their order."""
    of_node = {failure.node: failure for failure in failures}
    if not of_node:
        return ()
    found = []
    for cell in cells:
        members = tuple(of_node[item.node.name] for item in cell.members if item.node.name in of_node)
        if members:
            found.append(CellFailure(cell.name, members))
    return tuple(found)
