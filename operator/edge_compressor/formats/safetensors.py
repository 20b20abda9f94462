"""Safetensors: weights only, which the user's converter turns into a model."""

from pathlib import Path

from edge_compressor.formats.content import is_safetensors
from edge_compressor.formats.source_format import SourceFormat
from edge_compressor.models.safetensors import check_safetensors
from edgemodel.compression_request import SAFETENSORS
from edgemodel.job_images import TRAINER


def recognises(path: Path) -> bool:
    """Returns whether it is one file that begins with the header of safetensors."""
    return path.is_file() and is_safetensors(path)


def check(path: Path, *, what: str, reason: str) -> None:
    """Checks the header of the file. Raises Stalled with ``reason``."""
    check_safetensors(path, what=what, reason=reason)


FORMAT = SourceFormat(
    name=SAFETENSORS,
    doc="weights only, which the converter turns into a model of another format",
    suffix=".safetensors",
    media_type="application/vnd.edgemodel.weights.v1",
    check=check,
    recognises=recognises,
    image=TRAINER,  # a converter mostly writes an ExportedProgram
)
