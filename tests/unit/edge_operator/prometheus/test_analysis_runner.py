"""The times at which Prometheus is queried about each EdgeModel, and the samples that are kept if it does not
answer."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from edge_operator import analysis_runner
from edge_operator.analysis_runner import AnalysisRunner
from edge_operator.cluster_cache import ClusterCache, Key
from edge_operator.decide.analysis import WaveBaseline, plan_measuring
from edge_operator.decide.measurement import MeasurementPlan, Samples
from edge_operator.metrics import Metrics
from edge_operator.prometheus import Prometheus, PrometheusError, WaveMeasurement
from edgemodel.analysis import parse_analysis
from edgemodel.names import API_VERSION
from edgemodel.plain import to_api
from tests.support.simulation import SETTINGS, model_spec

KEY = ("vision", "m")
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
ANALYSIS = {"checks": [{"name": "errors", "type": "ErrorRate"}], "intervalSeconds": 1}


def model(version: int, since: datetime | None, candidate: str = "m-2", **analysis: Any) -> dict[str, Any]:
    """Returns an EdgeModel on trial since ``since``; None: without a trial."""
    wanted = {**ANALYSIS, **analysis}
    status: dict[str, Any] = {"stableRevision": "m-1"}
    if since is not None:
        wave_baseline = to_api(WaveBaseline.begin(parse_analysis(wanted), 1, since).stored())
        rollout = {"wave": 0, "startedAt": BEGAN.isoformat(), "analysis": wave_baseline}
        status |= {"candidateRevision": candidate, "rollout": rollout}
    meta = {"namespace": "vision", "name": "m", "uid": "u", "resourceVersion": str(version)}
    meta |= {"generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z"}
    spec = model_spec(analysis=wanted)
    return {"apiVersion": API_VERSION, "kind": "EdgeModel", "metadata": meta, "spec": spec, "status": status}


class Asked:
    """A replacement of ``WaveMeasurement.carry_out`` that records plans, and answers or fails."""

    def __init__(self) -> None:
        self.plans: list[MeasurementPlan] = []
        self.error: Exception | None = None

    async def __call__(self, plan: MeasurementPlan, now: datetime) -> Samples:
        self.plans.append(plan)
        if self.error is not None:
            raise self.error
        return Samples(now, plan.candidate, plan.since)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    made = Asked()
    monkeypatch.setattr(WaveMeasurement, "carry_out", made)
    return made


def make() -> tuple[ClusterCache, AnalysisRunner, list[Key]]:
    changed: list[Key] = []
    cache = ClusterCache(SETTINGS, changed.append)
    return cache, AnalysisRunner(cache, cast(Prometheus, None), Metrics()), changed


async def look(runner: AnalysisRunner) -> None:
    runner.look()
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_candidate_on_trial_is_measured_and_its_model_looked_at(asked: Asked) -> None:
    cache, runner, changed = make()
    cache.see(model(1, BEGAN))
    changed.clear()
    await look(runner)
    assert [(plan.candidate, plan.stable, plan.since) for plan in asked.plans] == [("m-2", "m-1", BEGAN)]
    assert changed == [KEY]
    assert cache.samples[KEY].candidate == "m-2"


async def test_nothing_is_queried_again_before_its_interval_is_over(asked: Asked) -> None:
    cache, runner, _ = make()
    cache.see(model(1, BEGAN, intervalSeconds=3600))
    await look(runner)
    await look(runner)
    assert len(asked.plans) == 1


async def test_a_new_wave_is_measured_at_once(asked: Asked) -> None:
    cache, runner, _ = make()
    cache.see(model(1, BEGAN, intervalSeconds=3600))
    await look(runner)
    cache.see(model(2, BEGAN + timedelta(minutes=5), intervalSeconds=3600))
    await look(runner)
    assert [plan.since for plan in asked.plans] == [BEGAN, BEGAN + timedelta(minutes=5)]
    assert asked.plans[1].baseline == timedelta(hours=1, minutes=5)


async def test_without_a_trial_nothing_is_queried_and_old_samples_are_forgotten(asked: Asked) -> None:
    cache, runner, _ = make()
    cache.see(model(1, BEGAN))
    await look(runner)
    cache.see(model(2, None))
    await look(runner)
    assert len(asked.plans) == 1
    assert KEY not in cache.samples


async def test_without_an_answer_the_last_measurement_is_kept_with_the_reason(asked: Asked) -> None:
    cache, runner, _ = make()
    cache.see(model(1, BEGAN, intervalSeconds=0))
    await look(runner)
    before = cache.samples[KEY]
    asked.error = PrometheusError("connection refused")
    await look(runner)
    after = cache.samples[KEY]
    assert after.problem == "connection refused"
    assert after.measured_at == before.measured_at
    asked.error = None
    await look(runner)
    assert cache.samples[KEY].problem == ""


async def test_a_missing_answer_is_reported_too(asked: Asked) -> None:
    cache, runner, _ = make()
    cache.see(model(1, BEGAN))
    asked.error = PrometheusError("no such host")
    await look(runner)
    assert cache.samples[KEY].problem == "no such host"


async def test_a_defect_of_ours_ends_no_other_measurement(asked: Asked, caplog: pytest.LogCaptureFixture) -> None:
    cache, runner, _ = make()
    cache.see(model(1, BEGAN, intervalSeconds=0))
    asked.error = ZeroDivisionError()
    await look(runner)
    assert "measuring vision/m failed" in caplog.text
    asked.error = None
    await look(runner)
    assert KEY in cache.samples


def test_there_is_no_plan_before_a_wave_began_and_none_without_checks() -> None:
    cache, _, _ = make()
    cache.see(model(1, None))
    observation = cache.observe(KEY)
    assert observation is not None
    assert plan_measuring(observation) is None
    cache.see(model(2, BEGAN, checks=[]))
    observation = cache.observe(KEY)
    assert observation is not None
    assert plan_measuring(observation) is None


async def test_an_edge_model_whose_measurement_cannot_be_planned_hides_no_other(
    asked: Asked, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache, runner, _ = make()
    cache.see(model(1, BEGAN))
    other = model(2, BEGAN)
    other["metadata"] |= {"name": "z", "uid": "z"}
    cache.see(other)

    def plan(observation: Any) -> MeasurementPlan | None:
        if observation.name == "m":
            raise OverflowError("date value out of range")
        return plan_measuring(observation)

    monkeypatch.setattr(analysis_runner, "plan_measuring", plan)
    await look(runner)
    await look(runner)
    assert {plan.model for plan in asked.plans} == {"z"}
    assert len([record for record in caplog.records if "vision/m" in record.getMessage()]) == 1
