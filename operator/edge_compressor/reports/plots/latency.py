"""The times of single runs of source and artifact: two histograms over the same bins, one above the other."""

from collections.abc import Sequence
from typing import Any, Final

from edge_compressor.reports.plots.svg import ARTIFACT, FAINT, GRID, SOURCE, box, label, line, svg, text, ticks

BINS: Final = 40
_LEFT, _RIGHT, _ROW, _TOP = 8, 472, 76, 22


def plot(latency: dict[str, Any]) -> str:
    """Returns the plot of ``latency`` of the manifest; empty if no times were kept.

    The axis ends a quarter above the larger 95th percentile, or at three medians: otherwise disturbed runs would push
    all others into one bin. Times beyond it are counted, not drawn.
    """
    both = [(which, latency[which].get("milliseconds") or []) for which in ("source", "artifact")]
    if not all(times for _, times in both):
        return ""
    every = sorted(time for _, times in both for time in times)
    slowest = {key: max(latency[which][key] for which, _ in both) for key in ("p50Milliseconds", "p95Milliseconds")}
    low = every[0]
    high = min(every[-1], 1.25 * slowest["p95Milliseconds"], 3 * slowest["p50Milliseconds"])
    low, high = (low, high) if high > low else (low * 0.9, low * 1.1 or 1.0)
    parts: list[str] = []
    for row, ((which, times), colour) in enumerate(zip(both, (SOURCE, ARTIFACT), strict=True)):
        parts += _row(which, times, latency[which], (low, high), _TOP + row * (_ROW + 34), colour)
    bottom = _TOP + 2 * _ROW + 34
    for value in ticks(low, high):
        x = _LEFT + (value - low) / (high - low) * (_RIGHT - _LEFT)
        parts += [line(x, bottom, x, bottom + 5, colour=FAINT), text(x, bottom + 22, label(value), anchor="middle")]
    parts.append(text(_RIGHT, bottom + 42, "milliseconds", anchor="end", colour=FAINT))
    return svg(bottom + 50, parts, "Latency of single runs, source and artifact")


def counts(times: Sequence[float], low: float, high: float) -> list[int]:
    """Returns the count of each of BINS equal bins; times beyond ``high`` are in none."""
    found = [0] * BINS
    for time in times:
        if low <= time <= high:
            found[min(BINS - 1, int((time - low) / (high - low) * BINS))] += 1
    return found


def _row(
    which: str, times: Sequence[float], timing: dict[str, Any], ends: tuple[float, float], top: float, colour: str
) -> list[str]:
    low, high = ends
    found, width = counts(times, low, high), (_RIGHT - _LEFT) / BINS
    beyond = round(100 * (1 - sum(found) / len(times)))
    told = f"{which}: median {timing['p50Milliseconds']:.3g}, 95 % below {timing['p95Milliseconds']:.3g} ms"
    told += f"; {beyond} % beyond" if beyond else ""
    parts = [text(_LEFT, top - 6, told), line(_LEFT, top + _ROW, _RIGHT, top + _ROW, colour=GRID)]
    tallest = max(found) or 1
    for place, count in enumerate(found):
        if count:
            height = (_ROW - 4) * count / tallest
            parts.append(box(_LEFT + place * width, top + _ROW - height, width - 1, height, colour=colour))
    return parts
