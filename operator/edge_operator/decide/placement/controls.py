"""The controls: cells that stay on stable until the bake is through, and show what changes without the candidate."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from math import inf

from edge_operator.decide.placement.cells import Cell

Variants = tuple[str, ...]
"""The variants of a cell's members, each once."""


def choose_controls(
    untried: Sequence[Cell], on_trial: Sequence[Cell], number: int, variants_of: Callable[[Cell], Variants]
) -> tuple[Cell, ...]:
    """Returns the controls among ``untried``, at most ``number``; of each variant they are the last in its order.

    No cell goes back from the candidate, so those that are ``on_trial`` are none. Each variant keeps a cell for the
    waves: no artifact is served for the first time after the bake. Each gets a control if it can, and the others are
    apportioned by Adams's method (M. L. Balinski and H. P. Young, *Fair Representation*, 1982), which goes by all cells
    of a variant, so that the choice stays the same from wave to wave.
    """
    waiting: dict[Variants, list[Cell]] = {}
    for cell in untried:
        waiting.setdefault(variants_of(cell), []).append(cell)
    tried = Counter(map(variants_of, on_trial))
    most = {kind: len(cells) - (0 if tried[kind] else 1) for kind, cells in waiting.items()}
    chosen: Counter[Variants] = Counter()

    def claim(kind: Variants) -> tuple[float, int, Variants]:
        count = tried[kind] + len(waiting[kind])
        return (count / chosen[kind] if chosen[kind] else inf), count, kind

    for _ in range(min(number, sum(most.values()))):
        chosen[max((kind for kind in waiting if chosen[kind] < most[kind]), key=claim)] += 1
    names = {cell.name for kind, cells in waiting.items() for cell in cells[len(cells) - chosen[kind] :]}
    return tuple(cell for cell in untried if cell.name in names)


def was_control(pod_created: datetime, released: datetime | None, bake: timedelta) -> bool:
    """Returns whether a node whose pod of the candidate was created then was a control before.

    The controls were ``released`` after the bake, for all of which the pods of the waves existed: the clock of the API
    server may differ from ours by half of it.
    """
    return released is not None and pod_created >= released - bake / 2
