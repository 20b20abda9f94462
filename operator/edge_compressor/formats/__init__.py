"""The source formats, one file per format; the package finds each by its ``FORMAT``."""

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Final

from edge_compressor.formats.source_format import ArtifactFiles, SourceFormat
from edgemodel import reasons
from edgemodel.compression_request import ONNX
from edgemodel.errors import Stalled

__all__ = ["FORMATS", "ArtifactFiles", "SourceFormat", "model_format", "source_format"]


def _found() -> dict[str, SourceFormat]:
    modules = [importlib.import_module(f"{__name__}.{one.name}") for one in pkgutil.iter_modules(__path__)]
    formats = [module.FORMAT for module in modules if hasattr(module, "FORMAT")]
    return {one.name: one for one in sorted(formats, key=lambda one: (one.name != ONNX, one.name))}


FORMATS: Final[Mapping[str, SourceFormat]] = _found()
"""Name -> format; ONNX, the default, comes first."""


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
