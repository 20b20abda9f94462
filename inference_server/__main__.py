"""The program ``python -m inference_server``, which listens, loads and tests the models, and serves until a signal."""

import os
import signal
import sys
from pathlib import Path

from edge_runtime.backend import LoadFailure
from edgemodel import serving
from edgemodel.user_files import UnreadableFile
from inference_server import logs, settings
from inference_server.listeners import LISTENERS
from inference_server.listeners.listener import MissingExtra, PortUnavailable
from inference_server.models.loading import PreparedModel
from inference_server.models.repository import ModelEntry
from inference_server.server_process import ServerProcess, exit_at_once, repository


def main() -> int:
    """Returns the exit status: 0 after a signal, serving.EXIT_MODEL for an unfit model, 1 if it cannot start."""
    # Until the server handles signals itself: process 1 has no default handler.
    signal.signal(signal.SIGTERM, lambda *_: exit_at_once(0))
    options = settings.parse(sys.argv[1:], os.environ, [kind.add_flags for kind in LISTENERS])
    logs.configure()
    models = repository(options)
    if isinstance(models, LoadFailure):
        return _end_for(models, options.termination_log)
    try:
        ending = ServerProcess(options, models, _announce, LISTENERS).run()
    except PortUnavailable as error:
        logs.failure("cannot listen", error=str(error))
        return 1
    except (MissingExtra, UnreadableFile) as error:
        logs.failure("cannot start", error=str(error))
        return 1
    if ending is not None:
        return _end_for(ending, options.termination_log)
    logs.event("ended")
    return 0


def _announce(entry: ModelEntry, ready: PreparedModel) -> None:
    logs.event(
        "ready",
        model=entry.identity.model,
        revision=entry.identity.revision,
        variant=entry.identity.variant,
        digest=entry.manifest.artifact_digest,
        load_seconds=round(ready.load_seconds, 3),
        golden=str(ready.golden or "the artifact has no golden set"),
        golden_seconds=round(ready.golden_seconds, 3),
    )


def _end_for(ending: LoadFailure, termination_log: Path) -> int:
    logs.failure("the model cannot be served", reason=ending.reason, error=ending.message)
    logs.write_termination(termination_log, serving.ending(ending.reason, ending.message))
    return serving.EXIT_MODEL


if __name__ == "__main__":
    exit_at_once(main())
