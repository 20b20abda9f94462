"""Size against accuracy, or against latency if accuracy is not known: source, artifact, and all trials.

A step that tries recipes leaves them in its notes as ``tried``: a list of objects with ``name``, ``sizeBytes``, and
``score`` (0..1) or ``milliseconds``, or both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from edge_compressor.reports.plots.svg import (
    ARTIFACT,
    FAINT,
    INK,
    SOURCE,
    dot,
    label,
    legend,
    line,
    svg,
    text,
    ticks,
)

TRIED: Final = "tried"
MAX_LISTED: Final = 30
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 464, 56, 300


@dataclass(frozen=True)
class Point:
    """One artifact in the plot of size and accuracy."""

    name: str
    kilobytes: float
    value: float
    """The percentage, or the milliseconds."""
    kind: str
    """The kind: source, artifact or tried."""
    number: int = 0
    """The number of the trial, from 1, as in ``listed``."""


def plot(evidence: dict[str, Any]) -> str:
    """Returns the plot of ``evidence`` of the manifest; empty if neither accuracy nor latency was measured."""
    points, unit = _points(evidence, "score")
    if not points:
        points, unit = _points(evidence, "milliseconds")
    if not points:
        return ""
    better_up = unit != "milliseconds"
    across = _Axis.of([point.kilobytes for point in points], _LEFT, _RIGHT)
    up = _Axis.of([point.value for point in points], _BOTTOM, _TOP)
    front = dominating(points, better_up=better_up)
    entries = [(SOURCE, "source"), (ARTIFACT, "artifact"), (FAINT, "tried")]
    parts = legend(entries[: 3 if any(point.kind == TRIED for point in points) else 2], 14)
    for value in up.ticks():
        parts += [line(_LEFT, up(value), _RIGHT, up(value)), text(_LEFT - 8, up(value) + 5, label(value), anchor="end")]
    for value in across.ticks():
        parts.append(line(across(value), _BOTTOM, across(value), _BOTTOM + 5, colour=FAINT))
        parts.append(text(across(value), _BOTTOM + 22, label(value), anchor="middle"))
    for one, other in pairwise(front):
        ends = (across(one.kilobytes), up(one.value), across(other.kilobytes), up(other.value))
        parts.append(line(*ends, colour=FAINT, dash="5 4"))
    for point in sorted(points, key=lambda one: one.kind != TRIED):
        parts += _drawn(point, across, up)
    parts.append(text(_RIGHT, _BOTTOM + 42, "size in kB", anchor="end", colour=FAINT))
    parts.append(text(0, 38, f"{unit}, {'up' if better_up else 'down'} is better", colour=FAINT))
    return svg(_BOTTOM + 50, parts, f"Size against {unit} of source, artifact and what was tried")


def tried(evidence: dict[str, Any]) -> list[dict[str, Any]]:
    """Returns the measured trials of all steps, in order; those without a size are left out."""
    every = [one for step in evidence["steps"] for one in step.get(TRIED) or [] if isinstance(one, dict)]
    return [one for one in every if isinstance(one.get("sizeBytes"), int)]


def dominating(points: Sequence[Point], *, better_up: bool) -> list[Point]:
    """Returns the Pareto front, by size: the points that no other beats in both."""
    sign, best, front = (1 if better_up else -1), float("-inf"), []
    for point in sorted(points, key=lambda one: (one.kilobytes, -sign * one.value)):
        if sign * point.value > best:
            best = sign * point.value
            front.append(point)
    return front


def _points(evidence: dict[str, Any], key: str) -> tuple[list[Point], str]:
    evaluation, latency = evidence["evaluation"] or {}, evidence["latency"] or {}
    points = []
    for which in ("source", "artifact"):
        value = (evaluation.get(which) or {}).get("score") if key == "score" else None
        if key != "score" and which in latency:
            value = latency[which]["p50Milliseconds"]
        if value is None:
            continue
        points.append(Point(which, evidence[which]["sizeBytes"] / 1000, _scaled(value, key), which))
    for number, one in enumerate(tried(evidence), 1):
        if isinstance(one.get(key), int | float):
            name, value = str(one.get("name", "")), _scaled(one[key], key)
            points.append(Point(name, one["sizeBytes"] / 1000, value, TRIED, number))
    return points, f"{evaluation.get('metric', 'accuracy')} in %" if key == "score" else key


def _scaled(value: float, key: str) -> float:
    return value * 100 if key == "score" else value


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    start: float
    end: float

    @classmethod
    def of(cls, values: Sequence[float], start: float, end: float) -> "_Axis":
        """Returns an axis with some room on both sides, also if all values are the same."""
        low, high = min(values), max(values)
        room = (high - low) * 0.12 or abs(high) * 0.1 or 1.0
        return cls(low - room, high + room, start, end)

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        return ticks(self.low, self.high)


def _drawn(point: Point, across: _Axis, up: _Axis) -> list[str]:
    x, y = across(point.kilobytes), up(point.value)
    if point.kind == TRIED:
        return [dot(x, y, 5, colour=FAINT, hollow=True), text(x + 8, y + 4, str(point.number), colour=FAINT, size=12)]
    left = x > (_LEFT + _RIGHT) / 2
    anchor, at = ("end", x - 11) if left else ("start", x + 11)
    colour = SOURCE if point.kind == "source" else ARTIFACT
    return [dot(x, y, 7, colour=colour), text(at, y - 8, point.name, anchor=anchor, colour=INK)]
