"""The plan of one measurement: which series, in which windows of time, and the queries of users."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from edge_operator.decide.measurement.series import Series
from edge_operator.decide.measurement.window import Span, Window


@dataclass(frozen=True)
class MeasurementPlan:
    namespace: str
    model: str
    candidate: str
    stable: str | None
    since: datetime
    """The candidate's window begins; the baseline ends."""
    baseline: timedelta
    """How far before ``since`` the baseline begins."""
    interval: timedelta
    """How often the plan is carried out."""
    series: tuple[Series, ...] = ()
    queries: tuple[tuple[str, str], ...] = ()
    """(name of the check, the user's query with its names filled in)."""
    sampled_nodes: tuple[str, ...] = ()
    """The nodes of which histograms are read; empty: all."""

    def labels_of(self, revision: str) -> Mapping[str, str]:
        """Returns the labels that tell the servers of ``revision`` from all others."""
        return {"namespace": self.namespace, "model": self.model, "revision": revision}

    def spans(self, now: datetime) -> tuple[Span, ...]:
        """Returns what each window is at ``now``; those of stable only where there is a stable revision."""
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
