"""The check Latency compares the share of slow requests with the same nodes before their switch.

It defines slow in one of two ways. *Objective*: a request is bad if it takes longer than the user's objective.
*Slowdown*: the check compares each node with itself, at the bucket edge that one in ten of its requests exceeded
before.

If at least MIN_NODES nodes on each side have MIN_REQUESTS requests in both windows, the check also looks for a slowdown
between the nodes: an exact permutation test compares how much the median latency rose on nodes on trial with the rise
on stable nodes. A slowdown of all nodes alike cancels out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import exp, inf, log

from edge_operator.decide.analysis.check_type import CheckType
from edge_operator.decide.analysis.evidence import Evidence, Judged, percent
from edge_operator.decide.analysis.limits import Before, common_edge, slowdown
from edge_operator.decide.analysis.share_test import READ, Measure, judge_shares
from edge_operator.decide.measurement import Counts, Histogram, Minutes
from edge_statistics.dispersion import Moments
from edge_statistics.histogram import quantile
from edge_statistics.permutation import p_above
from edgemodel import metrics, reasons
from edgemodel.reasons import REASONS
from edgemodel.setting_kinds import Amount, Milliseconds, Settings
from edgemodel.verdict import Verdict

DURATIONS = Histogram(metrics.DURATION_SECONDS)
"""The durations of successful requests."""
BY_MINUTE = Minutes(DURATIONS)
WARM_UP_DURATIONS = replace(DURATIONS, warm_up=True)
MIN_NODES = 3
MIN_REQUESTS = 100
SHIFT_ALPHA = 0.05
"""The smallest p-value that three nodes against three can reach. It is the level of one look at a candidate that is
slower by exactly the allowance; a candidate that is not slower stays far from it at every look."""


@dataclass(frozen=True)
class LatencyRule:
    """The rule of the check Latency; at least one of objective and slowdown is judged."""

    objective_seconds: float | None = None
    max_increase: float = 0.01
    """The allowed increase of the share of requests above the objective."""
    max_slowdown: float | None = 1.0
    """The allowed slowdown: 1.0 is twice as slow as before the switch; None: the slowdown is not judged."""


def parse(settings: Settings) -> LatencyRule:
    """Returns the rule for ``latency`` settings, which are complete; the slowdown is judged unless there is only an
    objective."""
    objective = settings["objectiveMilliseconds"]
    slowdown = settings["maxSlowdownPercent"] or ("100" if objective is None else None)
    return LatencyRule(
        objective_seconds=None if objective is None else float(objective) / 1000,
        max_increase=float(settings["maxIncreasePercent"]) / 100,
        max_slowdown=None if slowdown is None else float(slowdown) / 100,
    )


def judge(name: str, rule: LatencyRule, evidence: Evidence) -> Judged:
    """Returns the verdict on the objective, the slowdown of each node and the shift between the nodes; the worst is
    shown."""
    measures = []
    if rule.objective_seconds is not None:
        histograms = map(DURATIONS.of, (*evidence.trial, *evidence.control, *evidence.baseline))
        edge = common_edge(rule.objective_seconds, histograms) or rule.objective_seconds
        measures.append(_objective(edge, rule))
    if rule.max_slowdown is not None:
        measures.append(_slowdown(rule.max_slowdown))
    judged = judge_shares(name, evidence, measures)
    if rule.max_slowdown is not None and judged.verdict is not Verdict.FAIL:
        return _shifted(judged, rule.max_slowdown, evidence) or judged
    return judged


def _objective(edge: float, rule: LatencyRule) -> Measure:
    return Measure(
        key="objective",
        settings=(edge, rule.max_increase),
        words=f"took longer than {1000 * edge:.4g} ms",
        bad=_slower,
        total=_timed,
        before=lambda counts: Before(_slower(counts, edge), _timed(counts), rule.max_increase, edge),
        minutes=_minutes,
        without_baseline=Before(0, 0, rule.max_increase, edge),
    )


def _slowdown(max_slowdown: float) -> Measure:
    return Measure(
        key="slowdown",
        settings=(max_slowdown,),
        words="took longer than nine in ten did on their node before",
        bad=_slower,
        total=_timed,
        before=lambda counts: slowdown(DURATIONS.of(counts), max_slowdown),
        minutes=_minutes,
        without_baseline=None,
        allowance="what half of that slowdown makes",
        guarded=True,
    )


def _minutes(counts: Counts, edge: float | None) -> Moments | None:
    up_to = BY_MINUTE.moments(counts, edge)
    return up_to.complement() if up_to is not None else None


def _slower(counts: Counts, edge: float | None) -> int:
    """Returns how many requests took longer than ``edge`` seconds, or than the next higher edge that the server has."""
    if edge is None:
        return 0
    durations = DURATIONS.of(counts)
    at_most = durations.get(edge)
    if at_most is None:
        above = (count for other, count in durations.items() if other >= edge * (1 - 1e-9))
        at_most = min(above, default=_timed(counts))
    return _timed(counts) - at_most


def _timed(counts: Counts) -> int:
    return DURATIONS.of(counts).get(inf, 0)


def _shifted(judged: Judged, max_slowdown: float, evidence: Evidence) -> Judged | None:
    """Returns Fail by the permutation test, else None: the test never passes a check, nor decides on few nodes."""
    before = {counts.node: counts for counts in evidence.baseline}
    trial, control = _shifts(evidence.trial, before), _shifts(evidence.control, before)
    if len(trial) < MIN_NODES or len(control) < MIN_NODES:
        return None
    # The test is not whether they differ, but whether they differ by more than is allowed.
    p = p_above([shift - log(1 + max_slowdown) for shift in trial], control)
    if p > SHIFT_ALPHA:
        return None
    shift = sum(trial) / len(trial) - sum(control) / len(control)
    slower, limit = percent(exp(shift) - 1), percent(max_slowdown)
    return Judged(
        name=judged.name,
        variant=judged.variant,
        verdict=Verdict.FAIL,
        observed=slower,
        limit=limit,
        sample_count=sum(map(_timed, evidence.trial)),
        message=(
            f"median latency is {slower} % higher than before, against nodes on stable; limit {limit} % "
            f"({len(trial)} nodes against {len(control)}, p = {p:.3f})"
        ),
        pooled=judged.pooled,
        results=judged.results,
    )


def _shifts(counts: tuple[Counts, ...], before: Mapping[str, Counts]) -> list[float]:
    """Returns the logarithm of the growth of the median, for each node with enough requests in both windows."""
    found = []
    for after in counts:
        base = before.get(after.node)
        if base is None or min(_timed(after), _timed(base)) < MIN_REQUESTS:
            continue
        now, then = quantile(DURATIONS.of(after), 0.5), quantile(DURATIONS.of(base), 0.5)
        if now and then:
            found.append(log(now / then))
    return found


CHECK = CheckType(
    type="Latency",
    doc="The share of slow requests, compared with the same nodes before their switch.",
    settings_doc="With objectiveMilliseconds, requests that take longer are bad; without it, each node is compared "
    "with its own latency before its switch.",
    settings={
        "objectiveMilliseconds": Milliseconds(
            "Latency objective, in milliseconds: a request is bad if the server takes longer; a whole number or a "
            "decimal string above 0, at most 60000. Default: none, each node is compared with itself by "
            "maxSlowdownPercent.",
            maximum=60000,
        ),
        "maxIncreasePercent": Amount(
            "With objectiveMilliseconds: increase in the share of requests above the objective that is too much, in "
            "percentage points; a decimal string above 0, at most 100. The check fails when the candidate is shown to "
            "exceed the expected share by more than this: with 1 point, the limit is 2 % where 1 % is expected, and "
            "6 % where 5 % is. Expected is the share of the same node before its switch, times the drift that nodes "
            "on stable show since then; if none runs stable, 1.5 times the odds of before. Default: 1.",
            unit="percentage points",
            example="1.0",
            default="1",
            above=True,
        ),
        "maxSlowdownPercent": Amount(
            "Slowdown that is too much, in percent of a node's own latency before its switch: 100 is twice as slow; a "
            "decimal string from 10 to 1000. While no node runs stable to show how much the hour changes, half of it "
            "counts as unchanged. Default: 100 without objectiveMilliseconds; with it, no slowdown is judged.",
            unit="percent",
            example="50",
            minimum=10,
            maximum=1000,
        ),
    },
    parse=parse,
    judge=judge,
    fails_with=REASONS[reasons.LATENCY_TOO_HIGH],
    series=(*READ, DURATIONS, BY_MINUTE, WARM_UP_DURATIONS),
    statistical=True,
    latency_edge=lambda rule: rule.objective_seconds,
)
