"""The plan of one measurement: its series, their time windows, and the queries of users."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from edge_operator.decide.measurement.series import Series
from edge_operator.decide.measurement.window import Span, Window


@dataclass(frozen=True)
class MeasurementPlan:
    """A plan of all queries about one candidate and the stable revision."""

    namespace: str
    model: str
    candidate: str
    stable: str | None
    since: datetime
    """The beginning of the candidate's window, and the end of the baseline."""
    baseline: timedelta
    """The length of the baseline, which ends at ``since``."""
    interval: timedelta
    """The interval at which the plan is carried out."""
    series: tuple[Series, ...] = ()
    queries: tuple[tuple[str, str], ...] = ()
    """The queries of users as (name of the check, query), with the names filled in."""
    sampled_nodes: tuple[str, ...] = ()
    """The nodes whose histograms are read; empty: all."""

    def labels_of(self, revision: str) -> Mapping[str, str]:
        """Returns the labels that select the servers of ``revision``."""
        return {"namespace": self.namespace, "model": self.model, "revision": revision}

    def spans(self, now: datetime) -> tuple[Span, ...]:
        """Returns the span of each window at ``now``; those of stable only if there is a stable revision."""
        of_candidate = self.labels_of(self.candidate)
        seconds = max(round((now - self.since).total_seconds()), 1)
        back = max(round(self.baseline.total_seconds()), 1)
        candidate = (
            Span(Window.PRESENT, of_candidate, now, seconds, self.sampled_nodes),
            Span(Window.TRIAL, of_candidate, now, seconds, self.sampled_nodes),
        )
        if self.stable is None:
            return candidate
        of_stable = self.labels_of(self.stable)
        return (
            *candidate,
            Span(Window.CONTROL, of_stable, now, seconds, self.sampled_nodes),
            Span(Window.BASELINE, of_stable, self.since, back, self.sampled_nodes),
        )
