"""Latency: do requests take longer than they may?

Two ways to say how long that is. *Objective*: a request is bad that takes longer than the user's objective. *Slowdown*:
each node is compared with itself, at the bucket edge that one in ten of its requests exceeded before.

Where at least FEWEST_NODES nodes on each side have FEWEST_REQUESTS requests in both windows, a slowdown is also looked
for between the nodes: by how much each became slower in the median, those on trial against those on stable, with an
exact permutation test. What slows down all of them alike cancels out there.
"""

from math import exp, inf, log

from edge_operator.decide.analysis.evidence import Evidence, Judged, percent
from edge_operator.decide.analysis.limits import (
    FEWEST_FOR_SLOWDOWN,
    allowed_share,
    allowed_slowdown,
    common_edge,
)
from edge_operator.decide.analysis.shares import Measure, judge_shares
from edge_operator.decide.samples import Counts
from edge_statistics.histogram import quantile
from edge_statistics.permutation import p_above
from edgemodel import reasons
from edgemodel.analysis import LatencyRule
from edgemodel.verdict import Verdict

MOST_A_MINUTE = 12.0
"""Requests of one node within a minute that count: while another program, heat or a backup slows a board down for a
minute, all its requests are slow together."""
FEWEST_NODES = 3
FEWEST_REQUESTS = 100
SHIFT_ALPHA = 0.05
"""The least that three nodes against three can reach. It is the level of one look at a candidate that is slower by just
what is allowed; against one that is not slower at all, no look comes near it."""


def judge_latency(name: str, rule: LatencyRule, evidence: Evidence) -> Judged:
    measures = []
    if rule.objective_seconds is not None:
        sides = (evidence.trial, evidence.control, evidence.baseline)
        edge = common_edge(rule.objective_seconds, *sides) or rule.objective_seconds
        measures.append(_objective(edge, rule))
    if rule.max_slowdown is not None:
        measures.append(_slowdown(rule.max_slowdown))
    judged = judge_shares(name, evidence, measures, reasons.LATENCY_TOO_HIGH)
    if rule.max_slowdown is not None and judged.verdict is not Verdict.FAIL:
        return _shifted(judged, rule.max_slowdown, evidence) or judged
    return judged


def _objective(edge: float, rule: LatencyRule) -> Measure:
    return Measure(
        key="objective",
        words=f"took longer than {1000 * edge:.4g} ms",
        bad=lambda counts, limits: _slower(counts, limits.edge),
        total=_timed,
        limits=lambda counts: allowed_share(_slower(counts, edge), _timed(counts), rule.max_increase, edge),
        without_baseline=allowed_share(0, 0, rule.max_increase, edge),
        most_a_minute=MOST_A_MINUTE,
    )


def _slowdown(max_slowdown: float) -> Measure:
    return Measure(
        key="slowdown",
        words="took longer than nine in ten did on their node before",
        bad=lambda counts, limits: _slower(counts, limits.edge),
        total=_timed,
        limits=lambda counts: allowed_slowdown(counts.durations, max_slowdown),
        without_baseline=None,
        own_only=True,
        fewest=FEWEST_FOR_SLOWDOWN,
        most_a_minute=MOST_A_MINUTE,
    )


def _slower(counts: Counts, edge: float | None) -> int:
    """How many took longer than ``edge`` seconds; than the next edge above it where the server has no such edge."""
    if edge is None:
        return 0
    at_most = counts.durations.get(edge)
    if at_most is None:
        above = (count for other, count in counts.durations.items() if other >= edge * (1 - 1e-9))
        at_most = min(above, default=_timed(counts))
    return _timed(counts) - at_most


def _timed(counts: Counts) -> int:
    return counts.durations.get(inf, 0)


def _shifted(judged: Judged, max_slowdown: float, evidence: Evidence) -> Judged | None:
    """Fail by the permutation test, or None: it never passes anything, and decides nothing on few nodes."""
    before = {counts.node: counts for counts in evidence.baseline}
    trial, control = _shifts(evidence.trial, before), _shifts(evidence.control, before)
    if len(trial) < FEWEST_NODES or len(control) < FEWEST_NODES:
        return None
    # Tested is not whether they differ, but whether they differ by more than is allowed.
    p = p_above([shift - log(1 + max_slowdown) for shift in trial], control)
    if p > SHIFT_ALPHA:
        return None
    shift = sum(trial) / len(trial) - sum(control) / len(control)
    slower, limit = percent(exp(shift) - 1), percent(max_slowdown)
    message = (
        f"median latency is {slower} % higher than before, against nodes on stable; limit {limit} % "
        f"({len(trial)} nodes against {len(control)}, p = {p:.3f})"
    )
    return Judged(
        judged.name,
        judged.variant,
        Verdict.FAIL,
        slower,
        limit,
        sum(map(_timed, evidence.trial)),
        message,
        reasons.LATENCY_TOO_HIGH,
        pooled=judged.pooled,
    )


def _shifts(counts: tuple[Counts, ...], before: dict[str, Counts]) -> list[float]:
    """For each node with enough requests in both windows: the logarithm of how many times its median grew."""
    found = []
    for after in counts:
        base = before.get(after.node)
        if base is None or min(_timed(after), _timed(base)) < FEWEST_REQUESTS:
            continue
        now, then = quantile(after.durations, 0.5), quantile(base.durations, 0.5)
        if now and then:
            found.append(log(now / then))
    return found
