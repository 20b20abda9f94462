"""The answers of a candidate's servers to the golden set of their artifact, node by node."""

from collections import defaultdict
from dataclasses import dataclass
from math import isfinite, nan

from edge_operator.decide.measurement import Counts, Gauge
from edgemodel import metrics

ITEMS = Gauge(metrics.GOLDEN_ITEMS, (metrics.PROCESS_LABEL, "result"), counts=True)
MIN_PERCENT = Gauge(metrics.GOLDEN_MIN_PERCENT)


@dataclass(frozen=True)
class GoldenCount:
    """The golden items that a candidate's server on ``node`` answered at its start, counted."""

    node: str
    agree: int
    disagree: int
    min_percent: float
    """The share of items, in 0..100, that the artifact requires."""

    @property
    def share(self) -> float:
        """Returns the share of items that agree, in 0..1."""
        return self.agree / (self.agree + self.disagree)


def golden_counts(present: tuple[Counts, ...]) -> tuple[GoldenCount, ...]:
    """Returns the count of each node whose servers have a golden set, in the order of nodes; with several processes,
    the worst."""
    found = []
    for counts in present:
        processes: defaultdict[str, dict[str, int]] = defaultdict(dict)
        for (process, result), items in ITEMS.of(counts).items():
            processes[process][result] = round(items)
        least = MIN_PERCENT.of(counts).get((), nan)
        agree, disagree = metrics.GOLDEN_RESULTS
        of_node = [
            GoldenCount(counts.node, counted[agree], counted.get(disagree, 0), least)
            for counted in processes.values()
            if agree in counted and sum(counted.get(result, 0) for result in metrics.GOLDEN_RESULTS) > 0
        ]
        if of_node and isfinite(least):
            found.append(min(of_node, key=lambda count: count.share))
    return tuple(sorted(found, key=lambda count: count.node))
