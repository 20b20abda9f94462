"""The rules that are compared: ours, by the operator's own code, and others as their documentation defines them.

All roll out by the same waves. A rule's ``Run`` has the result of one rollout. Rules that compare with stable use the
hour before the rollout once no node runs it any more.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import inf, sqrt

import numpy as np

from edge_operator.decide.analysis import OnTrial, WaveBaseline, judge
from edge_operator.decide.analysis.checks.latency import BY_MINUTE
from edge_operator.decide.analysis.share_test import REQUESTS_BY_MINUTE
from edge_operator.decide.measurement import Baseline, Counts, Samples
from edge_operator.decide.placement.waves import plan_waves
from edge_statistics.dispersion import Moments
from edgemodel import metrics
from edgemodel.analysis import Analysis, parse_analysis
from edgemodel.spec import Wave
from tests.bench.fleets import EDGES, Array, Fleet, quantiles
from tests.support.verdicts import counted

WAVES = (Wave("canary", nodes=1), Wave("tenth", percent=10), Wave("all", percent=100))
SOAK, BAKE, HOLD = 300, 1800, 3600
TICK = 30
"""The seconds between two scrapes."""
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
PROMOTED, ROLLED_BACK, HELD = "promoted", "rolled back", "held"


@dataclass(frozen=True)
class Run:
    """The end of one simulated rollout."""

    outcome: str
    seconds: float
    """The time since the first node served the candidate."""
    seen: int = 0
    """The number of requests that it had served by then."""


@dataclass(frozen=True)
class Fault:
    """The fault of a candidate."""

    slower: float = 1.0
    error_rate: float | None = None


def plan(nodes: int) -> list[int]:
    """Returns how many nodes each wave reaches, without waves that add none."""
    goals = plan_waves(WAVES, nodes)
    return [goal for number, goal in enumerate(goals) if number == 0 or goal > goals[number - 1]]


# --- ours ---


@dataclass
class Ours:
    """The operator's own judgement; an undecided wave is held for an hour.

    It looks every TICK seconds, and a fourth as often in the bake and while it is held. The operator looks more often,
    every 15 s, and finds faults a little sooner.
    """

    analysis: Analysis

    def __call__(self, fleet: Fleet, fault: Fault) -> Run:
        by_minute, failed_by_minute = fleet.baseline()
        before, failed_before = by_minute.sum(axis=0), failed_by_minute.sum(axis=0)
        baseline = Baseline(_with_minutes(_counts(before.cumsum(axis=1), failed_before), by_minute, failed_by_minute))
        names = [f"n{number}" for number in range(fleet.nodes)]
        variants = dict.fromkeys(names, "default")
        goals, wave, at, wave_began, seen = plan(fleet.nodes), 0, 0, 0, 0
        counted, failed = np.zeros_like(before), np.zeros_like(failed_before)
        shown, shown_failed = counted.copy(), failed.copy()
        wave_baseline = WaveBaseline.begin(self.analysis, 1, EPOCH)
        entered = [0] * goals[0]
        while True:
            on = np.arange(fleet.nodes) < goals[wave]
            tick = TICK if wave < len(goals) - 1 and at - wave_began < SOAK else 4 * TICK
            at += tick
            good, bad = fleet.tick(at, tick, np.where(on, fault.slower, 1.0), _error_rates(fleet, fault, on))
            counted += good
            failed += bad
            seen += int(good[on].sum() + bad[on].sum())
            scraped = fleet.scraped(at)
            shown[scraped], shown_failed[scraped] = counted[scraped], failed[scraped]
            now = EPOCH + timedelta(seconds=at)
            since = _counts(shown.cumsum(axis=1), shown_failed)
            samples = Samples(
                measured_at=now,
                candidate="c",
                since=wave_baseline.since,
                trial=tuple(since[: goals[wave]]),
                control=tuple(since[goals[wave] :]),
                baseline=baseline,
                reporting={name: now for name, answers in zip(names, scraped, strict=True) if answers},
            )
            nodes = tuple(
                OnTrial(name, "default", EPOCH + timedelta(seconds=entry))
                for name, entry in zip(names, entered, strict=False)
            )
            judgement = judge(self.analysis, samples, wave_baseline, "c", nodes, variants, False, now)
            wave_baseline = wave_baseline.with_baselines(judgement.judged)
            if judgement.failed is not None:
                return Run(ROLLED_BACK, at, seen)
            last = wave == len(goals) - 1
            served = at - wave_began
            if served < (BAKE if last else SOAK):
                continue
            if judgement.waiting:
                if served >= (BAKE if last else SOAK) + HOLD:
                    return Run(HELD, at, seen)
                continue
            if last:
                return Run(PROMOTED, at, seen)
            wave, wave_began = wave + 1, at
            entered += [at] * (goals[wave] - len(entered))
            wave_baseline = WaveBaseline.begin(self.analysis, 1, now)
            before, failed_before = before + _stable(counted, on), failed_before + np.where(on, 0, failed)
            baseline = Baseline(
                _with_minutes(_counts(before.cumsum(axis=1), failed_before), by_minute, failed_by_minute)
            )
            counted, failed = np.zeros_like(counted), np.zeros_like(failed)
            shown, shown_failed = counted.copy(), failed.copy()


def ours(*checks: dict[str, object]) -> Ours:
    """Returns our rule with ``checks`` as a manifest has them."""
    return Ours(parse_analysis({"checks": list(checks)}))


def _stable(counted: Array, on: Array) -> Array:
    return np.where(on[:, None], 0, counted)


def _counts(cumulative: Array, failed: Array) -> list[Counts]:
    return [
        counted(f"n{number}", int(row[-1]), 0, int(bad), dict(zip(EDGES, row.tolist(), strict=True)))
        for number, (row, bad) in enumerate(zip(cumulative, failed, strict=True))
    ]


def _with_minutes(baseline: list[Counts], by_minute: Array, failed: Array) -> list[Counts]:
    """Returns ``baseline`` with the sums over the minutes of the hour before."""
    up_to = by_minute.cumsum(axis=2)
    answered = up_to[:, :, -1]
    everything = answered + failed
    n, nn = everything.sum(axis=0), (everything**2).sum(axis=0)
    m, mm = answered.sum(axis=0), (answered**2).sum(axis=0)
    k, kk, km = up_to.sum(axis=0), (up_to**2).sum(axis=0), (up_to * answered[:, :, None]).sum(axis=0)
    bad, bb, bn = failed.sum(axis=0), (failed**2).sum(axis=0), (failed * everything).sum(axis=0)
    return [
        with_minutes(
            counts,
            {metrics.SERVER_ERROR: Moments(*map(float, (bad[i], n[i], bb[i], bn[i], nn[i])))},
            {edge: Moments(*map(float, (k[i, j], m[i], kk[i, j], km[i, j], mm[i]))) for j, edge in enumerate(EDGES)},
        )
        for i, counts in enumerate(baseline)
    ]


def with_minutes(counts: Counts, by_outcome: Mapping[str, Moments], by_edge: Mapping[float, Moments]) -> Counts:
    """Returns the samples of a node with the sums over the minutes of its baseline."""
    return replace(counts, values={**counts.values, REQUESTS_BY_MINUTE: by_outcome, BY_MINUTE: by_edge})


def _error_rates(fleet: Fleet, fault: Fault, on: Array) -> Array | None:
    return None if fault.error_rate is None else np.where(on, fault.error_rate, fleet.error_rate)


# --- others ---


@dataclass
class Minute:
    """The data of a minute as a rule sees them: histograms, not cumulative, pooled over the nodes that were scraped."""

    canary: Array
    """The canary in the last minute."""
    stable: Array
    """Stable in the last minute; in the hour before if no node runs stable any more."""
    canary_wave: Array
    """The canary since the wave began."""
    stable_wave: Array
    before: Array
    """All nodes in the hour before the rollout."""
    canary_failed: int
    canary_total: int


Verdict = Callable[[Minute], bool | None]
"""A function that returns True for a failed look, False for a good one, None without data."""


@dataclass(frozen=True)
class Other:
    """A rule that looks once a minute, and rolls back after ``failures`` failed looks in a rollout.

    ``no_data`` looks in a row without data end the rollout; None: they count as failed ones.
    """

    fails: Verdict
    failures: int = 1
    no_data: int | None = 5


@dataclass
class Tally:
    """The state of one of the other rules in a rollout."""

    rule: Other
    failures: int = 0
    silent: int = 0

    def rolls_back(self, minute: Minute) -> bool:
        """Returns whether the rule rolls back after this minute, and counts it."""
        fails = self.rule.fails(minute)
        self.silent = self.silent + 1 if fails is None else 0
        self.failures += fails is True or (fails is None and self.rule.no_data is None)
        too_silent = self.rule.no_data is not None and self.silent >= self.rule.no_data
        return self.failures >= self.rule.failures or too_silent


def others(fleet: Fleet, fault: Fault) -> dict[str, Run]:
    """Returns the result of the rollout by each of OTHERS, all with the same minutes."""
    before = fleet.baseline()[0].sum(axis=0)
    everything = before.sum(axis=0)
    tallies = {name: Tally(rule) for name, rule in OTHERS.items()}
    runs: dict[str, Run] = {}
    goals, at, seen = plan(fleet.nodes), 0, 0
    for wave, goal in enumerate(goals):
        on = np.arange(fleet.nodes) < goal
        canary_wave, stable_wave = np.zeros(len(EDGES), int), np.zeros(len(EDGES), int)
        last = wave == len(goals) - 1
        for _ in range(0, BAKE if last else SOAK, 60):
            at += 60
            good, bad = fleet.tick(at, 60, np.where(on, fault.slower, 1.0), _error_rates(fleet, fault, on))
            seen += int(good[on].sum() + bad[on].sum())
            scraped = fleet.scraped(at)
            canary, stable = good[on & scraped].sum(axis=0), good[~on & scraped].sum(axis=0)
            failed = int(bad[on & scraped].sum())
            canary_wave += canary
            stable_wave += stable
            minute = Minute(
                canary,
                stable if not last else everything,
                canary_wave,
                stable_wave if not last else everything,
                everything,
                failed,
                int(canary.sum()) + failed,
            )
            for name in [name for name in tallies if name not in runs]:
                if tallies[name].rolls_back(minute):
                    runs[name] = Run(ROLLED_BACK, at, seen)
            if len(runs) == len(tallies):
                return runs
    return {name: runs.get(name, Run(PROMOTED, at, seen)) for name in tallies}


def p95_above_stable(minute: Minute) -> bool | None:
    """Returns whether ``histogram_quantile(0.95, …)`` of the canary exceeds 1.2 times that of stable, in the last
    minute."""
    canary, stable = (float(quantiles(side, 0.95)) for side in (minute.canary, minute.stable))
    return None if np.isnan(canary) or np.isnan(stable) else canary > 1.2 * stable


def mann_whitney(minute: Minute) -> bool | None:
    """Returns the result of a one-sided Mann-Whitney U test of the pooled latencies since the wave began, at 5 %, with
    ties."""
    m, n = int(minute.canary_wave.sum()), int(minute.stable_wave.sum())
    if not m or not n:
        return None
    below = np.concatenate(([0], minute.stable_wave.cumsum()[:-1]))
    u = float((minute.canary_wave * (below + minute.stable_wave / 2)).sum())
    ties = minute.canary_wave + minute.stable_wave
    spread = m * n / 12 * ((m + n + 1) - float((ties**3 - ties).sum()) / ((m + n) * (m + n - 1) or 1))
    return bool(spread > 0 and (u - m * n / 2) / sqrt(spread) > 1.6448536269514722)


def flagger(minute: Minute) -> bool | None:
    """Returns the result of Flagger's rules: request-success-rate at least 99 %, request-duration (p99) at most 1.5
    times the earlier one; one minute each."""
    if not minute.canary_total:
        return None
    p99 = float(quantiles(minute.canary, 0.99))
    return minute.canary_failed / minute.canary_total > 0.01 or bool(p99 > 1.5 * float(quantiles(minute.before, 0.99)))


def argo(minute: Minute) -> bool | None:
    """Returns the result of a successCondition: p95 at most 1.2 times the earlier one, and at least 95 % of requests
    succeed."""
    if not minute.canary_total:
        return None
    p95 = float(quantiles(minute.canary, 0.95))
    return minute.canary_failed / minute.canary_total > 0.05 or bool(p95 > 1.2 * float(quantiles(minute.before, 0.95)))


OURS = "ours (errors, latency)"
OTHERS = {
    "p95 > 1.2 x stable": Other(p95_above_stable),
    "Mann-Whitney, pooled": Other(mann_whitney),
    "Flagger (threshold 5)": Other(flagger, failures=5, no_data=None),
    "Argo (failureLimit 3)": Other(argo, failures=4),
}
judged_by_us = ours({"name": "errors", "type": "ErrorRate"}, {"name": "latency", "type": "Latency"})
assert inf in EDGES
