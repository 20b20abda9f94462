"""Facts about the compressor, which the operator cannot import; ``python crds/sync.py`` writes them."""

from collections.abc import Mapping
from typing import Final, NamedTuple

STEP_READS: Final[Mapping[str, tuple[str, ...]]] = {
    "Auto": ("budget", "evaluation", "tuning"),
    "Distill": ("teacher",),
}
"""The fields of the CompressionRequest that each type of step reads, besides settings, source and data sets."""


class FormatFacts(NamedTuple):
    suffix: str
    """The suffix of its file names; empty: any."""
    media_type: str
    """The artifact type of its files in a registry; empty: they cannot be pushed."""
    image: str
    """The name of the image that its Job runs, as in ``edgemodel.job_images``."""
    is_model: bool
    """False if a user's converter has to make a model of it."""


SOURCE_FORMATS: Final[Mapping[str, FormatFacts]] = {
    "ONNX": FormatFacts(".onnx", "application/vnd.edgemodel.model.v1", "compressor", True),
    "ExportedProgram": FormatFacts(".pt2", "application/vnd.edgemodel.program.v1", "trainer", True),
    "Safetensors": FormatFacts(".safetensors", "application/vnd.edgemodel.weights.v1", "trainer", False),
}
"""The facts of each format by its name, as in ``spec.source.format``."""
