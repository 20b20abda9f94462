"""The checks of a model file of any runtime, which is read through the same back end as on nodes."""

from dataclasses import replace
from pathlib import Path

from edge_compressor.models import first_run
from edge_compressor.models.model_file import ModelFile
from edge_compressor.models.onnx_model import behind_transforms, check_model
from edge_runtime.backend import LoadFailure
from edge_runtime.loading import load_model
from edge_runtime.tuning import Tuning
from edgemodel.artifact import ONNX_RUNTIME, ArtifactFile
from edgemodel.digest import digest_of_file
from edgemodel.error_words import in_words
from edgemodel.errors import Stalled


def check_file(path: Path, runtime: str, *, what: str, reason: str, like: ModelFile | None = None) -> ModelFile:
    """Returns the checked model at ``path``, which ``runtime`` loads.

    ``like`` is a model whose transforms and tuning the result gets; None: it gets none. Raises Stalled with ``reason``,
    naming ``what`` it is.
    """
    if runtime == ONNX_RUNTIME:
        model: ModelFile = check_model(path, what=what, reason=reason)
    else:
        model = _loaded(path, runtime, what, reason)
    return model if like is None else behind_transforms(replace(model, tuning=like.tuning), like.transforms)


def _loaded(path: Path, runtime: str, what: str, reason: str) -> ModelFile:
    if crash := first_run.why_it_crashes(path, runtime):
        raise Stalled(reason, f"{what}: {crash}: {first_run.cure(reason)}")
    try:
        loaded = load_model(path, runtime, Tuning(intra_op_threads=1))
    except LoadFailure as failure:
        raise Stalled(reason, f"{what}: the runtime {runtime} cannot load it: {in_words(failure)}") from failure
    signature = loaded.signature
    loaded.close()
    inputs, outputs = tuple(signature.inputs.values()), tuple(signature.outputs.values())
    digest, size = digest_of_file(path), path.stat().st_size
    model = ModelFile(path, digest, size, inputs, outputs, runtime)
    return replace(model, files={model.published_name: ArtifactFile(digest, size)})
