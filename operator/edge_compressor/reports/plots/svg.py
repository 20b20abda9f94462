"""The shapes that the plots are made of. All text is escaped here, and numbers are short."""

from collections.abc import Iterable, Sequence
from html import escape
from math import floor, log10
from typing import Final

SOURCE: Final = "#8a5a00"
ARTIFACT: Final = "#0b5cad"
GRID: Final = "#d9dde2"
INK: Final = "#1b1f24"
FAINT: Final = "#59636e"
WIDTH: Final = 480
"""The width of most plots, in units that a phone shows as three quarters of a pixel, at which text stays readable."""


def number(value: float) -> str:
    """Returns ``value`` with at most one decimal place, for coordinates."""
    return f"{value:.1f}".removesuffix(".0")


def svg(height: float, parts: Iterable[str], title: str, *, width: float = WIDTH) -> str:
    """Returns a picture that fills the available width; ``title`` is read by screen readers."""
    body = "".join(parts)
    return (
        f'<svg viewBox="0 0 {number(width)} {number(height)}" role="img" aria-label="{escape(title)}" '
        f'xmlns="http://www.w3.org/2000/svg" font-family="system-ui,sans-serif" font-size="14">{body}</svg>'
    )


def text(x: float, y: float, words: str, *, anchor: str = "start", colour: str = INK, size: float | None = None) -> str:
    """Returns an element of text at (x, y), in pixels."""
    at = f' text-anchor="{anchor}"' if anchor != "start" else ""
    large = f' font-size="{number(size)}"' if size else ""
    return f'<text x="{number(x)}" y="{number(y)}"{at}{large} fill="{colour}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, *, colour: str = GRID, width: float = 1, dash: str = "") -> str:
    """Returns an element of a line between two points, in pixels."""
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    ends = f'x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{number(width)}"{dashed}/>'


def box(x: float, y: float, width: float, height: float, *, colour: str, opacity: float = 1) -> str:
    """Returns an element of a filled rectangle; a negative size counts as 0."""
    seen = f' fill-opacity="{opacity:.2g}"' if opacity < 1 else ""
    size = f'x="{number(x)}" y="{number(y)}" width="{number(max(0, width))}" height="{number(max(0, height))}"'
    return f'<rect {size} fill="{colour}"{seen}/>'


def dot(x: float, y: float, radius: float, *, colour: str, hollow: bool = False) -> str:
    """Returns an element of a circle, filled or ``hollow``."""
    fill = f'fill="#fff" stroke="{colour}" stroke-width="2"' if hollow else f'fill="{colour}"'
    return f'<circle cx="{number(x)}" cy="{number(y)}" r="{number(radius)}" {fill}/>'


def legend(entries: Sequence[tuple[str, str]], y: float) -> list[str]:
    """Returns the parts that show ``entries`` (colour, words) side by side, from the left edge on."""
    parts, x = [], 0.0
    for colour, words in entries:
        parts += [box(x, y - 11, 12, 12, colour=colour), text(x + 18, y, words)]
        x += 34 + 7.6 * len(words)
    return parts


def shortened(words: str, most: int) -> str:
    """Returns ``words`` with at most ``most`` characters, the last of which may stand for the rest."""
    return words if len(words) <= most else f"{words[: most - 1]}…"


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Returns round numbers from ``low`` to ``high``, in steps of 1, 2 or 5 times a power of ten."""
    span = high - low
    if span <= 0:
        return [low]
    unit = 10.0 ** floor(log10(span / about))
    step = next(unit * factor for factor in (1, 2, 5, 10) if span / (unit * factor) <= about)
    first = -(-low // step)
    return [step * (first + place) for place in range(int((high - first * step) / step + 1e-9) + 1)]


def label(value: float) -> str:
    """Returns ``value`` as the label of an axis: four digits, or all of those before the decimal point."""
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
