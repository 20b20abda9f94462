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
        return all(member.node.online for member in self.members)

    @property
    def is_available(self) -> bool:
        """Tells whether all members can take a pod now."""
        return all(member.is_available for member in self.members)


FormCells = Callable[[Placement, EdgeModelSpec], tuple[Cell, ...]]
"""A function that puts each placed node into exactly one cell, and returns the cells in the order in which they
switch."""


def form_cells(placement: Placement, spec: EdgeModelSpec) -> tuple[Cell, ...]:
    """Returns a cell for each placed node."""
    return tuple(Cell(placed.node.name, (placed,)) for placed in placement.placed)


def one_for_each_cell(cells: Iterable[Cell], failures: Iterable[NodeFailure]) -> dict[str, NodeFailure]:
    """Maps the name of each failed cell to the first failure of its members."""
    of_node = {failure.node: failure for failure in failures}
    found = {}
    for cell in cells:
        for member in cell.members:
            if member.node.name in of_node:
                found[cell.name] = of_node[member.node.name]
                break
    return found
