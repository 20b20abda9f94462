"""What Prometheus said of one wave: plain values, the other input of a verdict."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class Counts:
    """What the servers of one revision counted on one node within one window."""

    node: str
    ok: int = 0
    refused: int = 0
    server_errors: int = 0
    durations: Mapping[float, int] = field(default_factory=dict)
    """Of the requests that were ``ok``: upper edge in seconds, one of infinity -> how many took at most so long."""
    right: int = 0
    """Labelled predictions."""
    wrong: int = 0


@dataclass(frozen=True)
class GoldenCount:
    """How a candidate's server answered the golden set of its artifact when it started on ``node``."""

    node: str
    agree: int
    disagree: int
    min_percent: float
    """What the artifact demands, in 0..100."""


@dataclass(frozen=True)
class Answer:
    """To a user's own query: a number, or ``problem`` says why there is none."""

    value: float | None
    problem: str = ""


@dataclass(frozen=True)
class Samples:
    measured_at: datetime
    """When Prometheus last answered all of it; the time of asking where it never did."""
    candidate: str
    since: datetime
    """When the wave's measuring began. What belongs to another candidate or wave is not to be judged by."""
    trial: tuple[Counts, ...] = ()
    """The candidate since then."""
    control: tuple[Counts, ...] = ()
    """Stable since then, on nodes that still run it, from each process' first scrape on."""
    baseline: tuple[Counts, ...] = ()
    """Stable before then."""
    reporting: Mapping[str, datetime] = field(default_factory=dict)
    """Node whose server of the candidate answered the last scrape -> when that was, by our clock."""
    golden: tuple[GoldenCount, ...] = ()
    answers: Mapping[str, Answer] = field(default_factory=dict)
    """By the name of the check."""
    contradictory: Mapping[str, str] = field(default_factory=dict)
    """Node whose numbers cannot be -> why; it counts as not reporting."""
    problem: str = ""
    """Why Prometheus does not answer now; empty: it does."""
