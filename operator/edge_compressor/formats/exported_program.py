"""ExportedPrograms: ``.pt2`` files of ``torch.export``, which training steps take as they are."""

import importlib.util
from pathlib import Path

from edge_compressor.formats.content import starts_with
from edge_compressor.formats.source_format import ArtifactFiles, SourceFormat
from edgemodel.compression_request import EXPORTED_PROGRAM, ONNX
from edgemodel.error_words import in_words
from edgemodel.errors import Stalled
from edgemodel.job_images import TRAINER


def recognises(path: Path) -> bool:
    """Returns whether it is a zip, as ``torch.export.save`` writes one."""
    return path.is_file() and starts_with(path, b"PK\x03\x04")


def check(path: Path, *, what: str, reason: str) -> None:
    """Checks the archive without running any of its code. Raises Stalled with ``reason``."""
    from edge_compressor.training import archive

    try:
        archive.check(path)
    except archive.Unsafe as error:
        raise Stalled(reason, f"{what}: {in_words(error)}") from error


def to_artifact(path: Path, to: Path, *, what: str, reason: str) -> ArtifactFiles:
    """Converts the program to ONNX in the folder ``to``. Raises Stalled with ``reason``."""
    if importlib.util.find_spec("torch") is None:
        message = f"it is an {EXPORTED_PROGRAM}, and torch is not here to read it"
        raise Stalled(reason, f"{what}: {message}: in the cluster, name spec.source.format: {EXPORTED_PROGRAM}")
    from edge_compressor.training import program  # imports torch, which other formats do not need

    return ArtifactFiles(ONNX, program.to_onnx(path, to / "exported.onnx", what=what, reason=reason))


FORMAT = SourceFormat(
    name=EXPORTED_PROGRAM,
    doc="a .pt2 file from torch.export, which training steps require and which is exported to ONNX after them",
    suffix=".pt2",
    media_type="application/vnd.edgemodel.program.v1",
    check=check,
    recognises=recognises,
    to_artifact=to_artifact,
    trains=True,
    image=TRAINER,
)
