"""The loss of each class: a bar for the drop, with its interval of 90 %."""

from typing import Any, Final

from edge_compressor.reports.plots.svg import (
    ARTIFACT,
    FAINT,
    GRID,
    INK,
    box,
    label,
    line,
    shortened,
    svg,
    text,
    ticks,
)

MAX_BARS: Final = 24
_NAMES, _LEFT, _RIGHT, _ROW, _TOP = 122, 130, 466, 24, 8
_LOSS: Final = "#b3261e"


def plot(evaluation: dict[str, Any]) -> str:
    """Returns the plot of ``evaluation`` of the manifest: the classes that lose most, at most MAX_BARS, the worst on
    top."""
    every = sorted(evaluation.get("classes") or [], key=lambda one: -one["dropPercent"])
    shown = every[:MAX_BARS]
    if not shown:
        return ""
    low = min(0.0, *(one["lowerPercent"] for one in shown))
    high = max(0.0, *(one["upperPercent"] for one in shown))
    low, high = (low, high) if high > low else (-1.0, 1.0)

    def x(percent: float) -> float:
        return _LEFT + (percent - low) / (high - low) * (_RIGHT - _LEFT)

    bottom = _TOP + _ROW * len(shown)
    parts = []
    for value in ticks(low, high):
        parts.append(line(x(value), _TOP, x(value), bottom, colour=FAINT if value == 0 else GRID))
        parts.append(text(x(value), bottom + 18, label(value), anchor="middle"))
    for row, one in enumerate(shown):
        middle = _TOP + _ROW * row + _ROW / 2
        ends = sorted((x(0), x(one["dropPercent"])))
        colour = _LOSS if one["lowerPercent"] > 0 else ARTIFACT
        parts.append(text(_NAMES, middle + 5, shortened(one["name"], 14), anchor="end"))
        parts.append(box(ends[0], middle - 7, ends[1] - ends[0], 14, colour=colour, opacity=0.55))
        lower, upper = x(one["lowerPercent"]), x(one["upperPercent"])
        parts.append(line(lower, middle, upper, middle, colour=INK, width=1.5))
        parts += [line(end, middle - 4, end, middle + 4, colour=INK, width=1.5) for end in (lower, upper)]
    told = f"drop of {evaluation['perClass']} in points; red: the interval is above 0"
    parts.append(text(_RIGHT, bottom + 38, told, anchor="end", colour=FAINT))
    return svg(bottom + 46, parts, f"Drop of {evaluation['perClass']} of each class, with its interval")
