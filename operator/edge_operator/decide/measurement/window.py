"""The windows of time in which the servers of a candidate, and of stable beside and before it, are measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Window(StrEnum):
    PRESENT = "present"
    """The candidate at the moment of asking."""
    TRIAL = "trial"
    """The candidate since the wave's measuring began."""
    CONTROL = "control"
    """Stable since then, on nodes that still run it, from each process' first scrape on."""
    BASELINE = "baseline"
    """Stable before then."""


@dataclass(frozen=True)
class Span:
    """A window of one wave, as queries need it."""

    window: Window
    labels: Mapping[str, str]
    """The labels that tell whose metrics are meant: namespace, model and revision."""
    at: datetime
    """When the window ends."""
    seconds: int
    """How long the window is, at least 1."""
    sampled_nodes: tuple[str, ...] = ()
    """The nodes of which histograms are read; empty: all."""
