"""The samples of one wave: plain values, by which checks judge."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from edge_operator.decide.measurement.series import Counts


@dataclass(frozen=True)
class Answer:
    """The answer to a query of a user's own: a number, or ``problem`` says why there is none."""

    value: float | None
    problem: str = ""


@dataclass(frozen=True)
class Samples:
    """The samples of each window, a Counts for each node that has any; by ``series.Window``."""

    measured_at: datetime
    """When Prometheus last answered all of it; the time of asking where it never did."""
    candidate: str
    since: datetime
    """When the wave's measuring began. What belongs to another candidate or wave is not to be judged by."""
    trial: tuple[Counts, ...] = ()
    control: tuple[Counts, ...] = ()
    baseline: tuple[Counts, ...] = ()
    present: tuple[Counts, ...] = ()
    reporting: Mapping[str, datetime] = field(default_factory=dict)
    """Node whose server of the candidate answered the last scrape -> when that was, by our clock."""
    answers: Mapping[str, Answer] = field(default_factory=dict)
    """Name of a check -> the answer to its query."""
    contradictory: Mapping[str, str] = field(default_factory=dict)
    """Node whose numbers cannot be -> why; it counts as not reporting."""
    problem: str = ""
    """Why Prometheus does not answer now; empty: it does."""
