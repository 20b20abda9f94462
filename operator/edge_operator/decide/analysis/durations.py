"""The judgement of durations that the checks of times share: which requests are slow, and how many more there are.

It defines slow in one of two ways. *Objective*: a request is bad if it takes longer than the user's objective.
*Slowdown*: the check compares each node with itself, at the bucket edge that one in ten of its requests exceeded
before.

If at least MIN_NODES nodes on each side have MIN_REQUESTS requests in both windows, the check also looks for a slowdown
between the nodes: an exact permutation test compares how much the median rose on nodes on trial with the rise on stable
nodes. A slowdown of all nodes alike cancels out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, inf, log

from edge_operator.decide.analysis.evidence import Evidence, Judged, percent
from edge_operator.decide.analysis.limits import Before, common_edge, slowdown
from edge_operator.decide.analysis.share_test import Measure, judge_shares
from edge_operator.decide.measurement import Counts, Histogram, Minutes
from edge_statistics.dispersion import Moments
from edge_statistics.histogram import quantile
from edge_statistics.permutation import p_above
from edgemodel.setting_kinds import Amount, Milliseconds, Setting, Settings
from edgemodel.verdict import Verdict

MIN_NODES = 3
MIN_REQUESTS = 100
SHIFT_ALPHA = 0.05
"""The smallest p-value that three nodes against three can reach. It is the level of one look at a candidate that is
slower by exactly the allowance; a candidate that is not slower stays far from it at every look."""


@dataclass(frozen=True)
class DurationRule:
    """The rule of a check of times; at least one of objective and slowdown is judged."""

    objective_seconds: float | None = None
    max_increase: float = 0.01
    """The allowed increase of the share of requests above the objective."""
    max_slowdown: float | None = 1.0
    """The allowed slowdown: 1.0 is twice as slow as before the switch; None: the slowdown is not judged."""


def parse(settings: Settings) -> DurationRule:
    """Returns the rule for settings, which are complete; the slowdown is judged unless there is only an objective."""
    objective = settings["objectiveMilliseconds"]
    slowdown = settings["maxSlowdownPercent"] or ("100" if objective is None else None)
    return DurationRule(
        objective_seconds=None if objective is None else float(objective) / 1000,
        max_increase=float(settings["maxIncreasePercent"]) / 100,
        max_slowdown=None if slowdown is None else float(slowdown) / 100,
    )


def slower(durations: Mapping[float, int], edge: float) -> int:
    """Returns how many took longer than ``edge`` seconds, or than the next higher edge that the server has."""
    total = durations.get(inf, 0)
    at_most = durations.get(edge)
    if at_most is None:
        above = (count for other, count in durations.items() if other >= edge * (1 - 1e-9))
        at_most = min(above, default=total)
    return total - at_most


def settings_of(time: str, is_bad: str) -> Mapping[str, Setting]:
    """Returns the settings of a check of ``time``, such as "Latency"; ``is_bad`` ends the sentence about the
    objective: "a request is bad if …"."""
    return {
        "objectiveMilliseconds": Milliseconds(
            f"{time} objective, in milliseconds: a request is bad if {is_bad} longer; a whole number or a "
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
            f"Slowdown that is too much, in percent of a node's own {time[0].lower()}{time[1:]} before its switch: 100 "
            "is twice as slow; a decimal string from 10 to 1000. While no node runs stable to show how much the hour "
            "changes, half of it counts as unchanged. Default: 100 without objectiveMilliseconds; with it, no slowdown "
            "is judged.",
            unit="percent",
            example="50",
            minimum=10,
            maximum=1000,
        ),
    }


@dataclass(frozen=True)
class Durations:
    """One kind of durations, as a check judges them."""

    histogram: Histogram
    by_minute: Minutes
    what: str
    """The words for the time, such as "latency"."""
    beyond: str = "took longer than {limit}"
    """The words for a slow request, with a place for the limit."""

    def judge(self, name: str, rule: DurationRule, evidence: Evidence) -> Judged:
        """Returns the verdict on the objective, the slowdown of each node and the shift between the nodes; the worst is
        shown."""
        measures = []
        if rule.objective_seconds is not None:
            histograms = map(self.histogram.of, (*evidence.trial, *evidence.control, *evidence.baseline))
            edge = common_edge(rule.objective_seconds, histograms) or rule.objective_seconds
            measures.append(self._objective(edge, rule))
        if rule.max_slowdown is not None:
            measures.append(self._slowdown(rule.max_slowdown, evidence))
        judged = judge_shares(name, evidence, measures)
        if rule.max_slowdown is not None and judged.verdict is not Verdict.FAIL:
            return self._shifted(judged, rule.max_slowdown, evidence) or judged
        return judged

    def _objective(self, edge: float, rule: DurationRule) -> Measure:
        return Measure(
            key="objective",
            settings=(edge, rule.max_increase),
            words=self.beyond.format(limit=f"{1000 * edge:.4g} ms"),
            bad=self._slower,
            total=self._timed,
            before=lambda counts: Before(self._slower(counts, edge), self._timed(counts), rule.max_increase, edge),
            minutes=self._minutes,
            without_baseline=Before(0, 0, rule.max_increase, edge),
        )

    def _slowdown(self, max_slowdown: float, _: Evidence) -> Measure:
        return Measure(
            key="slowdown",
            settings=(max_slowdown,),
            words=self.beyond.format(limit="nine in ten did on their node before"),
            bad=self._slower,
            total=self._timed,
            before=lambda counts: slowdown(self.histogram.of(counts), max_slowdown),
            minutes=self._minutes,
            without_baseline=None,
            allowance="what half of that slowdown makes",
            guarded=True,
        )

    def _minutes(self, counts: Counts, edge: float | None) -> Moments | None:
        up_to = self.by_minute.moments(counts, edge)
        return up_to.complement() if up_to is not None else None

    def _slower(self, counts: Counts, edge: float | None) -> int:
        return slower(self.histogram.of(counts), edge) if edge is not None else 0

    def _timed(self, counts: Counts) -> int:
        return self.histogram.of(counts).get(inf, 0)

    def _shifted(self, judged: Judged, max_slowdown: float, evidence: Evidence) -> Judged | None:
        """Returns Fail by the permutation test, else None: the test never passes a check, nor decides on few nodes."""
        before = {counts.node: counts for counts in evidence.baseline}
        trial, control = self._shifts(evidence.trial, before), self._shifts(evidence.control, before)
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
            sample_count=sum(map(self._timed, evidence.trial)),
            message=(
                f"median {self.what} is {slower} % higher than before, against nodes on stable; limit {limit} % "
                f"({len(trial)} nodes against {len(control)}, p = {p:.3f})"
            ),
            pooled=judged.pooled,
            results=judged.results,
        )

    def _shifts(self, counts: tuple[Counts, ...], before: Mapping[str, Counts]) -> list[float]:
        """Returns the logarithm of the growth of the median, for each node with enough requests in both windows."""
        found = []
        for after in counts:
            base = before.get(after.node)
            if base is None or min(self._timed(after), self._timed(base)) < MIN_REQUESTS:
                continue
            now, then = quantile(self.histogram.of(after), 0.5), quantile(self.histogram.of(base), 0.5)
            if now and then:
                found.append(log(now / then))
        return found
