"""What to ask Prometheus for while a candidate is on trial."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from edge_operator.decide.analysis.wave_baseline import WaveBaseline
from edge_operator.decide.observation import Observation
from edge_operator.decide.placement.selection import switch_order
from edgemodel.analysis import PromQLRule

MAX_TIMED_NODES = 400
"""Histograms are read of at most so many nodes: with more there is nothing to gain but memory."""


@dataclass(frozen=True)
class MeasurementPlan:
    namespace: str
    model: str
    candidate: str
    stable: str | None
    since: datetime
    """The candidate's window begins; the baseline ends."""
    baseline: timedelta
    """How far before ``since`` the baseline begins."""
    interval: timedelta
    queries: tuple[tuple[str, str], ...] = ()
    """(name of the check, the user's query with its names filled in)."""
    nodes: tuple[str, ...] = ()
    """Whose histograms are read; empty: everybody's."""


def plan_measuring(observation: Observation) -> MeasurementPlan | None:
    """None while no wave is being measured."""
    status, analysis = observation.status, observation.spec.analysis
    rollout, candidate = status.get("rollout") or {}, status.get("candidateRevision")
    wave_baseline = WaveBaseline.of(rollout.get("analysis"), analysis)
    if wave_baseline is None or not candidate or not analysis.checks:
        return None
    stable = status.get("stableRevision")
    began = datetime.fromisoformat(rollout["startedAt"])
    names = {
        "namespace": observation.namespace,
        "model": observation.name,
        "candidate": candidate,
        "stable": stable or "",
    }
    return MeasurementPlan(
        namespace=observation.namespace,
        model=observation.name,
        candidate=candidate,
        stable=stable,
        since=wave_baseline.since,
        baseline=analysis.baseline + max(wave_baseline.since - began, timedelta()),
        interval=analysis.interval,
        queries=tuple(
            (check.name, fill_in(check.rule.query, names))
            for check in analysis.checks
            if isinstance(check.rule, PromQLRule)
        ),
        nodes=_timed_nodes(observation, candidate, stable),
    )


def _timed_nodes(observation: Observation, candidate: str, stable: str | None) -> tuple[str, ...]:
    """Of a large fleet, some of each side, in a repeatable order."""
    on_trial = {pod.node for pod in observation.pods if pod.revision == candidate}
    control = {pod.node for pod in observation.pods if pod.revision == stable} - on_trial
    if len(on_trial) + len(control) <= MAX_TIMED_NODES:
        return ()
    rank = {node.name: switch_order(node.uid, observation.uid, candidate) for node in observation.nodes}
    first = sorted(on_trial & rank.keys(), key=rank.__getitem__)[: 3 * MAX_TIMED_NODES // 4]
    second = sorted(control & rank.keys(), key=rank.__getitem__)[: MAX_TIMED_NODES - len(first)]
    return tuple(sorted([*first, *second]))


def fill_in(query: str, names: dict[str, str]) -> str:
    """``$namespace``, ``$model``, ``$candidate`` and ``$stable`` by their names: DNS labels, nothing to quote."""
    for key, name in names.items():
        query = query.replace(f"${key}", name)
    return query
