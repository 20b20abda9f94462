"""From the file of a model to one that runs: the one door for the compressor and the server."""

from pathlib import Path

from edge_runtime import backends
from edge_runtime.backend import CPU, Device, LoadedModel
from edge_runtime.instances import InstancePool
from edge_runtime.tuning import Tuning


def load_model(path: Path, runtime: str, tuning: Tuning, device: Device = CPU) -> LoadedModel:
    """Returns the model, loaded by the back end of ``runtime``; its ``run`` may be called from several threads.

    A model that runs in one thread at a time is loaded ``tuning.concurrency`` times. Raises LoadFailure.
    """
    backend = backends.find(runtime)
    first = backend.load(path, tuning, device)
    if first.concurrent:
        return first
    others = [backend.load(path, tuning, device) for _ in range(tuning.concurrency - 1)]
    return InstancePool([first, *others])
