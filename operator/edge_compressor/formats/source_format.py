"""The interface of source formats. A new one is a file in this package with a ``FORMAT``; nothing lists it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from edgemodel.compression_request import ONNX


@dataclass(frozen=True)
class ArtifactFiles:
    """A model as steps take it: ``main`` is the file that is loaded."""

    format: str
    main: Path


class Check(Protocol):
    def __call__(self, path: Path, *, what: str, reason: str) -> None:
        """Looks at ``path`` and loads nothing of it. Raises Stalled with ``reason``, naming ``what`` it is."""


class ToArtifact(Protocol):
    def __call__(self, path: Path, to: Path, *, what: str, reason: str) -> ArtifactFiles:
        """Returns the model at ``path``, which is checked, as steps take it; ``to`` is an empty folder for it.

        Raises Stalled with ``reason``, naming ``what`` it is.
        """


@dataclass(frozen=True)
class SourceFormat:
    name: str
    """The value of ``spec.source.format``."""
    doc: str
    """The description, as it reads after the name and a comma."""
    suffix: str
    """The ending of its files' names, by which the command line knows it; empty: ``--format`` names it."""
    media_type: str
    """The artifact type of a file of it in a registry; empty: none can be pushed."""
    check: Check
    to_artifact: ToArtifact | None = None
    """None: it is no model yet, and a converter of the user's makes one of it."""
    becomes: str = ONNX
    """The format of what ``to_artifact`` returns."""
    accepts_file: bool = True
    accepts_folder: bool = False
    trains: bool = False
    """True: steps that train take it as it is, before it becomes an artifact."""
    image: Literal["compressor", "trainer"] = "compressor"
    """The image whose libraries it needs in a Job."""
