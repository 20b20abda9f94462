"""The server of a process, from its settings to its end."""

import asyncio
import os
import sys
from collections.abc import Callable
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, NoReturn

from edge_runtime.backend import LoadFailure
from edgemodel import reasons
from edgemodel.artifact import ArtifactManifest
from inference_server import logs
from inference_server.listeners.http.app import App
from inference_server.listeners.http.uvicorn_server import Server, listen
from inference_server.models.loading import PreparedModel
from inference_server.models.repository import ModelEntry, ModelRepository
from inference_server.observability.metrics import Identity
from inference_server.scheduling.workers import Workers
from inference_server.settings import ServerSettings

if TYPE_CHECKING:
    from inference_server.listeners.grpc.server import GrpcServer


def repository(options: ServerSettings) -> ModelRepository | LoadFailure:
    """What the settings name, not loaded yet."""
    made = ModelRepository(
        partial(_identity, options),
        objective_seconds=options.latency_objective_seconds,
        limits={
            "max_body_bytes": options.max_body_bytes,
            "timeout_seconds": options.timeout_seconds,
            "max_batch_items": options.max_batch_items,
            "threads": options.concurrency,
            "replay_requests": options.shadow_replay_max_requests,
        },
        replay_from=options.shadow_replay_from,
        replay_token=options.shadow_replay_token,
        tuning=options.tuning,
    )
    for path in options.models:
        if isinstance(entry := made.add(path), LoadFailure):
            return entry
    return made


class ServerProcess:
    """The server and, beside it while it already answers probes, the thread that loads the models.

    Raises OSError when a port cannot be taken, MissingExtra.
    """

    def __init__(
        self,
        options: ServerSettings,
        repository: ModelRepository,
        announce: Callable[[ModelEntry, PreparedModel], None],
    ) -> None:
        """``announce`` is told of each model that begins to serve."""
        self._repository = repository
        self._announce = announce
        app = App(
            repository,
            Workers(options.concurrency, options.queue_length),
            max_body_bytes=options.max_body_bytes,
            explicit_model_control=options.explicit_model_control,
            replay_token=options.shadow_replay_token,
        )
        self._server = Server(
            app, drain_seconds=options.drain_seconds, disable_fast_path=options.disable_fast_path, beside=self
        )
        self._listener = listen(options.host, options.port)
        self._grpc = _grpc_server(app, options)
        self._drain_seconds = options.drain_seconds
        self._ending: LoadFailure | None = None

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def run(self) -> LoadFailure | None:
        """Until a signal (None), or until a model turns out unfit."""
        self._server.run(sockets=[self._listener])
        return self._ending

    @property
    def grpc_port(self) -> int | None:
        """None when it does not speak gRPC."""
        return None if self._grpc is None else self._grpc.port

    def begin(self) -> None:
        logs.event("listening", port=self.port, grpc_port=self.grpc_port, fast_path=self._server.has_fast_path)
        if self._grpc is not None:
            self._grpc.start(asyncio.get_running_loop())
        Thread(target=self._load, name="load", daemon=True).start()

    async def end(self) -> None:
        if self._grpc is not None:
            await asyncio.to_thread(self._grpc.stop, self._drain_seconds)

    def _load(self) -> None:
        for name in self._repository.entries:
            try:
                outcome = self._repository.load(name)
            except Exception as error:  # without it the server would be loading for ever
                outcome = LoadFailure(reasons.MODEL_LOAD_FAILED, f"{type(error).__name__}: {error}")
            if isinstance(outcome, LoadFailure):
                self._ending = outcome
                self._server.stop()
                return
            self._announce(self._repository.entries[name], outcome)
        if self._grpc is not None:
            self._grpc.set_ready(True)


class MissingExtra(Exception):
    """What was asked for needs packages that are not installed."""


def _grpc_server(app: App, options: ServerSettings) -> "GrpcServer | None":
    """It is an extra: its packages take 40 MB of memory, and most clients speak HTTP."""
    if options.grpc_port is None:
        return None
    try:
        from inference_server.listeners.grpc.server import GrpcServer
    except ImportError as error:
        raise MissingExtra(f"gRPC needs more packages: pip install 'edgemodel[grpc]' ({error})") from error
    return GrpcServer(app, options.host, options.grpc_port, options.max_body_bytes)


def exit_at_once(status: int) -> NoReturn:
    """Without the interpreter's clean-up, which would crash while a thread is inside the runtime's native code."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _identity(options: ServerSettings, manifest: ArtifactManifest) -> Identity:
    return Identity(
        namespace=options.namespace,
        model=options.model or manifest.model,
        revision=options.revision or manifest.fingerprint,
        variant=options.variant or manifest.variant,
        node=options.node,
    )
