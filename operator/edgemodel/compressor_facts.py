"""What the operator knows of the compressor, which it cannot import: ``python crds/sync.py`` writes it."""

from collections.abc import Mapping
from typing import Final

STEP_READS: Final[Mapping[str, tuple[str, ...]]] = {
    "Auto": ("budget", "evaluation", "tuning"),
    "Distill": ("teacher",),
}
"""By step type: fields of the CompressionRequest that it reads besides its settings, the source and the data sets."""
