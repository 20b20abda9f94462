"""The check TimeToFirstToken compares the time to the first token with the same nodes before their switch.

It grows with the prompt, so that clients which send longer prompts would fail a good candidate. What a node did before
is therefore weighted to the lengths of the prompts that it got since (``prompt_lengths.py``), and a slowdown is looked
for within each length (``within_lengths.py``).
"""

from dataclasses import dataclass, replace

from edge_operator.decide.analysis.check_type import CheckType, Objective
from edge_operator.decide.analysis.durations import DurationRule, Durations, parse, settings_of
from edge_operator.decide.analysis.evidence import Evidence, Judged
from edge_operator.decide.analysis.limits import slowdown
from edge_operator.decide.analysis.prompt_lengths import at_the_same_lengths
from edge_operator.decide.analysis.share_test import READ, Measure
from edge_operator.decide.analysis.within_lengths import WithinLengths
from edge_operator.decide.measurement import Counts, Minutes, StratifiedHistogram
from edge_statistics.dispersion import Moments
from edgemodel import metrics
from edgemodel.reasons import Kind, Reason, Topic

TIMES = StratifiedHistogram(metrics.FIRST_TOKEN_SECONDS, metrics.PROMPT_LABEL)
WARM_UP_TIMES = StratifiedHistogram(metrics.FIRST_TOKEN_SECONDS, metrics.PROMPT_LABEL, warm_up=True)
BY_MINUTE = Minutes(TIMES)


@dataclass(frozen=True)
class FirstTokens(Durations):
    """The times to the first token, of which each length of prompts has its own slowdown."""

    def _slowdown(self, max_slowdown: float, evidence: Evidence) -> Measure:
        within = WithinLengths.of(evidence, TIMES, max_slowdown)

        def minutes(counts: Counts, _: float | None) -> Moments | None:
            """Returns the moments at the edge of all lengths together: how far requests come together shows there."""
            together = slowdown(self.histogram.of(counts), max_slowdown)
            return self._minutes(counts, together.edge) if together is not None else None

        return replace(
            super()._slowdown(max_slowdown, evidence),
            words="had their first token later than nine in ten did at their length on their node before",
            bad=lambda counts, _: within.bad(counts),
            total=within.total,
            before=within.before,
            minutes=minutes,
        )


DURATIONS = FirstTokens(TIMES.whole, BY_MINUTE, "time to the first token", "had their first token later than {limit}")


def judge(name: str, rule: DurationRule, evidence: Evidence) -> Judged:
    """Returns the verdict on the times, with those of before weighted to the prompts of now."""
    return DURATIONS.judge(name, rule, at_the_same_lengths(evidence, TIMES, WARM_UP_TIMES))


CHECK = CheckType[DurationRule](
    type="TimeToFirstToken",
    doc="The time to the first token of an answer, compared with prompts of like length on the same nodes before their "
    "switch.",
    settings_doc="With objectiveMilliseconds, requests whose first token comes later are bad; without it, each node is "
    "compared with its own time to the first token before its switch.",
    settings=settings_of("Time to the first token", "its first token takes"),
    parse=parse,
    judge=judge,
    fails_with=Reason(
        "TimeToFirstTokenTooHigh",
        Topic.ANALYSIS,
        Kind.STALLED,
        "The candidate's first token comes later than the check allows, at prompts of the same length.",
        "Use another recipe, lower serving.generate.sequences, give it more CPU, or raise the limit.",
    ),
    series=(*READ, TIMES, BY_MINUTE, WARM_UP_TIMES),
    statistical=True,
    objective=Objective(metrics.FIRST_TOKEN_SECONDS, lambda rule: rule.objective_seconds),
)
