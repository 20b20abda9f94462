"""Simulated fleets of the second family: shares of bad requests that differ between nodes, in bursts, gaps and drifts.

Nothing of the first family (tests/bench/fleets.py) and of the rules under test is in here. A fleet is one table of
counts for each tick and node: requests, and those of them that missed the latency objective, failed, or came while
the server warmed up. Prometheus sees it with gaps: a scrape that fails shows the counts of the last one, and what a
process counted after its last scrape is lost when it restarts.
"""

from dataclasses import dataclass, replace
from math import ceil, pi

import numpy as np

from tests.bench.fleets import Array

TICK_SECONDS = 15
BEFORE, AFTER = 40, 80
"""The ticks before the switch and after it."""
WARM_TICKS = 3
"""The ticks in which a process that has just started misses the objective more often."""
LABELLED_TICKS = 4
"""The ticks in which a process counts its requests as those of its warm-up."""
DAY_TICKS = 24 * 3600 / TICK_SECONDS
MISSES, ERRORS = "misses", "errors"


@dataclass(frozen=True)
class Cell:
    """One condition of the second family, and the candidate's fault."""

    name: str
    misses: float = 1.0
    """The factor by which the candidate misses the objective more often."""
    errors: float = 1.0
    """The factor by which more of the candidate's requests fail."""
    nodes: int = 10
    requests: float = 20.0
    """The mean requests of a node in a tick."""
    miss_share: float = 0.01
    error_share: float = 0.004
    spread: float = 2.0
    """The ratio between the base rates of a node at the 95th percentile and one at the 5th (Beta)."""
    burst: float = 1.0
    """The variance of a node's load in a tick, relative to its mean squared (negative binomial); 0: Poisson."""
    clumped: float = 0.0
    """The same of a node's share of bad requests in a minute: they come together."""
    zipf: float = 1.0
    """The exponent of the distribution of requests over nodes."""
    diurnal: float = 0.0
    """The swing of traffic and shares over a day, relative to their mean; its phase is random."""
    missing: float = 0.0
    """The share of scrapes that fail, for 1 to 12 ticks in a row."""
    restarts: float = 0.0
    """The probability that a pod restarts in a tick."""
    warm_up: float = 1.0
    """The factor of misses in the first WARM_TICKS of each process that starts after the switch."""
    weather: float = 1.0
    """The factor of misses on all nodes from the switch on."""

    @property
    def canaries(self) -> int:
        """The number of nodes that switch."""
        return ceil(0.3 * self.nodes)

    @property
    def increase(self) -> float:
        """The largest increase of the candidate's share over what is expected of it, in points of a share."""
        misses = self.miss_share * self.weather * (self.misses - 1)
        return max(misses, self.error_share * (self.errors - 1))


@dataclass(frozen=True)
class Shown:
    """The counts of nodes as Prometheus has them at one tick, since the beginning of a window, [nodes] each."""

    requests: Array
    misses: Array
    errors: Array

    def __sub__(self, other: "Shown") -> "Shown":
        return Shown(self.requests - other.requests, self.misses - other.misses, self.errors - other.errors)


@dataclass(frozen=True)
class Fleet:
    """One fleet in one rollout: ``[kind, node, tick]`` of true counts, and of those that Prometheus has by then.

    The canaries are the first ``cell.canaries`` nodes. Kinds: requests, misses, errors.
    """

    cell: Cell
    shares: Array
    """The nodes' shares of (misses, errors) before the switch, ``[2, node]``."""
    expected: Array
    """The shares of a candidate without a fault, ``[2, node, tick]``, warm-up aside."""
    counted: Array
    """The counts of each tick ``[3, node, tick]``."""
    warm: Array
    """True for those that came while a server warmed up, ``[node, tick]``."""
    seen: Array
    """The cumulative counts in Prometheus after each tick, of requests that are not labelled as warm-up, ``[3, node,
    tick]``."""
    seen_warm: Array
    """The same of those that are."""
    stable_warm: Array
    """The counts with this label of the processes of stable, since the switch to it, ``[3, node]``."""
    scraped: Array
    """True for the nodes that answered the scrape of a tick, ``[node, tick]``."""

    @property
    def increase(self) -> float:
        """The true increase of the candidate's share over what is expected of it, in points of a share: on the nodes on
        trial, by their requests after the warm-up. A factor is a smaller one where these nodes happen to be good."""
        c, cell = self.cell.canaries, self.cell
        requests = np.where(self.warm[:c, BEFORE:], 0, self.counted[0, :c, BEFORE:])
        shares = (self.expected[:, :c, BEFORE:] * requests).sum(axis=(1, 2)) / max(requests.sum(), 1)
        return float(max(shares[0] * (cell.misses - 1), shares[1] * (cell.errors - 1)))


def fleet(cell: Cell, number: int) -> Fleet:
    """Returns fleet ``number`` of ``cell``, always the same one, whatever the candidate's fault."""
    seed = _seed(replace(cell, misses=1.0, errors=1.0))
    draw = np.random.default_rng([number, seed])
    ticks, n = BEFORE + AFTER, cell.nodes
    at = np.arange(ticks)
    after = at >= BEFORE
    on_trial = np.zeros((n, ticks), dtype=bool)
    on_trial[: cell.canaries, BEFORE:] = True
    swing = cell.diurnal * np.sin(2 * pi * at / DAY_TICKS + draw.uniform(0, 2 * pi))
    weights = draw.permutation(1 / np.arange(1, n + 1) ** cell.zipf)
    load = cell.requests * (weights / weights.mean())[:, None] * (1 + swing)
    if cell.burst:
        load = load * draw.gamma(1 / cell.burst, cell.burst, (n, ticks))
    requests = draw.poisson(load)
    shares = np.stack([_betas(cell.miss_share, cell.spread, n, draw), _betas(cell.error_share, cell.spread, n, draw)])
    expected = shares[:, :, None] * (1 + swing)
    expected[0] *= np.where(after, cell.weather, 1.0)
    if cell.clumped:
        minutes = ticks // 4 + 1
        clumps = draw.gamma(1 / cell.clumped, cell.clumped, (2, n, minutes))
        actual = expected * np.repeat(clumps, 4, axis=2)[:, :, :ticks]
    else:
        actual = expected.copy()
    restarted = (draw.random((n, ticks)) < cell.restarts) & after
    age = _ages(restarted, on_trial)
    warm = age < WARM_TICKS
    actual[0] *= np.where(warm, cell.warm_up, 1.0)
    actual[0] *= np.where(on_trial, cell.misses, 1.0)
    actual[1] *= np.where(on_trial, cell.errors, 1.0)
    errors = draw.binomial(requests, np.minimum(actual[1], 1.0))
    misses = draw.binomial(requests - errors, np.minimum(actual[0], 1.0))
    counted = np.stack([requests, misses, errors])
    scraped = _scraped(cell, draw)
    kept = _kept(counted, scraped, restarted)
    labelled = age < LABELLED_TICKS
    return Fleet(
        cell=cell,
        shares=shares,
        expected=expected,
        counted=counted,
        warm=warm,
        seen=_shown((kept * ~labelled).cumsum(axis=2), scraped),
        seen_warm=_shown((kept * labelled).cumsum(axis=2), scraped),
        stable_warm=_earlier_warm_up(cell, shares, weights, np.random.default_rng([number, seed, 1])),
        scraped=scraped,
    )


def _earlier_warm_up(cell: Cell, shares: Array, weights: Array, draw: np.random.Generator) -> Array:
    """Returns the counts of the LABELLED_TICKS after the switch to stable, long before, ``[3, node]``."""
    load = cell.requests * np.tile((weights / weights.mean())[:, None], LABELLED_TICKS)
    if cell.burst:
        load = load * draw.gamma(1 / cell.burst, cell.burst, load.shape)
    actual = np.repeat(shares[:, :, None], LABELLED_TICKS, axis=2)
    if cell.clumped:
        actual *= draw.gamma(1 / cell.clumped, cell.clumped, (2, cell.nodes, 1))
    actual[0, :, :WARM_TICKS] *= cell.warm_up
    requests = draw.poisson(load)
    errors = draw.binomial(requests, np.minimum(actual[1], 1.0))
    misses = draw.binomial(requests - errors, np.minimum(actual[0], 1.0))
    return np.stack([requests, misses, errors]).sum(axis=2)


def _seed(cell: Cell) -> int:
    return int.from_bytes(repr(cell).encode()[-64:], "big") % 2**61 ^ hash_of(repr(cell))


def hash_of(text: str) -> int:
    """Returns a hash of ``text`` that is the same in every process."""
    value = 0
    for byte in text.encode():
        value = (value * 257 + byte) % (2**61 - 1)
    return value


def _betas(mean: float, spread: float, count: int, draw: np.random.Generator) -> Array:
    """Returns ``count`` shares from the Beta distribution of this mean whose 95th percentile is ``spread`` times its
    5th."""
    if spread <= 1:
        return np.full(count, mean)
    from scipy.optimize import brentq
    from scipy.stats import beta

    def off(a: float) -> float:
        low, high = beta.ppf((0.05, 0.95), a, a * (1 - mean) / mean)
        return float(np.log(high / low) - np.log(spread))

    a = brentq(off, 0.3, 500)
    return draw.beta(a, a * (1 - mean) / mean, count)


def _ages(restarted: Array, on_trial: Array) -> Array:
    """Returns the ticks since each node's process began; a stable one that did not restart is old."""
    n, ticks = restarted.shape
    ages = np.full((n, ticks), ticks)
    age = np.full(n, ticks)
    for tick in range(ticks):
        switched = on_trial[:, tick] & (tick == BEFORE)
        age = np.where(restarted[:, tick] | switched, 0, age + 1)
        ages[:, tick] = age
    return ages


def _scraped(cell: Cell, draw: np.random.Generator) -> Array:
    n, ticks = cell.nodes, BEFORE + AFTER
    scraped = np.ones((n, ticks), dtype=bool)
    if not cell.missing:
        return scraped
    begins = cell.missing / 6.5
    lengths = draw.integers(1, 13, (n, ticks))
    for node, tick in zip(*np.nonzero(draw.random((n, ticks)) < begins), strict=True):
        scraped[node, tick : tick + lengths[node, tick]] = False
    return scraped


def _kept(counted: Array, scraped: Array, restarted: Array) -> Array:
    """Returns ``counted`` without what was never scraped, because the process restarted before the next scrape."""
    kept = counted.copy()
    for node, tick in zip(*np.nonzero(restarted), strict=True):
        before = np.nonzero(scraped[node, :tick])[0]
        kept[:, node, (before[-1] + 1 if before.size else 0) : tick] = 0
    return kept


def _shown(cumulative: Array, scraped: Array) -> Array:
    """Returns for each tick the cumulative counts of the last scrape that did not fail."""
    last = np.maximum.accumulate(np.where(scraped, np.arange(scraped.shape[1]), -1), axis=1)
    taken = np.take_along_axis(cumulative, np.maximum(last, 0)[None].repeat(3, axis=0), axis=2)
    return np.where(last >= 0, taken, 0)
