"""Quantiles of a cumulative histogram, as Prometheus' ``histogram_quantile`` computes them."""

from collections.abc import Mapping
from math import inf


def quantile(buckets: Mapping[float, float], q: float) -> float | None:
    """Returns the value below which the share ``q`` of the observations lies, by a straight line within its bucket.

    ``buckets``: upper edge -> observations at or below it, with one edge of infinity. Beyond the last finite edge that
    edge is the answer. None without an observation, and without a finite edge.
    """
    edges = sorted(buckets)
    total = buckets[edges[-1]] if edges else 0
    if len(edges) < 2 or edges[-1] != inf or total <= 0:
        return None
    rank, below, lower = q * total, 0.0, 0.0
    for edge in edges:
        count = buckets[edge]
        if count >= rank:
            if edge == inf:
                return lower
            return lower + (edge - lower) * ((rank - below) / (count - below) if count > below else 1.0)
        below, lower = count, edge
    return lower
