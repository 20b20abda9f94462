"""The server of a process, from its settings to its end."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from threading import Thread
from typing import Any, NoReturn
from weakref import WeakSet

import uvloop

from edge_runtime.backend import LoadFailure
from edgemodel import reasons
from edgemodel.artifact import ArtifactManifest
from edgemodel.error_words import in_words
from inference_server import logs
from inference_server.api_keys import ApiKeys
from inference_server.generate.limits import GenerationSettings
from inference_server.identity import Identity
from inference_server.listeners.listener import Listener, ListenerType
from inference_server.models.loading import PreparedModel
from inference_server.models.repository import ModelEntry, ModelRepository
from inference_server.models.served_model import ServingLimits
from inference_server.observability.metrics import ModelMetrics
from inference_server.scheduling.workers import Workers
from inference_server.service import InferenceService
from inference_server.settings import ServerSettings

_LAST_SECONDS = 1.0
"""The time before the end of the drain at which streams end with what they have, so that clients see the reason."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def repository(options: ServerSettings) -> ModelRepository | LoadFailure:
    """Returns the models that the settings name, not loaded yet."""
    made = ModelRepository(
        partial(_identity, options),
        objective_seconds=options.latency_objective_seconds,
        limits=ServingLimits(
            timeout_seconds=options.timeout_seconds,
            max_batch_items=options.max_batch_items,
            workers=options.concurrency,
            replay_requests=options.shadow_replay_max_requests,
        ),
        replay_from=options.shadow_replay_from,
        replay_token=options.shadow_replay_token,
        tuning=options.tuning,
        needs_manifest=options.needs_manifest,
        generation=GenerationSettings(
            options.generation, options.queue_length, options.timeout_seconds, options.token_objectives
        ),
    )
    for path in options.models:
        if isinstance(entry := made.add(path), LoadFailure):
            return entry
    return made


class ServerProcess:
    """The listeners and, while they already answer probes, the thread that loads the models."""

    def __init__(
        self,
        options: ServerSettings,
        repository: ModelRepository,
        announce: Callable[[ModelEntry, PreparedModel], None],
        listener_types: Sequence[ListenerType],
    ) -> None:
        """Opens the ports. ``announce`` is called with each model that begins to serve, in the thread that loads them.

        Raises PortUnavailable, MissingExtra, UnreadableFile for a file of keys.
        """
        self._repository = repository
        self._announce = announce
        self._drain_seconds = options.drain_seconds
        self._warm_up_seconds = options.warm_up_seconds
        self._timed: WeakSet[ModelMetrics] = WeakSet()
        """The models whose warm-up has begun."""
        self._failure: LoadFailure | None = None
        self._unannounced: OSError | None = None
        """The error with which ``announce`` ended, as when nobody reads its output any more."""
        self.listeners: dict[str, Listener] = {}
        """The listeners that the settings ask for, by the names of their types."""
        for kind in listener_types:
            if (listener := kind.listen(options)) is not None:
                self.listeners[kind.name] = listener
        self._service = InferenceService(
            repository,
            Workers(options.concurrency, options.queue_length),
            explicit_model_control=options.explicit_model_control,
            replay_token=options.shadow_replay_token,
            api_keys=None if options.api_key_file is None else ApiKeys(options.api_key_file),
        )
        self._loop: asyncio.AbstractEventLoop
        self._end: asyncio.Event

    def run(self) -> LoadFailure | None:
        """Serves until a signal (None), or until a model proves unfit. Raises the OSError with which ``announce``
        ended; the server has ended, then, too."""
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())
        if self._unannounced is not None:
            raise self._unannounced
        return self._failure

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        with self._signals():
            fields: dict[str, Any] = {}
            for listener in self.listeners.values():
                await listener.start(self._service)
                fields.update(listener.log_fields())
            logs.event("listening", **fields)
            self._repository.observe(self._time_warm_ups)
            Thread(target=self._load, name="load", daemon=True).start()
            await self._end.wait()
            self._loop.call_later(max(self._drain_seconds - _LAST_SECONDS, 0), self._service.end_generations)
            await asyncio.gather(*(one.stop(self._drain_seconds) for one in self.listeners.values()))

    def _time_warm_ups(self) -> None:
        """Lets the warm-up of each model that has begun to serve end in time. Called in the thread that loads it."""
        for metrics in [served.metrics for served in self._repository.serving if served.metrics not in self._timed]:
            self._timed.add(metrics)
            with suppress(RuntimeError):  # of a loop that is closed, because the server ends
                self._loop.call_soon_threadsafe(self._end_warm_up_later, metrics)

    def _end_warm_up_later(self, metrics: ModelMetrics) -> None:
        if self._warm_up_seconds:
            self._loop.call_later(self._warm_up_seconds, metrics.end_warm_up)
        else:
            metrics.end_warm_up()

    def _stop(self) -> None:
        """Ends the server; may be called from any thread, and from a signal handler."""
        self._loop.call_soon_threadsafe(self._end.set)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Ends the server on signals inside the context; a second SIGINT ends it at once."""

        def stop(number: int, _: object) -> None:
            if number == signal.SIGINT and self._end.is_set():
                exit_at_once(0)
            self._stop()

        before = {number: signal.signal(number, stop) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _load(self) -> None:
        for name in self._repository.entries:
            try:
                outcome = self._repository.load(name)
            except Exception as error:  # without it the server would be loading for ever
                outcome = LoadFailure(reasons.MODEL_LOAD_FAILED, in_words(error))
            if isinstance(outcome, LoadFailure):
                self._failure = outcome
                self._stop()
                return
            try:
                self._announce(self._repository.entries[name], outcome)
            except OSError as error:
                self._unannounced = error
                self._stop()
                return


def exit_at_once(status: int) -> NoReturn:
    """Ends the process without the interpreter's clean-up.

    That would crash while a thread is inside the runtime's native code.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, AttributeError):  # nobody reads it any more, or it was closed from the beginning
            stream.flush()
    os._exit(status)


def _identity(options: ServerSettings, manifest: ArtifactManifest) -> Identity:
    return Identity(
        namespace=options.namespace,
        model=options.model or manifest.model,
        revision=options.revision or manifest.fingerprint,
        variant=options.variant or manifest.variant,
        node=options.node,
    )
