"""The operator's own metrics."""

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.queue_depth = Gauge(
            "edgemodel_operator_queue_depth", "EdgeModels that wait for a pass.", registry=self.registry
        )
        self.pass_seconds = Histogram("edgemodel_operator_pass_seconds", "Duration of a pass.", registry=self.registry)
        self.moves = Counter(
            "edgemodel_operator_moves", "Changes of an EdgeModel's Ready condition.", ["reason"], registry=self.registry
        )
        self.api_errors = Counter(
            "edgemodel_operator_api_errors",
            "Requests that the API server refused or did not answer.",
            ["status"],
            registry=self.registry,
        )

        self.verdicts = Counter(
            "edgemodel_operator_verdicts",
            "Verdicts of checks on candidates, each time that one changed.",
            ["check", "verdict"],
            registry=self.registry,
        )
        self.measuring_seconds = Histogram(
            "edgemodel_operator_measuring_seconds",
            "Duration of all queries about one EdgeModel.",
            registry=self.registry,
        )
        self.measuring_errors = Counter(
            "edgemodel_operator_measuring_errors",
            "Measurements that Prometheus did not answer.",
            registry=self.registry,
        )

    def watch_writes(self, writes: dict[str, int]) -> None:
        """Exports the counts that ``writes`` holds at each scrape."""
        self.registry.register(_Writes(writes))

    def watch_nodes(self, counts: Callable[[], Iterable[tuple[str, str, dict[str, Any]]]]) -> None:
        """Exports what ``counts`` gives at each scrape: (namespace, model, ``status.nodes``)."""
        self.registry.register(_Nodes(counts))


NODE_STATES = ("stable", "candidate", "offline", "failed", "unmatched")


class _Nodes(Collector):
    def __init__(self, counts: Callable[[], Iterable[tuple[str, str, dict[str, Any]]]]) -> None:
        self._counts = counts

    def collect(self) -> Iterable[GaugeMetricFamily]:
        labels = ["namespace", "model", "state"]
        family = GaugeMetricFamily(
            "edgemodel_operator_nodes", "Selected nodes of an EdgeModel by state.", labels=labels
        )
        for namespace, model, nodes in self._counts():
            for state in NODE_STATES:
                family.add_metric([namespace, model, state], nodes.get(state, 0))
        yield family


class _Writes(Collector):
    def __init__(self, writes: dict[str, int]) -> None:
        self._writes = writes

    def collect(self) -> Iterable[CounterMetricFamily]:
        family = CounterMetricFamily("edgemodel_operator_api_writes", "Writes to the API server.", labels=["write"])
        for write, count in sorted(self._writes.items()):
            family.add_metric([write], count)
        yield family
