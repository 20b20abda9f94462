"""ONNX: one file, or a folder with the file and its external weight files."""

from pathlib import Path

import onnx

from edge_compressor.formats.source_format import ArtifactFiles, SourceFormat
from edge_compressor.models.onnx_model import MAX_BYTES, check_structure
from edgemodel.compression_request import ONNX
from edgemodel.errors import Stalled


def check(path: Path, *, what: str, reason: str) -> None:
    """Checks the structure of a file, or of the only model in a folder. Raises Stalled with ``reason``."""
    if path.is_dir():
        check_structure(_main_of(path, what, reason), what=what, reason=reason, beside=path)
    else:
        check_structure(path, what=what, reason=reason)


def to_artifact(path: Path, to: Path, *, what: str, reason: str) -> ArtifactFiles:
    """Merges a folder into one file that contains its weights: steps and nodes take nothing else."""
    if not path.is_dir():
        return ArtifactFiles(ONNX, path)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    if size > MAX_BYTES:
        message = (
            f"{size} bytes with the files beside it, and an ONNX file with its weights inside has at most {MAX_BYTES}"
        )
        raise Stalled(reason, f"{what}: {message}")
    whole = to / "model.onnx"
    onnx.save_model(onnx.load(_main_of(path, what, reason)), whole)
    return ArtifactFiles(ONNX, whole)


def _main_of(folder: Path, what: str, reason: str) -> Path:
    found = sorted(folder.glob("*.onnx"))
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise Stalled(reason, f"{what}: a folder of an ONNX model holds one .onnx file, this one: {names}")
    return found[0]


FORMAT = SourceFormat(
    name=ONNX,
    doc="one file, or a folder with the file and its external weight files",
    suffix=".onnx",
    media_type="application/vnd.edgemodel.model.v1",
    check=check,
    to_artifact=to_artifact,
    accepts_folder=True,
)
