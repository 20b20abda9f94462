"""The samples of one wave: plain values that checks judge."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from edge_operator.decide.measurement.series import Counts


@dataclass(frozen=True)
class Answer:
    """The answer to a user's query: a number; or None, and ``problem`` says why."""

    value: float | None
    problem: str = ""


@dataclass(frozen=True)
class Samples:
    """The samples by ``series.Window``, in each a Counts for each node that has any."""

    measured_at: datetime
    """The time of Prometheus' last complete answer; the time of the first query if there was none."""
    candidate: str
    since: datetime
    """The beginning of the wave's measurement. Samples of another candidate or wave are not judged."""
    trial: tuple[Counts, ...] = ()
    control: tuple[Counts, ...] = ()
    baseline: tuple[Counts, ...] = ()
    present: tuple[Counts, ...] = ()
    reporting: Mapping[str, datetime] = field(default_factory=dict)
    """The time, by our clock, of the last scrape of each node whose server of the candidate answered it."""
    answers: Mapping[str, Answer] = field(default_factory=dict)
    """The answers to the queries of users, by the name of the check."""
    contradictory: Mapping[str, str] = field(default_factory=dict)
    """The nodes with impossible numbers -> why; they count as not reporting."""
    problem: str = ""
    """The reason why Prometheus does not answer now; empty if it does."""
