"""A user's converter: an image of the user's own that makes a model of weights, and all that it is told.

It runs between two containers of ours and shares nothing with them but files: it reads what the first has fetched and
checked, and the second takes the one file that it writes as it would take one from the network.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from edgemodel.compressor_facts import SOURCE_FORMATS

FETCH: Final = "fetch"
CONVERTER: Final = "converter"
"""Names of the containers before the one that compresses."""

IN_DIRECTORY: Final = "/exchange/in"
"""What is fetched for it; it cannot change it."""
OUT_DIRECTORY: Final = "/exchange/out"
"""Where it writes one file, and nothing besides."""

WEIGHTS_VARIABLE: Final = "EDGEMODEL_WEIGHTS"
WEIGHTS_FILE: Final = "model.safetensors"
TRAINING_VARIABLE: Final = "EDGEMODEL_TRAINING"
"""There only where ``datasets.training`` is given."""
TRAINING_FILE: Final = "training.npz"
MODEL_VARIABLE: Final = "EDGEMODEL_MODEL"
MODEL_FILES: Final = {name: f"model{one.suffix}" for name, one in SOURCE_FORMATS.items() if one.is_model}
"""What it writes, by ``writes``."""


@dataclass(frozen=True)
class Converter:
    image: str
    """``host/repository[:tag]@sha256:…``."""
    args: tuple[str, ...] = ()
    """Of the image's own entrypoint."""
    writes: str = "ExportedProgram"
    """One of MODEL_FILES."""
    resources: dict[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """The path of what it is to write."""
        return f"{OUT_DIRECTORY}/{MODEL_FILES[self.writes]}"

    def to_json(self) -> dict[str, Any]:
        """Returns what determines the model that it makes, as far as anybody can know."""
        return {"image": self.image, "args": list(self.args), "writes": self.writes}
