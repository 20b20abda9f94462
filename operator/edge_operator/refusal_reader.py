"""Reads the Events of objects whose pods are missing, one short list each; decides nothing and watches nothing."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from edge_operator.cluster import ApiError, Cluster
from edge_operator.cluster_cache import ClusterCache, Key
from edge_operator.decide.observation import Observation, Refusal
from edge_operator.decide.refused_pods import Question, plan_questions
from edge_operator.from_api import read_refusal

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
AGAIN_SECONDS = 30.0
"""The time after which the Events of an object with a known refusal are read again; without one, at each look."""


@dataclass(frozen=True)
class _Answer:
    asked_at: float
    refusal: Refusal | None


class RefusalReader:
    """A reader that keeps ``ClusterCache.refusals`` up to date."""

    def __init__(self, cluster: Cluster, cache: ClusterCache, clock: Callable[[], float] = time.monotonic) -> None:
        self._cluster, self._cache, self._clock = cluster, cache, clock
        self._answers: dict[Key, dict[Question, _Answer]] = {}
        self._broken: set[Key] = set()
        """The EdgeModels whose pods could not be examined the last time; a failure is logged once."""

    async def run(self) -> None:
        """Looks every LOOK_SECONDS, until it is cancelled."""
        while True:
            await self.look(datetime.now(UTC))
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self, now: datetime) -> None:
        """Reads the Events that are due, for every EdgeModel."""
        models = list(self._cache.models)
        for key in self._answers.keys() - set(models):
            del self._answers[key]
        for key in models:
            try:
                await self._look_at(key, now)
            except Exception:
                if key not in self._broken:
                    log.exception("the events of %s/%s cannot be read", *key)
                self._broken.add(key)
            else:
                self._broken.discard(key)

    async def _look_at(self, key: Key, now: datetime) -> None:
        observation = self._cache.observe(key)
        questions = plan_questions(observation, now) if isinstance(observation, Observation) else ()
        if questions or key in self._answers:
            await self._ask(key, questions)

    async def _ask(self, key: Key, questions: tuple[Question, ...]) -> None:
        known = self._answers.pop(key, {})
        answers = {question: await self._answer(key, question, known.get(question)) for question in questions}
        if answers:
            self._answers[key] = answers
        refusals = {(q.kind, q.name): answer.refusal for q, answer in answers.items() if answer.refusal is not None}
        self._cache.set_refusals(key, refusals)

    async def _answer(self, key: Key, question: Question, before: _Answer | None) -> _Answer:
        now = self._clock()
        is_fresh = before is not None and now - before.asked_at < AGAIN_SECONDS
        if before is not None and is_fresh and before.refusal is not None:
            return before
        try:
            events = await self._cluster.events(key[0], question.uid)
        except ApiError as error:
            log.warning("events of %s %s/%s: %s", question.kind, key[0], question.name, error)
            return _Answer(now, before.refusal if before is not None else None)
        return _Answer(now, read_refusal(events))
