"""The evidence that a check judges from: samples of nodes, and the parameters that are fixed for the wave."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import inf

from edge_operator.decide.analysis.pooled import Pooled
from edge_operator.decide.measurement import Answer, Baseline, Counts
from edge_statistics.sequential import mixed
from edgemodel.verdict import Verdict

ALPHA = 0.05
"""The significance level: the probability, in all checks and variants together, that a candidate fails by chance alone;
the permutation test of Latency has a level of its own."""
BETA = 0.1
"""The probability that a check passes a candidate that is just too much worse."""
FIRST_REPORT_SECONDS = 60


@dataclass(frozen=True)
class Hypothesis:
    """A statement about a candidate, which is shown once the mixed log-likelihood ratios reach ``limit``.

    An alternative is a multiple of the increase that is too much. The ratios of nodes, variants apart, and those of
    clusters add up for each alternative; only their sums are mixed.
    """

    name: str
    """WORSE, ABOVE_LIMIT or BELOW_LIMIT."""
    ratios: Mapping[float, float]
    """The log-likelihood ratio of each alternative: above 0, the counts speak for it."""
    limit: float

    @property
    def shown(self) -> bool:
        """True if the counts show it."""
        return mixed(list(self.ratios.values())) >= self.limit


WORSE = "Worse"
"""The candidate is worse than expected: the alternatives are compared with the expected share."""
ABOVE_LIMIT = "AboveLimit"
"""It exceeds the limit: the alternative is compared with the limit. A check fails once this and WORSE are shown."""
BELOW_LIMIT = "BelowLimit"
"""It does not: the alternatives are compared with the limit. A check passes once this is shown."""


@dataclass(frozen=True)
class MeasureResult:
    """The numbers behind the verdict on one measure of a check."""

    measure: str
    hypotheses: tuple[Hypothesis, ...]
    detectable: float
    """The increase of the share, 0..1, that would be found by now with four chances in five; infinity if none would."""
    requests_to_decide: float
    """The approximate number of further requests until there are enough to decide, 0 from then on; infinity if that is
    not known."""
    requests_a_minute: float
    """The requests of all nodes on trial in a minute, on average since they count."""

    @property
    def minutes_to_decide(self) -> float:
        """Returns the minutes until a decision at the present rate; infinity if it is not known."""
        if self.requests_to_decide == 0:
            return 0.0
        return self.requests_to_decide / self.requests_a_minute if self.requests_a_minute else inf


@dataclass(frozen=True)
class Judged:
    """The verdict of one check of one variant.

    ``observed`` and ``limit`` are decimal strings in the unit that ``message`` says.
    """

    name: str
    variant: str
    verdict: Verdict
    observed: str
    limit: str
    sample_count: int
    message: str
    reason: str = ""
    """The reason why the check is undecided, one of ``edgemodel.reasons``; for a failed check, the reason of its
    type."""
    waits: bool = False
    """True if the check is undecided and more data may decide it."""
    pooled: Mapping[str, Pooled] = field(default_factory=dict)
    """The limits that were pooled over the nodes, by measure, for the WaveBaseline."""
    results: tuple[MeasureResult, ...] = ()
    """The numbers behind the verdict, for each measure, the one that ``message`` is about first; empty for a check
    that is no test of shares."""


@dataclass(frozen=True)
class ControlGroup:
    """The nodes of one variant that run stable, with what is known of the variant before the wave."""

    control: tuple[Counts, ...]
    """The samples of stable since the measurement of the wave began, on nodes that still run it."""
    baseline: Baseline
    """The samples of stable before then, on all nodes of the variant."""
    fixed: Mapping[tuple[str, str], Pooled]
    """The pooled limits from the beginning of the wave, by (check, measure)."""


@dataclass(frozen=True)
class Evidence:
    """The evidence for one variant, with samples of its nodes alone; with an empty ``variant``, for all nodes."""

    variant: str
    nodes: Mapping[str, datetime]
    """The nodes whose server of the candidate is ready -> since when."""
    measured_at: datetime
    trial: tuple[Counts, ...]
    """The samples of the candidate since the measurement of the wave began."""
    control: tuple[Counts, ...]
    """The samples of stable since then, on nodes that still run it."""
    baseline: Baseline
    """The samples of stable before then."""
    present: tuple[Counts, ...]
    """The gauges of the candidate's servers, on the nodes that report."""
    reporting: frozenset[str]
    """The members of ``nodes`` whose server answered the last scrape."""
    answers: Mapping[str, Answer]
    """The answers to the queries of users, by the name of the check."""
    contradictory: Mapping[str, str]
    """The members of ``nodes`` with impossible numbers -> why. They count as not reporting."""
    alpha: float
    """The share of ALPHA for one check."""
    is_first: bool
    """True if there is no stable revision to compare with."""
    fixed: Mapping[tuple[str, str], Pooled] = field(default_factory=dict)
    """The pooled limits from the beginning of the wave, by (check, measure)."""
    others: tuple[ControlGroup, ...] = ()
    """The nodes of other variants that run stable: they show the drift if ``control`` does not."""

    @property
    def quorum(self) -> bool:
        """True if at least half of the nodes report, and each new one, which has FIRST_REPORT_SECONDS for that."""
        late = [n for n in self.nodes if n not in self.reporting and self.seconds(n) < FIRST_REPORT_SECONDS]
        return not late and 2 * len(self.reporting) >= len(self.nodes) > 0

    def seconds(self, node: str) -> float:
        """Returns the seconds since the requests of ``node`` count."""
        since = self.nodes.get(node)
        return (self.measured_at - since).total_seconds() if since is not None else 0.0

    def undecided(self, name: str, message: str, reason: str, *, waits: bool, sample_count: int = 0) -> Judged:
        """Returns Inconclusive for the check ``name``, without an observed value."""
        return Judged(name, self.variant, Verdict.INCONCLUSIVE, "", "", sample_count, message, reason, waits)


def percent(share: float) -> str:
    """Returns ``share`` in percent with three significant digits, for messages."""
    text = f"{100 * share:.3g}"
    return text if "e" not in text else f"{100 * share:.0f}"


def on_nodes(count: int) -> str:
    """Returns ``on 1 node``, ``on 2 nodes`` and so on, for messages."""
    return f"on {count} node{'' if count == 1 else 's'}"
