"""The source formats, one file per format; the package finds each by its ``FORMAT``."""

import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from edge_compressor.formats.source_format import ArtifactFiles, SourceFormat
from edge_compressor.formats.unread import UNREAD
from edgemodel import reasons
from edgemodel.compression_request import BY_CONTENT, ONNX
from edgemodel.errors import Stalled

__all__ = ["FORMATS", "ArtifactFiles", "SourceFormat", "format_by_content", "model_format", "source_format"]


def _found() -> dict[str, SourceFormat]:
    modules = [importlib.import_module(f"{__name__}.{one.name}") for one in pkgutil.iter_modules(__path__)]
    formats = [module.FORMAT for module in modules if hasattr(module, "FORMAT")]
    return {one.name: one for one in sorted(formats, key=lambda one: (one.name != ONNX, one.name))}


FORMATS: Final[Mapping[str, SourceFormat]] = _found()
"""Name -> format; ONNX, the default, comes first."""


def format_by_content(path: Path, name: str, *, what: str, reason: str = reasons.SOURCE_INVALID) -> SourceFormat:
    """Returns the format of the file or folder at ``path``; ``name`` is the one that the user gave, or BY_CONTENT.

    Raises Stalled with ``reason``, naming ``what`` it is, for a content that is not of the format ``name``, and for one
    that is known and not read.
    """
    if name != BY_CONTENT and FORMATS[name].recognises is None:
        return FORMATS[name]
    kind = "folder" if path.is_dir() else "file"
    for unread in UNREAD:
        if unread.recognises(path):
            raise Stalled(reason, f"{what}: it is {unread.what}: {unread.cure}")
    found = [one for one in FORMATS.values() if one.recognises is not None and one.recognises(path)]
    listed = " and ".join(one.name for one in found)
    if name == BY_CONTENT:
        if not found and kind == "folder":
            raise Stalled(reason, f"{what}: the folder holds no model: want {_KNOWN}")
        if len(found) > 1:
            raise Stalled(reason, f"{what}: the {kind} is {listed}: name one of them as its format")
        return found[0] if found else FORMATS[ONNX]
    if found and name not in (one.name for one in found):
        raise Stalled(reason, f"{what}: the {kind} is {listed}, and its format is given as {name}: leave format out")
    return FORMATS[name]


_KNOWN: Final = "a .onnx file with its weights beside it, or config.json with weights as safetensors"


def source_format(name: str, what: str) -> SourceFormat:
    """Returns the format ``name``. Raises Stalled(SourceInvalid), naming ``what`` has it, where there is none."""
    return _one_of(FORMATS, name, what)


def model_format(name: str, what: str) -> SourceFormat:
    """Returns the format ``name``. Raises as ``source_format``, and for a format that needs a converter first."""
    return _one_of({key: one for key, one in FORMATS.items() if one.to_artifact is not None}, name, what)


def _one_of(formats: Mapping[str, SourceFormat], name: str, what: str) -> SourceFormat:
    if name not in formats:
        raise Stalled(reasons.SOURCE_INVALID, f"{what}: format {name} is not supported, want {' or '.join(formats)}")
    return formats[name]
