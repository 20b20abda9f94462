"""Loads an artifact, verifies and tests it: the result is a model that may serve, or the reason why it may not."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from edge_runtime.backend import LoadedModel, LoadFailure
from edge_runtime.loading import load_model
from edge_runtime.tuning import Tuning
from edgemodel import names, reasons
from edgemodel.artifact import ArtifactManifest, Golden
from edgemodel.error_words import in_words
from edgemodel.user_files import UnreadableFile, read_bytes
from inference_server.generate.limits import DEFAULTS, GenerationSettings
from inference_server.generate.loading import generates, load_text_model
from inference_server.generate.model import graph_of
from inference_server.models import artifact_files
from inference_server.models.selftest import GoldenInvalid, GoldenResult, run_golden

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedModel:
    """A model that may serve, and how long it took to load and to test."""

    model: LoadedModel
    golden: GoldenResult | None
    """The result of the golden set; None if the artifact has none."""
    load_seconds: float
    golden_seconds: float


def read_manifest(path: Path, *, needs_manifest: bool = False) -> ArtifactManifest | LoadFailure:
    """Returns the manifest of an artifact's directory.

    Unless it ``needs_manifest``, an ONNX file without one, or a folder that holds one, gets a manifest with its name,
    and its digest as the revision.
    """
    try:
        has_none = path.is_file() or (not (path / names.MANIFEST_FILE).exists() and any(path.glob("*.onnx")))
        if has_none and not needs_manifest:
            return artifact_files.manifest_of(path)
        if not os.path.lexists(path):
            return LoadFailure(reasons.MODEL_LOAD_FAILED, f"{path}: there is no such file or folder")
        if not needs_manifest and not os.path.lexists(path / names.MANIFEST_FILE):
            message = f"{path}: there is neither {names.MANIFEST_FILE} nor an ONNX file in it"
            return LoadFailure(reasons.MODEL_LOAD_FAILED, f"{message}: give the folder that edgemodel compress wrote")
        path /= names.MANIFEST_FILE
        return ArtifactManifest.decode(read_bytes(path))
    except UnreadableFile as error:
        return LoadFailure(reasons.MODEL_LOAD_FAILED, str(error))
    except LoadFailure as failure:
        return failure
    except (OSError, ValueError, AttributeError) as error:
        return LoadFailure(reasons.MODEL_LOAD_FAILED, f"{path}: {in_words(error)}")


def load(
    path: Path, manifest: ArtifactManifest, tuning: Tuning, generation: GenerationSettings = DEFAULTS
) -> LoadedModel | LoadFailure:
    """Verifies the digest of each file, then loads the model: the runtime parses nothing unverified."""
    path = path if path.is_file() else path / manifest.model_file
    try:
        if (failure := artifact_files.verify(path, manifest)) is not None:
            return failure
        if generates(path.parent, manifest):
            return load_text_model(path.parent, manifest, tuning, generation)
        return load_model(path, manifest.runtime, tuning, manifest.transforms)
    except UnreadableFile as error:
        return LoadFailure(reasons.MODEL_LOAD_FAILED, str(error))
    except LoadFailure as failure:
        return LoadFailure(failure.reason, f"{path}: {failure.message}")
    except OSError as error:  # the words name the file
        return LoadFailure(reasons.MODEL_LOAD_FAILED, in_words(error))
    except Exception as error:
        return LoadFailure(reasons.MODEL_LOAD_FAILED, f"{path}: {in_words(error)}")


def prepare(
    path: Path, manifest: ArtifactManifest, tuning: Tuning, generation: GenerationSettings = DEFAULTS
) -> PreparedModel | LoadFailure:
    """Loads the model and runs its golden set, which it has to pass."""
    started = perf_counter()
    model = load(path, manifest, tuning, generation)
    if isinstance(model, LoadFailure):
        return model
    loaded = perf_counter()
    golden = None if manifest.golden is None else answer_golden(model, path, manifest.golden)
    if golden is not None and not isinstance(golden, LoadFailure) and not golden.passed:
        golden = LoadFailure(reasons.GOLDEN_MISMATCH, str(golden))
    if isinstance(golden, LoadFailure):
        model.close()
        return golden
    return PreparedModel(model, golden, loaded - started, perf_counter() - loaded)


def answer_golden(model: LoadedModel, directory: Path, golden: Golden) -> GoldenResult | LoadFailure:
    """Runs the golden set, and returns the result, passed or not."""
    model = graph_of(model)
    try:
        return run_golden(model.run, model.signature, golden, directory / names.GOLDEN_FILE)
    except GoldenInvalid as error:
        return LoadFailure(reasons.MODEL_LOAD_FAILED, str(error))
    except Exception as error:
        _log.warning("the golden set cannot be answered", exc_info=True)
        return LoadFailure(reasons.MODEL_LOAD_FAILED, f"the model fails on its golden set: {in_words(error)}")
