"""Folders of Hugging Face with weights as safetensors, of which a decoder in ONNX is made.

Nothing of the folder is executed: the graph is written here, by the settings in ``config.json``, for the architectures
that are known.
"""

from pathlib import Path

from edge_compressor.decoders import Unfit, check_decoder, write_decoder
from edge_compressor.formats.carried import carried_files
from edge_compressor.formats.source_format import ArtifactFiles, SourceFormat
from edge_compressor.models.hugging_face import INDEX_FILE
from edge_compressor.models.language_files import CONFIG_FILE
from edgemodel.compression_request import HUGGING_FACE, ONNX
from edgemodel.errors import Stalled


def recognises(path: Path) -> bool:
    """Returns whether a folder has settings, and weights as safetensors or their index."""
    return path.is_dir() and (path / CONFIG_FILE).is_file() and bool(_weights(path))


def check(path: Path, *, what: str, reason: str) -> None:
    """Checks that a decoder can be made of the folder, before anything is written. Raises Stalled with ``reason``."""
    try:
        check_decoder(path, what=what, reason=reason)
    except Unfit as error:
        raise Stalled(reason, f"{what}: {error}") from error


def to_artifact(path: Path, to: Path, *, what: str, reason: str) -> ArtifactFiles:
    """Writes the decoder to the folder ``to``. Raises Stalled with ``reason``."""
    carried, notes = carried_files(path, _weights(path), what=what, reason=reason)
    try:
        return ArtifactFiles(ONNX, write_decoder(path, to, what=what, reason=reason), carried, tuple(notes))
    except Unfit as error:
        raise Stalled(reason, f"{what}: {error}") from error


def _weights(folder: Path) -> set[Path]:
    return {*folder.glob("*.safetensors"), *folder.glob(INDEX_FILE)}


FORMAT = SourceFormat(
    name=HUGGING_FACE,
    doc="a folder with config.json, tokenizer.json and weights as safetensors, of which a decoder is made",
    suffix="",
    media_type="application/vnd.edgemodel.model.v1",
    check=check,
    recognises=recognises,
    to_artifact=to_artifact,
    accepts_file=False,
    accepts_folder=True,
)
