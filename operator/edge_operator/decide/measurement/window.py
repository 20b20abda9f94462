"""The time windows in which the servers of a candidate, and of stable beside and before it, are measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Window(StrEnum):
    """The windows in which series are queried."""

    PRESENT = "present"
    """The candidate at the time of the query."""
    TRIAL = "trial"
    """The candidate since the wave's measurement began."""
    CONTROL = "control"
    """Stable since then, on nodes that still run it, from each process' first scrape on."""
    BASELINE = "baseline"
    """Stable before then."""


@dataclass(frozen=True)
class Span:
    """A window of one wave, as queries need it."""

    window: Window
    labels: Mapping[str, str]
    """The labels that select the servers: namespace, model and revision."""
    at: datetime
    """The end of the window."""
    seconds: int
    """The length of the window, at least 1."""
    sampled_nodes: tuple[str, ...] = ()
    """The nodes whose histograms are read; empty: all."""
