"""The series that checks read: one metric of the servers each, with its queries and the meaning of their answers.

A series defines three things: its query in a window, the samples of each node in an answer, and the sum over several
nodes. A check names the series that it reads; nothing else needs to know them.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from math import inf, isfinite, isnan, nan
from typing import Any, Protocol

from edge_operator.decide.measurement import queries
from edge_operator.decide.measurement.window import Span, Window
from edge_statistics.dispersion import Moments
from edgemodel import metrics

Values = Mapping[Any, Any]
"""The samples of one series on one node; each kind of series has keys of its own."""


@dataclass(frozen=True)
class Sample:
    """One element of an instant vector."""

    labels: Mapping[str, str]
    value: float

    @property
    def node(self) -> str:
        """Returns the label ``node``; empty for a sample without one."""
        return self.labels.get("node", "")


@dataclass
class Read:
    """The values of each node in an answer, and the reasons for nodes with impossible numbers."""

    values: defaultdict[str, dict[Any, Any]] = field(default_factory=lambda: defaultdict(dict))
    contradictory: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Counts:
    """The samples of one node in one window, by series. A series without samples is missing from ``values``."""

    node: str
    values: Mapping["Series", Values] = field(default_factory=dict)


class Series(Protocol):
    """A series that checks read; ``Counter``, ``Histogram``, ``StratifiedHistogram`` and ``Gauge`` are its kinds."""

    @property
    def metric(self) -> str:
        """The name of the metric; that of a histogram is without ``_bucket``."""

    def query(self, span: Span) -> str | None:
        """Returns the text of the query for ``span``; None if the series is not queried in that window."""

    def read(self, answer: Iterable[Sample]) -> Read:
        """Returns the values of each node in the answer to ``query``."""

    def merge(self, values: Sequence[Values]) -> Values:
        """Returns the sum of the values of one or more nodes."""

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class Counter:
    """A counter with one label that distinguishes its values, such as requests by outcome."""

    metric: str
    label: str
    counted: tuple[str, ...]
    """The values of ``label`` that count; all others are ignored."""
    warm_up: bool = False
    """True: what processes counted in their warm-up; False: what they counted after it."""

    def of(self, counts: Counts, value: str) -> int:
        """Returns the count of this value of the label."""
        return int(counts.values.get(self, {}).get(value, 0))

    def total(self, counts: Counts) -> int:
        """Returns the total of the counts."""
        return int(sum(counts.values.get(self, {}).values()))

    def query(self, span: Span) -> str | None:
        """Returns the query for the growth in ``span``, by node and value; None for the present."""
        return _counted(queries.select(self.metric, _selected(span, self.warm_up)), self.label, span, self.warm_up)

    def read(self, answer: Iterable[Sample]) -> Read:
        """Returns the counts by value of the label; counts of 0 are left out."""
        read = Read()
        for sample in answer:
            problem, value = impossible(sample.value), sample.labels.get(self.label)
            if problem is not None:
                read.contradictory[sample.node] = problem
                continue
            mine = read.values[sample.node]
            if value in self.counted and round(sample.value):
                mine[value] = round(sample.value)
        return read

    def merge(self, values: Sequence[Values]) -> Values:
        """Returns the sum of the counts of each value of the label."""
        merged: dict[str, int] = {}
        for item in values:
            for value, count in item.items():
                merged[value] = merged.get(value, 0) + count
        return merged


@dataclass(frozen=True)
class Histogram:
    """A cumulative histogram. ``metric`` is its name without ``_bucket``."""

    metric: str
    warm_up: bool = False
    """True: what processes observed in their warm-up; False: what they observed after it."""

    def of(self, counts: Counts) -> Mapping[float, int]:
        """Returns the cumulative counts by upper edge, including infinity; empty if nothing was observed."""
        return counts.values.get(self, {})

    def query(self, span: Span) -> str | None:
        """Returns the query for the growth of each bucket in ``span``, by node; None for the present."""
        labels = _selected(span, self.warm_up)
        selector = queries.select(f"{self.metric}_bucket", labels, span.sampled_nodes)
        return _counted(selector, "le", span, self.warm_up)

    def read(self, answer: Iterable[Sample]) -> Read:
        """Returns the cumulative counts by upper edge; nodes whose buckets contradict each other are named."""
        read = Read()
        for sample in answer:
            problem = impossible(sample.value)
            if problem is not None:
                read.contradictory[sample.node] = problem
            else:
                read.values[sample.node][_edge(sample.labels.get("le", ""))] = round(sample.value)
        for node, buckets in read.values.items():
            problem = _contradiction(buckets)
            if problem is not None:
                read.contradictory[node] = problem
        return read

    def merge(self, values: Sequence[Values]) -> Values:
        """Adds up the counts at the edges that all nodes have."""
        return _merged(values)


@dataclass(frozen=True)
class StratifiedHistogram:
    """A cumulative histogram with a label that keeps unlike observations apart, such as prompts of unlike length."""

    metric: str
    stratum: str
    """The name of the label."""
    warm_up: bool = False
    """True: what processes observed in their warm-up; False: what they observed after it."""

    @property
    def whole(self) -> Histogram:
        """The histogram of all observations together."""
        return Histogram(self.metric, self.warm_up)

    def of(self, counts: Counts) -> Mapping[str, Mapping[float, int]]:
        """Returns the cumulative counts by upper edge, by stratum; empty if nothing was observed."""
        return counts.values.get(self, {})

    def query(self, span: Span) -> str | None:
        """Returns the query for the growth of each bucket in ``span``, by node and stratum; None for the present."""
        labels = _selected(span, self.warm_up)
        selector = queries.select(f"{self.metric}_bucket", labels, span.sampled_nodes)
        return _counted(selector, f"{self.stratum}, le", span, self.warm_up)

    def read(self, answer: Iterable[Sample]) -> Read:
        """Returns the cumulative counts by upper edge, by stratum; nodes whose buckets contradict each other are
        named."""
        read = Read()
        for sample in answer:
            problem = impossible(sample.value)
            if problem is not None:
                read.contradictory[sample.node] = problem
                continue
            buckets = read.values[sample.node].setdefault(sample.labels.get(self.stratum, ""), {})
            buckets[_edge(sample.labels.get("le", ""))] = round(sample.value)
        for node, strata in read.values.items():
            problem = next((why for buckets in strata.values() if (why := _contradiction(buckets))), None)
            if problem is not None:
                read.contradictory[node] = problem
        return read

    def merge(self, values: Sequence[Values]) -> Values:
        """Adds up the counts of each stratum at the edges that all nodes have."""
        strata = dict.fromkeys(stratum for item in values for stratum in item)
        return {stratum: _merged([item[stratum] for item in values if stratum in item]) for stratum in strata}


def _merged(histograms: Iterable[Values]) -> Values:
    observed = [item for item in histograms if item]
    edges = set.intersection(*map(set, observed)) if observed else set()
    return {edge: sum(item[edge] for item in observed) for edge in edges}


@dataclass(frozen=True)
class Minutes:
    """The sums over the minutes of the baseline of a counter's or histogram's counts, from which the dispersion of
    requests follows; strata are counted together."""

    of: Counter | Histogram | StratifiedHistogram

    @property
    def metric(self) -> str:
        """The metric of the counts, with the words that they are by minute."""
        return f"{self.of.metric} by minute"

    def query(self, span: Span) -> str | None:
        """Returns the query for the sums; None for every window but the baseline."""
        if span.window is not Window.BASELINE:
            return None
        labels = _selected(span, self.of.warm_up)
        apart = self.of.stratum if isinstance(self.of, StratifiedHistogram) else ""
        if not isinstance(self.of, Counter):
            metric, label, nodes = f"{self.of.metric}_bucket", "le", span.sampled_nodes
            total = queries.select(metric, {**labels, "le": "+Inf"}, nodes)
        else:
            metric, label, nodes = self.of.metric, self.of.label, ()
            total = queries.select(metric, labels, more=f"{label}=~{queries.quote('|'.join(self.of.counted))}")
        return queries.sums_over_minutes(queries.select(metric, labels, nodes), total, label, span.seconds, apart)

    def read(self, answer: Iterable[Sample]) -> Read:
        """Returns Moments by value of the label: the outcome of a counter, the edge of a histogram; a number that is
        none leaves its node without."""
        sums: defaultdict[str, defaultdict[Any, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
        unknown = set()
        for sample in answer:
            if not isfinite(sample.value) or sample.value < 0:
                unknown.add(sample.node)
                continue
            name, is_edge = sample.labels.get("sum", ""), not isinstance(self.of, Counter)
            value = "" if name in ("n", "nn") else sample.labels.get("le" if is_edge else self._label, "")
            sums[sample.node][_edge(value) if is_edge and value else value][name] = sample.value
        read = Read()
        for node, by_value in sums.items():
            whole = by_value.pop("", {})
            if node in unknown or not whole:
                continue
            read.values[node] = {
                value: Moments(
                    own.get("k", 0.0), whole.get("n", 0.0), own.get("kk", 0.0), own.get("kn", 0.0), whole.get("nn", 0.0)
                )
                for value, own in by_value.items()
            }
        return read

    @property
    def _label(self) -> str:
        return self.of.label if isinstance(self.of, Counter) else "le"

    def moments(self, counts: Counts, value: Any) -> Moments | None:
        """Returns the moments of the counts with this outcome, or of those up to this edge; None if there are none."""
        found: Moments | None = counts.values.get(self, {}).get(value)
        return found

    def merge(self, values: Sequence[Values]) -> Values:
        """Returns the sums over the minutes of all nodes."""
        keys = dict.fromkeys(key for item in values for key in item)
        return {
            key: Moments(*map(sum, zip(*(item[key] for item in values if key in item), strict=True))) for key in keys
        }


@dataclass(frozen=True)
class Gauge:
    """A gauge of the candidate's servers at the time of the query; with several processes on a node, the smallest."""

    metric: str
    labels: tuple[str, ...] = ()
    """The labels that distinguish its values, besides the node."""
    counts: bool = False
    """True if it counts something, so that only whole numbers from 0 on are possible."""

    def of(self, counts: Counts) -> Mapping[tuple[str, ...], float]:
        """Returns the gauge's values, which may be NaN, by the values of ``labels``."""
        return counts.values.get(self, {})

    def query(self, span: Span) -> str | None:
        """Returns the query for the smallest present value of each node; None for every other window."""
        if span.window is not Window.PRESENT:
            return None
        return queries.smallest(queries.select(self.metric, span.labels), *self.labels)

    def read(self, answer: Iterable[Sample]) -> Read:
        """Returns the values by those of ``labels``; whole numbers if it counts something."""
        read = Read()
        for sample in answer:
            problem = impossible(sample.value) if self.counts else None
            if problem is not None:
                read.contradictory[sample.node] = problem
                continue
            key = tuple(sample.labels.get(label, "") for label in self.labels)
            read.values[sample.node][key] = round(sample.value) if self.counts else sample.value
        return read

    def merge(self, values: Sequence[Values]) -> Values:
        """Returns the smallest value."""
        keys = dict.fromkeys(key for item in values for key in item)
        return {key: min(item[key] for item in values if key in item) for key in keys}


def merge(counts: Sequence[Counts], node: str = "") -> Counts:
    """Returns the sum of the samples of several nodes, series by series."""
    series = dict.fromkeys(one for item in counts for one in item.values)
    return Counts(node, {one: one.merge([item.values[one] for item in counts if one in item.values]) for one in series})


def of_warm_up(counts: Counts) -> Counts:
    """Returns what ``counts`` has of the warm-up, in the place of later requests, so that both are read alike."""
    found: dict[Series, Values] = {
        _after_warm_up(series): values
        for series, values in counts.values.items()
        if isinstance(series, Counter | Histogram | StratifiedHistogram) and series.warm_up
    }
    return Counts(counts.node, found)


@cache
def _after_warm_up(
    series: Counter | Histogram | StratifiedHistogram,
) -> Counter | Histogram | StratifiedHistogram:
    return replace(series, warm_up=False)


def impossible(value: float) -> str | None:
    """Returns why ``value`` is not a possible count, a whole number from 0 on; None if it is."""
    if not isfinite(value):
        return f"a counter is {value}"
    if value < 0 or abs(value - round(value)) > 1e-6 * max(1.0, abs(value)):
        return f"a counter grew by {value:g}"
    return None


def _selected(span: Span, warm_up: bool) -> Mapping[str, str]:
    """Returns the labels of the series; without WARM_UP_LABEL, series of requests after the warm-up match an empty
    one."""
    return {**span.labels, metrics.WARM_UP_LABEL: metrics.WARM_UP if warm_up else ""}


def _counted(selector: str, label: str, span: Span, warm_up: bool) -> str | None:
    """Returns the query for counts in ``span``.

    A process of the candidate that did not exist before the wave started in it, so all that it counted belongs to the
    wave. Stable's processes have counted for weeks, and Prometheus may have lost their earlier samples, so only the
    growth that it saw counts. Their warm-up is over long since: what they counted in it never changes, and is what the
    switch to stable has shown.
    """
    if span.window is Window.PRESENT or (warm_up and span.window is Window.CONTROL):
        return None
    if span.window is Window.TRIAL:
        return queries.counted_since(selector, label, span.seconds)
    if warm_up:
        return queries.counted_in_all(selector, label, span.seconds)
    return queries.counted_within(selector, label, span.seconds)


def _edge(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return nan


def _contradiction(buckets: Mapping[float, int]) -> str | None:
    if any(map(isnan, buckets)):
        return "a histogram has an edge that is not a number"
    if inf not in buckets:
        return "a histogram has no bucket of infinity"
    if any(buckets[below] > buckets[above] for below, above in pairwise(sorted(buckets))):
        return "a histogram falls from one bucket to the next"
    return None
