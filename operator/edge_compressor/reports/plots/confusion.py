"""Labels against predictions: a heat map, each row shaded by the share of its samples.

64 classes make 4,096 cells, so cells of one shade are one path, and neighbours in a row one stroke of it.
"""

from collections.abc import Sequence
from typing import Final

from edge_compressor.reports.plots.svg import FAINT, GRID, INK, line, number, shortened, svg, text

MAX_NUMBERED: Final = 12
"""The number of classes up to which a cell has room for its count, and a row for its name."""
SIDE: Final = 360.0
_SHADES: Final = ("#e8f1fb", "#c9e0f6", "#a3caef", "#76afe3", "#4790d4", "#2272bd", "#0b559f", "#083b73")
_FLAWS: Final = ("#fdecea", "#fbd5d1", "#f6b2ab", "#ee8a80", "#e05d51", "#c8392d", "#a3231a", "#75140e")
"""The colors of the cells beside the diagonal."""
_MARGIN: Final = 112.0


def plot(confusion: Sequence[Sequence[int]], names: Sequence[str], title: str) -> str:
    """Returns the plot. ``confusion`` has a row per label and a column per prediction; ``names`` are by class and may
    be fewer."""
    classes = len(confusion)
    few = classes <= MAX_NUMBERED
    left, cell = (_MARGIN if few else 40.0), SIDE / max(1, classes)
    shades: dict[str, list[str]] = {}
    counts: list[str] = []
    for row, values in enumerate(confusion):
        total = sum(values) or 1
        for start, length, colour in _runs(row, values, total):
            shades.setdefault(colour, []).append(_cells(left + start * cell, 24 + row * cell, length * cell, cell))
        if few:
            counts += [_count(left, row, column, cell, value, total) for column, value in enumerate(values) if value]
    parts = [text(left, 15, f"{title}: columns are predictions", colour=FAINT)]
    parts += [f'<path fill="{colour}" d="{"".join(cells)}"/>' for colour, cells in sorted(shades.items())]
    parts += counts
    right, bottom = left + SIDE, 24 + SIDE
    parts += [line(left, y, right, y) for y in (24, bottom)] + [
        line(x, 24, x, bottom, colour=GRID) for x in (left, right)
    ]
    for place in range(0, classes, 1 if few else 8):
        middle = 24 + (place + 0.5) * cell
        called = names[place] if few and place < len(names) else str(place)
        parts.append(text(left - 6, middle + 5, shortened(called, 14), anchor="end"))
        parts.append(text(left + (place + 0.5) * cell, bottom + 18, str(place), anchor="middle"))
    return svg(bottom + 26, parts, title, width=right + 8)


def shade(share: float) -> int:
    """Returns a shade from 0 to 7 in equal steps of the root, so that rare errors are visible."""
    return min(len(_SHADES) - 1, int(share**0.5 * len(_SHADES)))


def _runs(row: int, values: Sequence[int], total: int) -> list[tuple[int, int, str]]:
    """Returns (first column, columns, colour) of adjacent cells of one colour, without empty cells."""
    found: list[tuple[int, int, str]] = []
    for column, value in enumerate(values):
        if not value:
            continue
        colour = (_SHADES if column == row else _FLAWS)[shade(value / total)]
        if found and found[-1][2] == colour and sum(found[-1][:2]) == column:
            found[-1] = (found[-1][0], found[-1][1] + 1, colour)
        else:
            found.append((column, 1, colour))
    return found


def _cells(x: float, y: float, width: float, height: float) -> str:
    return f"M{number(x)} {number(y)}h{number(width)}v{number(height)}h-{number(width)}z"


def _count(left: float, row: int, column: int, cell: float, value: int, total: int) -> str:
    colour = "#fff" if shade(value / total) > 3 else INK
    size = min(15.0, cell / max(2.4, 0.72 * len(str(value))))
    x, y = left + (column + 0.5) * cell, 24 + (row + 0.5) * cell + size / 3
    return text(x, y, str(value), anchor="middle", colour=colour, size=size)
