"""The operator's own metrics."""

from collections.abc import Callable, Iterable, Mapping
from math import isfinite

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from edge_operator.decide.analysis.evidence import Judged
from edge_operator.decide.status.suspension import UnreadableObject
from edgemodel.status import NodeCounts
from edgemodel.version import VERSION


class Metrics:
    """The metrics in a registry of their own, so that tests can make several."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        build = Gauge(
            "edgemodel_operator_build_info",
            "The version of the operator; always 1.",
            ["version"],
            registry=self.registry,
        )
        build.labels(VERSION).set(1)
        self.image_info = Gauge(
            "edgemodel_operator_image_info",
            "The image that the operator uses for new revisions and Jobs; always 1.",
            ["program", "image"],
            registry=self.registry,
        )
        self.queue_depth = Gauge(
            "edgemodel_operator_queue_depth", "EdgeModels that wait for a pass.", registry=self.registry
        )
        self.reconcile_duration = Histogram(
            "edgemodel_operator_reconcile_duration_seconds",
            "Duration of a pass over one EdgeModel.",
            registry=self.registry,
        )
        self.ready_transitions = Counter(
            "edgemodel_operator_ready_transitions",
            "Changes of an EdgeModel's Ready condition, by the reason that it changed to.",
            ["reason"],
            registry=self.registry,
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
        self.analysis_query_duration = Histogram(
            "edgemodel_operator_analysis_query_duration_seconds",
            "Duration of all Prometheus queries of one measurement of one EdgeModel.",
            registry=self.registry,
        )
        self.analysis_query_errors = Counter(
            "edgemodel_operator_analysis_query_errors",
            "Measurements of an EdgeModel that failed, because Prometheus did not answer or refused a query.",
            registry=self.registry,
        )

        self._evidence: dict[tuple[str, str], tuple[str, tuple[Judged, ...]]] = {}
        self.registry.register(_Evidence(self._evidence))

    def tell_images(self, images: Mapping[str, str]) -> None:
        """Exports the images by their programs."""
        for program, image in images.items():
            self.image_info.labels(program, image).set(1)

    def tell_evidence(self, model: tuple[str, str], revision: str | None, judged: tuple[Judged, ...]) -> None:
        """Exports the numbers behind ``judged`` of the candidate ``revision`` of the EdgeModel (namespace, name) from
        now on, and no earlier ones of this EdgeModel."""
        if revision is not None and judged:
            self._evidence[model] = revision, judged
        else:
            self._evidence.pop(model, None)

    def watch_requests(self, requests: Mapping[tuple[str, str], int]) -> None:
        """Exports at each scrape the counts in ``requests``, by (verb, kind)."""
        self.registry.register(_Requests(requests))

    def watch_nodes(self, counts: Callable[[], Iterable[tuple[str, str, NodeCounts]]]) -> None:
        """Exports at each scrape the result of ``counts``: (namespace, model, ``status.nodes``)."""
        self.registry.register(_Nodes(counts))

    def watch_unreadable(self, objects: Callable[[], Iterable[UnreadableObject]]) -> None:
        """Exports at each scrape the objects that cannot be read."""
        self.registry.register(_UnreadableObjects(objects))


class _Evidence(Collector):
    """A number that is unknown or infinite has no sample."""

    def __init__(self, judged: Mapping[tuple[str, str], tuple[str, tuple[Judged, ...]]]) -> None:
        self._judged = judged

    def collect(self) -> Iterable[GaugeMetricFamily]:
        labels = ["namespace", "model", "revision", "variant", "check", "measure"]
        ratios = GaugeMetricFamily(
            "edgemodel_operator_check_evidence",
            "Log-likelihood ratio of a check for an alternative, a multiple of the increase that is too much. A "
            "hypothesis is shown once ln(avg(exp(ratio))) over its alternatives reaches "
            "edgemodel_operator_check_evidence_limit; the ratios of several clusters are summed before.",
            labels=[*labels, "hypothesis", "alternative"],
        )
        limits = GaugeMetricFamily(
            "edgemodel_operator_check_evidence_limit",
            "Limit of the mixed log-likelihood ratios of a hypothesis. A check fails once Worse and AboveLimit are "
            "shown, and passes once BelowLimit is.",
            labels=[*labels, "hypothesis"],
        )
        detectable = GaugeMetricFamily(
            "edgemodel_operator_check_detectable_percent",
            "Increase of the share of bad requests, in percentage points, that would be found by now with four chances "
            "in five; absent if none would.",
            labels=labels,
        )
        requests = GaugeMetricFamily(
            "edgemodel_operator_check_requests_to_decide",
            "Approximate number of further requests that a check needs to decide; absent if it is not known.",
            labels=labels,
        )
        minutes = GaugeMetricFamily(
            "edgemodel_operator_check_minutes_to_decide",
            "Minutes until a check has enough requests to decide, at their present rate; absent if they are not known.",
            labels=labels,
        )
        for (namespace, model), (revision, judged) in list(self._judged.items()):
            for check, result in ((item, result) for item in judged for result in item.results):
                values = [namespace, model, revision, check.variant, check.name, result.measure]
                for hypothesis in result.hypotheses:
                    limits.add_metric([*values, hypothesis.name], hypothesis.limit)
                    for multiple, ratio in hypothesis.ratios.items():
                        ratios.add_metric([*values, hypothesis.name, f"{multiple:g}"], ratio)
                for family, value in (
                    (detectable, 100 * result.detectable),
                    (requests, result.requests_to_decide),
                    (minutes, result.minutes_to_decide),
                ):
                    if isfinite(value):
                        family.add_metric(values, value)
        return (ratios, limits, detectable, requests, minutes)


class _Nodes(Collector):
    def __init__(self, counts: Callable[[], Iterable[tuple[str, str, NodeCounts]]]) -> None:
        self._counts = counts

    def collect(self) -> Iterable[GaugeMetricFamily]:
        labels = ["namespace", "model", "state"]
        family = GaugeMetricFamily(
            "edgemodel_operator_nodes", "Selected nodes of an EdgeModel by state.", labels=labels
        )
        for namespace, model, nodes in self._counts():
            by_state = {
                "stable": nodes.stable,
                "candidate": nodes.candidate,
                "offline": nodes.offline,
                "failed": nodes.failed,
                "unsupported": nodes.unsupported,
                "setAside": nodes.set_aside,
            }
            for state, count in by_state.items():
                family.add_metric([namespace, model, state], count)
        yield family


class _Requests(Collector):
    def __init__(self, requests: Mapping[tuple[str, str], int]) -> None:
        self._requests = requests

    def collect(self) -> Iterable[CounterMetricFamily]:
        family = CounterMetricFamily(
            "edgemodel_operator_api_requests",
            "Requests of the operator to the API server; watches and the lists that begin them are not counted.",
            labels=["verb", "kind"],
        )
        for (verb, kind), count in sorted(self._requests.items()):
            family.add_metric([verb, kind], count)
        yield family


class _UnreadableObjects(Collector):
    def __init__(self, objects: Callable[[], Iterable[UnreadableObject]]) -> None:
        self._objects = objects

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "edgemodel_operator_unreadable_objects",
            "Objects that the operator cannot read; nothing of their EdgeModels is touched.",
            labels=["kind", "namespace", "name", "reason"],
        )
        for item in self._objects():
            family.add_metric([item.kind, item.namespace, item.name, item.reason], 1)
        yield family
