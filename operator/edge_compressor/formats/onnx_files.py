"""ONNX: one file, or a folder with the graph, its weights in other files, and what belongs to it, such as a tokenizer.

The folders are those of ``onnx.save_model``, of optimum and of the model builder of onnxruntime-genai. Nothing of them
is merged: the artifact has the same files, and steps read weights where they lie.
"""

from pathlib import Path
from typing import Final

from edge_compressor.formats.carried import carried_files
from edge_compressor.formats.source_format import ArtifactFiles, SourceFormat
from edge_compressor.models.decoder_rows import with_rows
from edge_compressor.models.language_files import check_tokenizer
from edge_compressor.models.onnx_model import check_structure
from edge_compressor.models.weight_files import unread_bytes
from edge_runtime.decoder import ROWS_INPUT
from edgemodel.compression_request import ONNX
from edgemodel.errors import Stalled

MIN_UNREAD_BYTES: Final = 1 << 20
"""The smallest number of unread bytes in a file of weights that is told: weights mostly begin at a page."""
GRAPH_FOLDER: Final = "onnx"
"""The folder of the graph in exports that keep it apart from the tokenizer."""


def recognises(path: Path) -> bool:
    """Returns whether a folder has a graph; a file without a mark of its own is taken for one by ``recognise``."""
    return path.is_dir() and bool(_graphs(path))


def check(path: Path, *, what: str, reason: str) -> None:
    """Checks the structure of a file, or of the only graph in a folder. Raises Stalled with ``reason``."""
    if not path.is_dir():
        check_structure(path, what=what, reason=reason)
        return
    main = _main_of(path, what, reason)
    check_structure(main, what=what, reason=reason, beside=main.parent)
    check_tokenizer(path, what=what, reason=reason)


def to_artifact(path: Path, to: Path, *, what: str, reason: str) -> ArtifactFiles:
    """Returns the graph with the files that come with it. Raises Stalled with ``reason`` if those are too large."""
    if not path.is_dir():
        return ArtifactFiles(ONNX, with_rows(path))
    main = _main_of(path, what, reason)
    weights = {main.parent / name for name in check_structure(main, what=what, reason=reason, beside=main.parent)}
    notes = [
        f"{unread} of {(main.parent / name).stat().st_size} bytes of {name} are read by no weight: save the model anew"
        for name, unread in unread_bytes(main).items()
        if unread >= MIN_UNREAD_BYTES
    ]

    def name_of(name: str) -> str:
        return name.removeprefix(f"{GRAPH_FOLDER}/") if main.parent != path else name

    carried, left_out = carried_files(path, {main, *weights}, what=what, reason=reason, name_of=name_of)
    chosen = with_rows(main)
    if chosen != main:
        notes.append(f"the decoder got the optional input {ROWS_INPUT}, for prompts that need one row of logits")
    return ArtifactFiles(ONNX, chosen, carried, (*notes, *left_out))


def _graphs(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.onnx"), *(folder / GRAPH_FOLDER).glob("*.onnx")])


def _main_of(folder: Path, what: str, reason: str) -> Path:
    found = _graphs(folder)
    if len(found) != 1:
        names = ", ".join(file.relative_to(folder).as_posix() for file in found) or "none"
        raise Stalled(reason, f"{what}: a folder of an ONNX model holds one .onnx file, this one: {names}")
    return found[0]


FORMAT = SourceFormat(
    name=ONNX,
    doc="one file, or a folder with the file, its external weight files, and its tokenizer",
    suffix=".onnx",
    media_type="application/vnd.edgemodel.model.v1",
    check=check,
    recognises=recognises,
    to_artifact=to_artifact,
    accepts_folder=True,
)
