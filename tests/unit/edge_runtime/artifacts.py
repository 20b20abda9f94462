"""Artifacts in the compressor's form, of models that only tests have."""

from pathlib import Path

import numpy as np

from edge_compressor.datasets.npz import load_dataset
from edge_compressor.evaluation.golden_set import record_golden
from edge_compressor.models.model_file import ModelFile
from edgemodel.artifact import ArtifactManifest


def write_artifact(model: ModelFile, folder: Path, **arrays: np.ndarray) -> Path:
    """Returns ``folder / "artifact"`` with manifest, model and a golden set of 32 items of ``arrays``."""
    artifact = folder / "artifact"
    artifact.mkdir()
    np.savez(folder / "set.npz", **arrays)
    dataset = load_dataset(folder / "set.npz", model, folder / "arrays", what="evaluation set")
    golden = record_golden(model, dataset, 32, artifact / "golden.npz")
    assert golden is not None
    manifest = ArtifactManifest(
        model="tiny",
        fingerprint="0123456789",
        variant="default",
        source_digest=model.digest,
        artifact_digest=model.digest,
        inputs=model.inputs,
        outputs=model.outputs,
        golden=golden,
        runtime=model.runtime,
        model_file=model.published_name,
        transforms=model.transforms,
    )
    (artifact / "manifest.json").write_bytes(manifest.encode())
    (artifact / model.published_name).write_bytes(model.path.read_bytes())
    return artifact
