"""The interface of source formats. A new format needs only a file with a ``FORMAT`` in this package."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from edgemodel.artifact import ONNX_RUNTIME
from edgemodel.compression_request import ONNX
from edgemodel.job_images import COMPRESSOR, JobImage


@dataclass(frozen=True)
class ArtifactFiles:
    """A model in the form that steps take; ``main`` is the file to load."""

    format: str
    main: Path
    carried: Mapping[str, Path] = field(default_factory=dict)
    """The files that come with the model into the artifact, such as its tokenizer, by their names there."""
    notes: tuple[str, ...] = ()
    """Remarks for the report, such as which files of the source the artifact does not get."""


class Check(Protocol):
    """A check of a source of one format."""

    def __call__(self, path: Path, *, what: str, reason: str) -> None:
        """Checks ``path`` without loading it. Raises Stalled with ``reason``; the message names ``what`` it is."""


class Recognises(Protocol):
    """A test whether a file or folder is of one format, by its content."""

    def __call__(self, path: Path) -> bool:
        """Returns True if it is of this format, whole or not. It reads a few bytes, and raises nothing but OSError."""


class ToArtifact(Protocol):
    """A conversion of a source of one format."""

    def __call__(self, path: Path, to: Path, *, what: str, reason: str) -> ArtifactFiles:
        """Converts the checked model at ``path`` into the form that steps take, in the empty folder ``to``.

        Raises Stalled with ``reason``, naming ``what`` it is.
        """


@dataclass(frozen=True)
class SourceFormat:
    """A format of sources: how it is recognised, checked and converted."""

    name: str
    """The value of ``spec.source.format``."""
    doc: str
    """The description, which follows the name and a comma."""
    suffix: str
    """The suffix of its files, from which the command line infers the format; empty: ``--format`` is required."""
    media_type: str
    """The artifact type of its files in a registry; empty: they cannot be pushed."""
    check: Check
    recognises: Recognises | None = None
    """The test by which a source without a format gets this one; None: it has to be named."""
    to_artifact: ToArtifact | None = None
    """The conversion; None if the source contains only weights, from which the user's converter makes a model."""
    becomes: str = ONNX
    """The format of the result of ``to_artifact``, by which steps name what they take."""
    runtime: str = ONNX_RUNTIME
    """The runtime that loads it, for the compressor and for nodes."""
    accepts_file: bool = True
    accepts_folder: bool = False
    trains: bool = False
    """True: training steps take it as it is, before it becomes an artifact."""
    image: JobImage = COMPRESSOR
    """The image with the libraries that the format needs in a Job."""
