"""Queries Prometheus about every EdgeModel with a candidate on trial, each at its own interval; judges nothing."""

import asyncio
import logging
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from edge_operator.cluster_cache import ClusterCache, Key
from edge_operator.decide.analysis import plan_measuring
from edge_operator.decide.measurement import MeasurementPlan, Samples
from edge_operator.decide.observation import Observation
from edge_operator.metrics import Metrics
from edge_operator.prometheus import Prometheus, PrometheusError, WaveMeasurement
from edgemodel.error_words import in_words

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
AT_ONCE = 4
"""The number of EdgeModels that are measured at the same time."""


class AnalysisRunner:
    """The measurements of all EdgeModels, at most AT_ONCE at the same time; ``ClusterCache.samples`` gets the
    results."""

    def __init__(self, cache: ClusterCache, prometheus: Prometheus, metrics: Metrics) -> None:
        self._cache, self._prometheus, self._metrics = cache, prometheus, metrics
        self._asked: dict[Key, tuple[float, MeasurementPlan]] = {}
        self._running: dict[Key, asyncio.Task[None]] = {}
        self._measurements: dict[Key, WaveMeasurement] = {}
        self._places = asyncio.Semaphore(AT_ONCE)
        self._broken: set[Key] = set()
        """The EdgeModels whose last plan failed; a failure is logged once."""

    async def run(self) -> None:
        """Looks for due measurements every LOOK_SECONDS, until it is cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Starts every measurement that is due."""
        for key in self._measurements.keys() - self._cache.models.keys():
            del self._measurements[key]
        for key in list(self._cache.models):
            try:
                self._look_at(key)
            except Exception:
                if key not in self._broken:
                    log.exception("the measurement of %s/%s cannot be planned", *key)
                self._broken.add(key)
            else:
                self._broken.discard(key)

    def _look_at(self, key: Key) -> None:
        observation = self._cache.observe(key)
        plan = plan_measuring(observation) if isinstance(observation, Observation) else None
        if plan is None:
            self._asked.pop(key, None)
            self._measurements.pop(key, None)
            self._cache.forget_samples(key)
        elif key not in self._running and self._is_due(key, plan):
            self._asked[key] = (time.monotonic(), plan)
            task = asyncio.create_task(self._measure(key, plan), name=f"measure-{key[0]}/{key[1]}")
            self._running[key] = task
            task.add_done_callback(partial(self._ended, key))

    def _ended(self, key: Key, _: asyncio.Task[None]) -> None:
        self._running.pop(key, None)

    def _is_due(self, key: Key, plan: MeasurementPlan) -> bool:
        """Returns whether the interval has passed, or another wave has begun."""
        asked, before = self._asked.get(key, (float("-inf"), None))
        same_wave = before is not None and (before.candidate, before.since) == (plan.candidate, plan.since)
        return not same_wave or time.monotonic() - asked >= plan.interval.total_seconds()

    async def _measure(self, key: Key, plan: MeasurementPlan) -> None:
        measurement = self._measurements.setdefault(key, WaveMeasurement(self._prometheus))
        async with self._places:
            now = datetime.now(UTC)
            try:
                with self._metrics.analysis_query_duration.time():
                    samples = await measurement.carry_out(plan, now)
            except Exception as error:
                self._metrics.analysis_query_errors.inc()
                if not isinstance(error, PrometheusError):
                    log.exception("measuring %s/%s failed", *key)
                before = self._cache.samples.get(key)
                same_wave = before is not None and (before.candidate, before.since) == (plan.candidate, plan.since)
                if not same_wave or before is None:
                    before = Samples(now, plan.candidate, plan.since)
                if not before.problem:
                    log.warning("%s/%s: %s", *key, error)
                samples = replace(before, problem=in_words(error))
        self._cache.set_samples(key, samples)
