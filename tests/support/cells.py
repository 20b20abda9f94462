"""Cells of several nodes, as a kind of model that spans nodes would form them."""

import re

from edge_operator.decide.placement.cells import Cell, FormCells
from edge_operator.decide.placement.selection import Placed, Placement
from edgemodel.spec import EdgeModelSpec


def cell_of(node: str, size: int) -> str:
    """Returns the cell of a node: with a size of 3, camera-1 to camera-3 are in the first, however many exist."""
    number = int(re.sub(r"\D", "", node))
    return f"cell-{(number - 1) // size}"


def cells_of(size: int) -> FormCells:
    """Returns a rule by which up to ``size`` neighbours are one cell."""

    def form(placement: Placement, spec: EdgeModelSpec) -> tuple[Cell, ...]:
        members: dict[str, list[Placed]] = {}
        for placed in placement.placed:
            members.setdefault(cell_of(placed.node.name, size), []).append(placed)
        return tuple(Cell(name, tuple(found)) for name, found in members.items())

    return form
