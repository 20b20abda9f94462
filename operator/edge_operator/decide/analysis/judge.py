"""The judgement of a candidate: from samples to the verdicts of all checks for all variants.

Measuring, judging one check, combining checks and moving are separate; this module combines. One failed check rejects
the candidate; a wave passes when no check is undecided any more.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from edge_operator.decide.analysis.checks import plan_checks
from edge_operator.decide.analysis.evidence import ControlGroup, Evidence, Judged
from edge_operator.decide.analysis.wave_baseline import WaveBaseline
from edge_operator.decide.measurement import Counts, Samples
from edgemodel import reasons
from edgemodel.analysis import Analysis
from edgemodel.verdict import Verdict

WHOLE = ""
"""The variant of a check that judges the whole model."""
PATIENCE = timedelta(seconds=60)
"""The validity of the last measurement while Prometheus does not answer: this long, or three intervals if that is
longer."""


@dataclass(frozen=True)
class OnTrial:
    """A node with a ready server of the candidate."""

    node: str
    variant: str
    since: datetime


@dataclass(frozen=True)
class Judgement:
    """The judgement of a pass. ``judged`` is empty if there are no checks, or no measurement yet (``measured`` is
    False)."""

    judged: tuple[Judged, ...] = ()
    measured: bool = True
    measured_at: datetime | None = None
    since: datetime | None = None
    """The time at which the measurement of the wave began."""
    reaches: datetime | None = None
    """The time up to which half of the nodes are counted, as remote writes arrive late; None while fewer report."""

    @property
    def failed(self) -> Judged | None:
        """Returns the first check that failed; None if none did."""
        return next((item for item in self.judged if item.verdict is Verdict.FAIL), None)

    @property
    def waiting(self) -> tuple[Judged, ...]:
        """Returns the undecided checks that more data may decide."""
        return tuple(item for item in self.judged if item.waits)


NOTHING_TO_JUDGE = Judgement()
NOT_MEASURED = Judgement(measured=False)


def judge(
    analysis: Analysis,
    samples: Samples | None,
    wave_baseline: WaveBaseline | None,
    candidate: str,
    nodes: tuple[OnTrial, ...],
    variants: Mapping[str, str],
    is_first: bool,
    now: datetime,
    switched: Collection[str] | None = None,
) -> Judgement:
    """Returns the judgement of ``candidate`` by ``samples``, on the nodes with a ready server of it.

    ``variants`` maps every placed node to its variant; samples of other nodes are ignored. What stable served on nodes
    that have not ``switched`` shows the drift; None: ``nodes`` have.
    """
    if not analysis.checks:
        return NOTHING_TO_JUDGE
    if samples is None or wave_baseline is None or not nodes:
        return NOT_MEASURED
    if (samples.candidate, samples.since) != (candidate, wave_baseline.since):
        return NOT_MEASURED
    if now - samples.measured_at > max(PATIENCE, 3 * analysis.interval):
        return Judgement(_unreachable(analysis, samples, nodes), True, samples.measured_at, wave_baseline.since)
    checks = plan_checks(analysis)
    judged: list[Judged] = []
    gone = {item.node for item in nodes} if switched is None else switched
    groups = _control_groups(samples, wave_baseline, gone, variants)
    for variant in sorted({item.variant for item in nodes}):
        evidence = _evidence(variant, samples, wave_baseline, nodes, variants, groups, is_first)
        judged += [check.judge(evidence) for check in checks if check.type.per_variant]
    whole = _evidence(WHOLE, samples, wave_baseline, nodes, variants, groups, is_first)
    judged += [check.judge(whole) for check in checks if not check.type.per_variant]
    return Judgement(tuple(judged), True, samples.measured_at, wave_baseline.since, _reach(samples, nodes))


def _reach(samples: Samples, nodes: tuple[OnTrial, ...]) -> datetime | None:
    trusted = samples.reporting.keys() - samples.contradictory
    newest = [samples.reporting[item.node] for item in nodes if item.node in trusted]
    half = (len(nodes) + 1) // 2
    return sorted(newest, reverse=True)[half - 1] if len(newest) >= half else None


def _control_groups(
    samples: Samples, wave_baseline: WaveBaseline, switched: Collection[str], variants: Mapping[str, str]
) -> dict[str, ControlGroup]:
    """Returns the nodes that run stable, by variant: those that have not ``switched``."""
    control: dict[str, list[Counts]] = {}
    for counts in samples.control:
        if counts.node in variants and counts.node not in samples.contradictory:
            control.setdefault(variants[counts.node], []).append(counts)
    return {
        variant: ControlGroup(
            tuple(counts for counts in found if counts.node not in switched),
            samples.baseline.on(_placed(variant, samples, variants)),
            wave_baseline.of_variant(variant),
        )
        for variant, found in control.items()
    }


def _placed(variant: str, samples: Samples, variants: Mapping[str, str]) -> frozenset[str]:
    """Returns the nodes of ``variant`` with possible numbers; WHOLE: those of all."""
    return frozenset(
        node for node, of in variants.items() if variant in (of, WHOLE) and node not in samples.contradictory
    )


def _evidence(
    variant: str,
    samples: Samples,
    wave_baseline: WaveBaseline,
    nodes: tuple[OnTrial, ...],
    variants: Mapping[str, str],
    groups: Mapping[str, ControlGroup],
    is_first: bool,
) -> Evidence:
    """Returns the evidence for the checks of ``variant``; WHOLE: for those of the whole model."""
    on_trial = {item.node: max(item.since, wave_baseline.since) for item in nodes if variant in (item.variant, WHOLE)}
    placed = _placed(variant, samples, variants)
    reporting = {node for node in samples.reporting if node in on_trial and node not in samples.contradictory}
    return Evidence(
        variant=variant,
        nodes=on_trial,
        measured_at=samples.measured_at,
        trial=tuple(counts for counts in samples.trial if counts.node in on_trial and counts.node in placed),
        control=tuple(c for name, group in groups.items() if variant in (name, WHOLE) for c in group.control),
        baseline=samples.baseline.on(placed),
        reporting=frozenset(reporting),
        present=tuple(counts for counts in samples.present if counts.node in reporting),
        answers=samples.answers,
        contradictory={node: why for node, why in samples.contradictory.items() if node in on_trial},
        alpha=wave_baseline.alpha,
        is_first=is_first,
        fixed=wave_baseline.of_variant(variant),
        others=tuple(groups[name] for name in sorted(groups) if variant not in (name, WHOLE)),
    )


def _unreachable(analysis: Analysis, samples: Samples, nodes: tuple[OnTrial, ...]) -> tuple[Judged, ...]:
    message = f"Prometheus does not answer: {samples.problem or 'nothing was measured for a while'}"
    on_trial = sorted({item.variant for item in nodes})
    return tuple(
        Judged(check.name, variant, Verdict.INCONCLUSIVE, "", "", 0, message, reasons.METRICS_UNAVAILABLE, waits=True)
        for check in plan_checks(analysis)
        for variant in (on_trial if check.type.per_variant else [WHOLE])
    )
