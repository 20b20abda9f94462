"""A histogram of counters in Prometheus' form."""

from bisect import bisect_left
from copy import copy
from itertools import accumulate

import numpy as np
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.utils import floatToGoString

from edge_runtime.datatypes import Array


class Histogram:
    """Counts of values by bucket, with ascending upper bounds that belong to their buckets, and the values' sum."""

    def __init__(self, buckets: tuple[float, ...]) -> None:
        self._bounds = (*buckets, float("inf"))
        self._counts = [0] * len(self._bounds)
        self.sum = 0.0

    def __copy__(self) -> "Histogram":
        other = Histogram(self._bounds[:-1])
        other._counts, other.sum = list(self._counts), self.sum
        return other

    def __add__(self, other: "Histogram") -> "Histogram":
        """Returns the sum of two histograms with the same buckets."""
        both = copy(self)
        both._counts = [mine + its for mine, its in zip(self._counts, other._counts, strict=True)]
        both.sum += other.sum
        return both

    def __sub__(self, earlier: "Histogram") -> "Histogram":
        """Returns what was observed since ``earlier``, a copy of this histogram."""
        since = copy(self)
        since._counts = [now - then for now, then in zip(self._counts, earlier._counts, strict=True)]
        since.sum -= earlier.sum
        return since

    def observe(self, value: float) -> None:
        """Counts one value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def observe_zeros(self, count: int) -> None:
        """Counts ``count`` values of 0."""
        self._counts[0] += count

    def observe_all(self, values: Array) -> None:
        """Observes the values of an array with one dimension."""
        positions = np.searchsorted(self._bounds, values)
        for position, count in enumerate(np.bincount(positions, minlength=len(self._bounds)).tolist()):
            self._counts[position] += count
        self.sum += float(values.sum())

    @property
    def count(self) -> int:
        """The number of values."""
        return sum(self._counts)

    @property
    def buckets(self) -> list[tuple[str, int]]:
        """Returns (upper bound, number of values up to it), ascending."""
        return list(zip(map(floatToGoString, self._bounds), accumulate(self._counts), strict=True))


def add_histogram(family: HistogramMetricFamily, name: str, labels: dict[str, str], histogram: Histogram) -> None:
    """Adds the series of ``histogram`` to ``family``, which has the name ``name``; ``labels`` may differ from those of
    its other series."""
    buckets = histogram.buckets
    for edge, count in buckets:
        family.add_sample(f"{name}_bucket", {**labels, "le": edge}, count)
    family.add_sample(f"{name}_count", labels, buckets[-1][1])
    family.add_sample(f"{name}_sum", labels, histogram.sum)
