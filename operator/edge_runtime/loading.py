"""The only way from a model's file to a loaded model, for the compressor and the server."""

from collections.abc import Sequence
from pathlib import Path

from edge_runtime import backends
from edge_runtime.backend import CPU, Device, LoadedModel, LoadFailure
from edge_runtime.generation import GeneratingBackend, Generator
from edge_runtime.instances import InstancePool
from edge_runtime.transform import TransformedModel
from edge_runtime.transforms import make_transform
from edge_runtime.tuning import Tuning
from edgemodel import reasons
from edgemodel.artifact import TransformSpec
from edgemodel.error_words import in_words


def load_model(
    path: Path, runtime: str, tuning: Tuning, transforms: Sequence[TransformSpec] = (), device: Device = CPU
) -> LoadedModel:
    """Returns the model, loaded by the back end of ``runtime``; its ``run`` may be called from several threads.

    A model that runs in one thread at a time is loaded ``tuning.concurrency`` times. Callers see it through
    ``transforms``, of which the first is the outermost. Raises LoadFailure.
    """
    backend = backends.find(runtime)
    made = [make_transform(spec) for spec in transforms]
    model = backend.load(path, tuning, device)
    if not model.concurrent:
        model = InstancePool([model, *(backend.load(path, tuning, device) for _ in range(tuning.concurrency - 1))])
    if not made:
        return model
    try:
        return TransformedModel(model, made)
    except (ValueError, KeyError) as error:
        raise LoadFailure(
            reasons.MODEL_LOAD_FAILED, f"a transform does not fit the model: {in_words(error)}"
        ) from error


def load_generator(path: Path, runtime: str, tuning: Tuning) -> Generator:
    """Returns the decoder, loaded by the back end of ``runtime``. Raises LoadFailure."""
    backend = backends.find(runtime)
    if not isinstance(backend, GeneratingBackend):
        raise LoadFailure(reasons.MODEL_LOAD_FAILED, f"the runtime {runtime} generates no text, ONNXRuntime does")
    return backend.load_generator(path, tuning)
