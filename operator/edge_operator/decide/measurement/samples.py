"""The samples of one wave: plain values that checks judge."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from edge_operator.decide.measurement.series import Counts

T = TypeVar("T")


class Baseline(tuple[Counts, ...]):
    """The samples of stable before the switch. They are the same for a whole wave, and so is what follows from them:
    that is computed once, and kept with them."""

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Returns what ``make`` returned when it was first called for ``key``, which says all that it depends on
        besides the samples."""
        kept: dict[Hashable, Any] = self.__dict__.setdefault("kept", {})
        if key not in kept:
            kept[key] = make()
        found: T = kept[key]
        return found

    def on(self, nodes: frozenset[str]) -> "Baseline":
        """Returns the samples of ``nodes`` alone."""
        return self.once(nodes, lambda: Baseline(counts for counts in self if counts.node in nodes))


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
    baseline: Baseline = field(default_factory=Baseline)
    present: tuple[Counts, ...] = ()
    reporting: Mapping[str, datetime] = field(default_factory=dict)
    """The time, by our clock, of the last scrape of each node whose server of the candidate answered it."""
    answers: Mapping[str, Answer] = field(default_factory=dict)
    """The answers to the queries of users, by the name of the check."""
    contradictory: Mapping[str, str] = field(default_factory=dict)
    """The nodes with impossible numbers -> why; they count as not reporting."""
    problem: str = ""
    """The reason why Prometheus does not answer now; empty if it does."""
