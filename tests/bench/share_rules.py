"""The rules for the second family of fleets: ours, by the operator's own code, and an oracle.

All have one wave of ``AFTER`` ticks, and look at every tick.
"""

from datetime import timedelta
from math import inf, log

import numpy as np

from edge_operator.decide.analysis import OnTrial, WaveBaseline, judge
from edge_operator.decide.measurement import Baseline, Counts, Samples
from edge_statistics.dispersion import Moments
from edgemodel import metrics
from edgemodel.analysis import Analysis
from tests.bench.fleets import Array
from tests.bench.rules import EPOCH, HELD, PROMOTED, ROLLED_BACK, Run, with_minutes
from tests.bench.share_fleets import AFTER, BEFORE, TICK_SECONDS, Fleet
from tests.support.verdicts import counted, with_warm_up

OBJECTIVE = 0.05
CANDIDATE = "c"
ORACLE_THRESHOLD = log(1 / 0.01)
"""The logarithm of the likelihood ratio at which at most one good candidate in a hundred is rejected (Wald)."""


def ours(fleet: Fleet, analysis: Analysis) -> Run:
    """Returns the result of the rollout by the operator's judgement."""
    variants = dict.fromkeys(names_of(fleet), "default")
    on_trial = tuple(OnTrial(name, "default", EPOCH) for name in names_of(fleet)[: fleet.cell.canaries])
    wave_baseline, baseline = WaveBaseline.begin(analysis, 1, EPOCH), before_switch(fleet)
    judgement = None
    for tick in range(BEFORE, BEFORE + AFTER):
        samples = samples_at(fleet, baseline, tick)
        judgement = judge(analysis, samples, wave_baseline, CANDIDATE, on_trial, variants, False, samples.measured_at)
        wave_baseline = wave_baseline.with_baselines(judgement.judged)
        if judgement.failed is not None:
            return Run(ROLLED_BACK, TICK_SECONDS * (tick - BEFORE + 1))
    assert judgement is not None
    return Run(HELD if judgement.waiting else PROMOTED, TICK_SECONDS * AFTER)


def names_of(fleet: Fleet) -> list[str]:
    """Returns the names of the nodes, those on trial first."""
    return [f"n{number}" for number in range(fleet.cell.nodes)]


def before_switch(fleet: Fleet) -> Baseline:
    """Returns the samples of stable before the switch."""
    names = names_of(fleet)
    steady = _with_minutes(fleet, _counts(names, fleet.seen[:, :, BEFORE - 1]))
    return Baseline(map(with_warm_up, steady, _counts(names, fleet.stable_warm)))


def samples_at(fleet: Fleet, baseline: Baseline, tick: int) -> Samples:
    """Returns what was measured by the end of ``tick``."""
    names, canaries = names_of(fleet), fleet.cell.canaries
    now = EPOCH + timedelta(seconds=TICK_SECONDS * (tick - BEFORE + 1))
    known = fleet.seen[:, :, BEFORE - 1].copy()
    known[:, canaries:] = first_scrape(fleet, tick)[:, canaries:]
    since = _counts(names, fleet.seen[:, :, tick] - known)
    warm = _counts(names[:canaries], fleet.seen_warm[:, :canaries, tick])
    return Samples(
        measured_at=now,
        candidate=CANDIDATE,
        since=EPOCH,
        trial=tuple(map(with_warm_up, since, warm)),
        control=tuple(since[canaries:]),
        baseline=baseline,
        reporting={name: now for name, answers in zip(names, fleet.scraped[:, tick], strict=True) if answers},
    )


def first_scrape(fleet: Fleet, tick: int) -> Array:
    """Returns the counts at each node's first scrape from the switch on until ``tick``, ``[3, node]``; without one, the
    last ones before.

    The operator counts what nodes on stable served since that scrape: before it, nobody knows what came before the
    switch and what after it.
    """
    scraped = fleet.scraped[:, BEFORE - 1 : tick + 1]
    at = np.where(scraped.any(axis=1), BEFORE - 1 + scraped.argmax(axis=1), tick)
    return np.take_along_axis(fleet.seen, at[None, :, None].repeat(3, axis=0), axis=2)[:, :, 0]


def _with_minutes(fleet: Fleet, baseline: list[Counts]) -> tuple[Counts, ...]:
    """Returns ``baseline`` with the sums over its minutes, of what Prometheus has seen by the end of each."""
    ends = fleet.seen[:, :, 3:BEFORE:4]
    requests, misses, errors = np.diff(ends, axis=2, prepend=0)
    ok = requests - errors
    found = []
    for node, counts in enumerate(baseline):
        by_outcome = {
            metrics.SERVER_ERROR: _moments(errors[node], requests[node]),
            metrics.OK: _moments(ok[node], requests[node]),
        }
        by_edge = {OBJECTIVE: _moments(ok[node] - misses[node], ok[node]), inf: _moments(ok[node], ok[node])}
        found.append(with_minutes(counts, by_outcome, by_edge))
    return tuple(found)


def _moments(k: Array, n: Array) -> Moments:
    return Moments(*map(float, (k.sum(), n.sum(), k @ k, k @ n, n @ n)))


def _counts(names: list[str], counts: Array) -> list[Counts]:
    return [
        counted(
            name,
            int(requests - errors),
            0,
            int(errors),
            {OBJECTIVE: int(requests - errors - misses), inf: int(requests - errors)},
        )
        for name, requests, misses, errors in zip(names, *counts, strict=True)
    ]


def oracle(fleet: Fleet) -> Run:
    """Returns when somebody would reject the candidate who knows everything but whether it has the fault: the base
    rates, the dispersion, the size of the fault."""
    cell = fleet.cell
    c = cell.canaries
    ratio = np.zeros(AFTER)
    for kind, factor in ((0, cell.misses), (1, cell.errors)):
        if factor == 1:
            continue
        p0 = np.minimum(fleet.expected[kind, :c, BEFORE:], 0.98)
        p1 = np.minimum(p0 * factor, 0.99)
        total = np.where(fleet.warm[:c, BEFORE:], 0, fleet.counted[0, :c, BEFORE:])
        bad = np.where(fleet.warm[:c, BEFORE:], 0, fleet.counted[1 + kind, :c, BEFORE:])
        worth = 1 / (1 + cell.clumped * 4 * total * p0)
        step = worth * (bad * np.log(p1 / p0) + (total - bad) * np.log((1 - p1) / (1 - p0)))
        ratio += step.sum(axis=0).cumsum()
    found = np.nonzero(ratio >= ORACLE_THRESHOLD)[0]
    if found.size:
        return Run(ROLLED_BACK, TICK_SECONDS * float(found[0] + 1))
    return Run(PROMOTED, TICK_SECONDS * AFTER)
