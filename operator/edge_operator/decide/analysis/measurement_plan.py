"""The plan of the queries to Prometheus while a candidate is on trial."""

from datetime import timedelta
from functools import partial

from edge_operator.decide.analysis.checks import plan_checks
from edge_operator.decide.analysis.wave_baseline import WaveBaseline
from edge_operator.decide.measurement import MeasurementPlan
from edge_operator.decide.measurement.queries import fill_in
from edge_operator.decide.observation import Observation
from edge_operator.decide.placement.controls import was_control
from edge_operator.decide.placement.selection import switch_order

MAX_SAMPLED_NODES = 400
"""The largest number of nodes whose histograms are read; more would cost memory and decide nothing sooner."""


def plan_measuring(observation: Observation) -> MeasurementPlan | None:
    """Returns the plan of a measurement; None while no wave is measured."""
    status, analysis = observation.status, observation.spec.analysis
    candidate, stable = status.candidate_revision, status.stable_revision
    if not candidate or not analysis.checks:
        return None
    trial = status.trial_of(candidate)
    wave_baseline = WaveBaseline.of(trial.analysis, analysis)
    if wave_baseline is None:
        return None
    checks, began = plan_checks(analysis), trial.started_at or wave_baseline.since
    fill = partial(
        fill_in, namespace=observation.namespace, model=observation.name, candidate=candidate, stable=stable or ""
    )
    return MeasurementPlan(
        namespace=observation.namespace,
        model=observation.name,
        candidate=candidate,
        stable=stable,
        since=wave_baseline.since,
        baseline=analysis.baseline + max(wave_baseline.since - began, timedelta()),
        interval=analysis.interval,
        series=tuple(dict.fromkeys(series for check in checks for series in check.type.series)),
        queries=tuple((check.name, fill(query)) for check in checks if (query := check.query) is not None),
        sampled_nodes=_sampled_nodes(observation, candidate, stable),
    )


def _sampled_nodes(observation: Observation, candidate: str, stable: str | None) -> tuple[str, ...]:
    """Returns the nodes whose histograms are read: in a large fleet some of each side, in a repeatable order."""
    released, bake = observation.status.trial_of(candidate).controls_released_at, observation.spec.rollout.bake
    sides: dict[bool, set[str]] = {True: set(), False: set()}
    for pod in observation.pods:
        if pod.revision in (candidate, stable):
            # A control that switches at the end still stands for stable.
            sides[pod.revision == candidate and not was_control(pod.created, released, bake)].add(pod.node)
    on_trial, control = sides[True], sides[False] - sides[True]
    if len(on_trial) + len(control) <= MAX_SAMPLED_NODES:
        return ()
    rank = {node.name: switch_order(node.uid, observation.uid, candidate) for node in observation.nodes}
    first = sorted(on_trial & rank.keys(), key=rank.__getitem__)[: 3 * MAX_SAMPLED_NODES // 4]
    second = sorted(control & rank.keys(), key=rank.__getitem__)[: MAX_SAMPLED_NODES - len(first)]
    return tuple(sorted([*first, *second]))
