"""Samples of Prometheus made by hand, and their judgement, for tests of verdicts."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

from edge_operator.decide.analysis import Judgement, OnTrial, WaveBaseline, judge
from edge_operator.decide.analysis.checks.accuracy import FEEDBACK
from edge_operator.decide.analysis.checks.latency import DURATIONS
from edge_operator.decide.analysis.evidence import Judged
from edge_operator.decide.analysis.golden_set import ITEMS, MIN_PERCENT, GoldenCount
from edge_operator.decide.analysis.share_test import REQUESTS
from edge_operator.decide.measurement import Answer, Baseline, Counts, Samples, Series
from edgemodel import metrics
from edgemodel.analysis import Analysis, parse_analysis
from edgemodel.metrics import duration_buckets

BEGAN = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOW = BEGAN + timedelta(minutes=10)
CANDIDATE = "m-candidate"
EDGES = duration_buckets(0.05)


def counted(
    node: str,
    ok: int = 0,
    refused: int = 0,
    server_errors: int = 0,
    durations: Mapping[float, int] | None = None,
    right: int = 0,
    wrong: int = 0,
) -> Counts:
    """Returns the samples of one node in one window, without those that are 0."""
    requests = {metrics.OK: ok, metrics.REFUSED: refused, metrics.SERVER_ERROR: server_errors}
    feedback = {metrics.FEEDBACK_RIGHT: right, metrics.FEEDBACK_WRONG: wrong}
    values: dict[Series, Mapping[Any, int]] = {
        series: {key: count for key, count in found.items() if count}
        for series, found in ((REQUESTS, requests), (FEEDBACK, feedback))
        if any(found.values())
    }
    return Counts(node, {**values, **({DURATIONS: durations} if durations else {})})


def golden_samples(counts: Iterable[GoldenCount]) -> tuple[Counts, ...]:
    """Returns the gauges of servers, one on each node, with these answers to the golden set."""
    agree, disagree = metrics.GOLDEN_RESULTS
    return tuple(
        Counts(
            item.node,
            {
                ITEMS: {("a", agree): item.agree, **({("a", disagree): item.disagree} if item.disagree else {})},
                MIN_PERCENT: {(): item.min_percent},
            },
        )
        for item in counts
    )


def counts(
    node: str = "camera-1",
    total: int = 0,
    errors: int = 0,
    refused: int = 0,
    slow: int = 0,
    typical: float = 0.012,
    right: int = 0,
    wrong: int = 0,
    edges: tuple[float, ...] = EDGES,
) -> Counts:
    """Returns ``total`` requests: ``slow`` good ones took 70 ms, a tenth of the rest twice ``typical``, and the others
    ``typical``."""
    ok = total - errors - refused
    tenth = (ok - slow) // 10
    took = {typical: ok - slow - tenth, 2 * typical: tenth, 0.07: slow}
    durations = {edge: sum(count for seconds, count in took.items() if seconds <= edge) for edge in (*edges, inf)}
    return counted(node, ok, refused, errors, durations if ok else {}, right, wrong)


def with_warm_up(steady: Counts, warm: Counts) -> Counts:
    """Returns ``steady`` with the samples of ``warm`` as those of the node's warm-up."""
    values: dict[Series, Mapping[Any, Any]] = {
        replace(series, warm_up=True): found for series, found in warm.values.items() if series in (REQUESTS, DURATIONS)
    }
    return replace(steady, values={**steady.values, **values})


def golden(node: str = "camera-1", agree: int = 64, disagree: int = 0, least: float = 95) -> GoldenCount:
    """Returns the count of golden items of one node."""
    return GoldenCount(node, agree, disagree, least)


def analysis_of(*checks: dict[str, Any]) -> Analysis:
    """Returns an analysis with ``checks`` as a manifest has them."""
    return parse_analysis({"checks": list(checks)})


def judgement(
    analysis: Analysis,
    trial: tuple[Counts, ...] = (),
    baseline: tuple[Counts, ...] = (),
    control: tuple[Counts, ...] = (),
    *,
    nodes: Mapping[str, str] | None = None,
    on_trial: tuple[str, ...] | None = None,
    reporting: tuple[str, ...] | None = None,
    golden: tuple[GoldenCount, ...] = (),
    answers: Mapping[str, Answer] | None = None,
    is_first: bool = False,
    serving: timedelta = timedelta(minutes=10),
    measured_at: datetime = NOW,
    now: datetime = NOW,
    wave_baseline: WaveBaseline | None = None,
    switched: tuple[str, ...] | None = None,
    **more: Any,
) -> Judgement:
    """Returns the judgement. ``nodes`` maps nodes to variants; by default it has every node with counts, as
    ``default``."""
    names = {item.node for item in (*trial, *baseline, *control)} | {"camera-1"}
    nodes = nodes or dict.fromkeys(sorted(names), "default")
    on_trial = on_trial if on_trial is not None else tuple(sorted({item.node for item in trial} or {"camera-1"}))
    variants = {nodes[name] for name in on_trial}
    wave_baseline = wave_baseline or WaveBaseline.begin(analysis, len(variants), BEGAN)
    samples = Samples(
        measured_at=measured_at,
        candidate=CANDIDATE,
        since=wave_baseline.since,
        trial=trial,
        control=control,
        baseline=baseline if isinstance(baseline, Baseline) else Baseline(baseline),
        reporting=dict.fromkeys(on_trial if reporting is None else reporting, measured_at),
        present=golden_samples(golden),
        answers=answers or {},
        **more,
    )
    ready = tuple(OnTrial(name, nodes[name], measured_at - serving) for name in on_trial)
    return judge(analysis, samples, wave_baseline, CANDIDATE, ready, nodes, is_first, now, switched)


def judged(analysis: Analysis, *args: Any, **options: Any) -> Judged:
    """Returns the verdict of the only check of ``analysis``."""
    (found,) = judgement(analysis, *args, **options).judged
    return found
