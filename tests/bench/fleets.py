"""Simulated fleets: the counts of nodes' servers, tick by tick, in histogram buckets.

Latencies of a node are log-normal around a median of its own, with one request in fifty four times slower (a garbage
collection, a cold cache). Nodes differ in speed and in traffic. Nothing of the rules under test is in here.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, pi
from typing import Any

import numpy as np
from scipy.special import ndtr

from edgemodel.metrics import DURATION_BUCKETS

Array = np.ndarray[Any, np.dtype[Any]]

EDGES = (*DURATION_BUCKETS, inf)
LOG_EDGES = np.log(np.array(DURATION_BUCKETS))
MINUTES = 60
"""The length of the baseline; the environment may change from one minute to the next."""
PARTS = 4
"""The number of parts in which a minute is drawn if other programs use a node's processor now and then."""


@dataclass(frozen=True)
class Condition:
    """The environment of a fleet."""

    name: str
    node_spread: float = 0.4
    """The standard deviation of the logarithm of the nodes' median latencies."""
    traffic_skew: float = 0.5
    """The standard deviation of the logarithm of the nodes' request rates."""
    requests_per_second: float = 0.5
    """The mean requests per second of a node."""
    diurnal: float = 0.0
    """The daily swing of latencies as a share; that of traffic is 2.5 times as large; the phase is random."""
    gap: float = 0.0
    """The probability that a scrape of a node fails; with half of it, scrapes fail for five minutes."""
    busy: float = 0.0
    """The share of the time in which other programs use a node's processor, for some 45 s each, and the node is twice
    as slow."""
    weather: float = 1.0
    """The factor by which all nodes become slower, for good, a minute into the first wave."""


NODE_SPREAD = Condition("node spread", node_spread=0.6)
TRAFFIC_SKEW = Condition("traffic skew", traffic_skew=1.3)
DIURNAL = Condition("diurnal drift", diurnal=0.2)
GAPS = Condition("gaps", gap=0.1)
CONDITIONS = (NODE_SPREAD, TRAFFIC_SKEW, DIURNAL, GAPS)
BUSY = Condition("busy nodes", busy=0.05, requests_per_second=2.0)
WEATHER = Condition("all slow together", weather=2.5)
SILENCE = Condition("no scrape succeeds", gap=1.0)


@dataclass
class Fleet:
    """One fleet in one rollout. Times are seconds since the rollout began."""

    condition: Condition
    nodes: int
    random: np.random.Generator
    error_rate: float = 0.0005

    def __post_init__(self) -> None:
        draw, c = self.random, self.condition
        self.median = 0.02 * np.exp(c.node_spread * draw.standard_normal(self.nodes))
        skew = c.traffic_skew * draw.standard_normal(self.nodes) - c.traffic_skew**2 / 2
        self.rate = c.requests_per_second * np.exp(skew)
        self.phase = draw.uniform(0, 2 * pi)
        self.is_busy = draw.random(self.nodes) < c.busy
        self.dark_until = np.zeros(self.nodes)
        self.looked_at = 0.0

    def baseline(self) -> tuple[Array, Array]:
        """Returns the (requests by bucket [minute, nodes, edges], failed requests [minute, nodes]) of the hour
        before."""
        minutes = []
        for minute in range(MINUTES):
            at = 60.0 * (minute + 0.5 - MINUTES)
            parts = [self.tick(at, 60 / PARTS) for _ in range(PARTS)] if self.condition.busy else [self.tick(at, 60)]
            minutes.append([sum(part) for part in zip(*parts, strict=True)])
        counted, failed = zip(*minutes, strict=True)
        return np.stack(counted), np.stack(failed)

    def tick(
        self, at: float, seconds: float, slower: Array | float = 1.0, error_rate: Array | float | None = None
    ) -> tuple[Array, Array]:
        """Returns the (good requests by bucket, not cumulative [nodes, edges], failed requests [nodes]) of the next
        ``seconds``."""
        c, draw = self.condition, self.random
        swing = np.sin(2 * pi * at / 86_400 + self.phase)
        factor = (1 + c.diurnal * swing) * slower
        if c.busy:
            leave, enter = min(seconds / 45, 1.0), min(seconds / 45, 1.0) * c.busy / (1 - c.busy)
            flip = draw.random(self.nodes)
            self.is_busy = np.where(self.is_busy, flip > leave, flip < enter)
            factor = factor * np.where(self.is_busy, 2.0, 1.0)
        if at > 60:
            factor = factor * c.weather
        centre = np.log(self.median * factor)[:, None]
        below = 0.98 * ndtr((LOG_EDGES - centre) / 0.5) + 0.02 * ndtr((LOG_EDGES - centre - np.log(4)) / 0.5)
        shares = np.diff(below, axis=1, prepend=0, append=1)
        expected = self.rate * seconds * (1 + 2.5 * c.diurnal * swing)
        bad = self.error_rate if error_rate is None else error_rate
        good = draw.poisson(np.maximum((expected * (1 - bad))[:, None] * shares, 0))
        return good, draw.poisson(expected * bad)

    def scraped(self, at: float) -> Array:
        """Returns which nodes answer Prometheus now."""
        c = self.condition
        if not c.gap:
            return np.ones(self.nodes, dtype=bool)
        elapsed, self.looked_at = at - self.looked_at, at
        dark = self.random.random(self.nodes) < c.gap / 2 * elapsed / 300
        self.dark_until = np.where(dark, at + 300, self.dark_until)
        answered: Array = (at >= self.dark_until) & (self.random.random(self.nodes) >= c.gap)
        return answered


def quantiles(counts: Array, q: float) -> Array:
    """Returns the quantiles of histograms [..., edges], not cumulative, as Prometheus computes them; NaN without an
    observation."""
    cumulative = counts.cumsum(axis=-1)
    total = cumulative[..., -1]
    rank = q * total
    place = np.minimum((cumulative < rank[..., None]).sum(axis=-1), len(EDGES) - 1)
    edges = np.array((0.0, *DURATION_BUCKETS, DURATION_BUCKETS[-1]))
    below = np.where(place > 0, np.take_along_axis(cumulative, np.maximum(place - 1, 0)[..., None], -1)[..., 0], 0)
    inside = np.take_along_axis(counts, place[..., None], -1)[..., 0]
    share = np.where(inside > 0, (rank - below) / np.maximum(inside, 1), 0.0)
    value = edges[place] + (edges[np.minimum(place + 1, len(edges) - 1)] - edges[place]) * share
    return np.where(total > 0, value, np.nan)


Make = Callable[[int], Fleet]


def with_seed(condition: Condition, nodes: int, error_rate: float = 0.0005) -> Make:
    """Returns a function that makes fleet number ``i``, always the same one."""
    return lambda number: Fleet(replace(condition), nodes, np.random.default_rng([nodes, number]), error_rate)
