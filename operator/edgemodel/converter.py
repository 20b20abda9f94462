"""A user's converter: an image of the user's own that makes a model of weights, and the interface that it gets.

It runs between two containers of ours and shares nothing with them but files: it reads what the first has fetched and
checked, and the second treats the one file that it writes like one from the network.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from edgemodel.compressor_facts import SOURCE_FORMATS

FETCH: Final = "fetch"
CONVERTER: Final = "converter"
"""The names of the containers that run before the compressor."""

IN_DIRECTORY: Final = "/exchange/in"
"""The folder of the fetched files, which the converter cannot change."""
OUT_DIRECTORY: Final = "/exchange/out"
"""The folder into which the converter writes one file and nothing else."""

WEIGHTS_VARIABLE: Final = "EDGEMODEL_WEIGHTS"
WEIGHTS_FILE: Final = "model.safetensors"
TRAINING_VARIABLE: Final = "EDGEMODEL_TRAINING"
"""The variable with the path of the training data; set only if ``datasets.training`` is given."""
TRAINING_FILE: Final = "training.npz"
MODEL_VARIABLE: Final = "EDGEMODEL_MODEL"
MODEL_FILES: Final = {name: f"model{one.suffix}" for name, one in SOURCE_FORMATS.items() if one.is_model and one.suffix}
"""The name of the file that the converter writes, by ``writes``."""


@dataclass(frozen=True)
class Converter:
    """A user's converter, as ``spec.source.converter`` has it."""

    image: str
    """The reference of the image: ``host/repository[:tag]@sha256:…``."""
    args: tuple[str, ...] = ()
    """The arguments of the image's own entrypoint."""
    writes: str = "ExportedProgram"
    """The format that it writes, a key of MODEL_FILES."""
    resources: dict[str, Any] = field(default_factory=dict)

    @property
    def model(self) -> str:
        """The path of the file that the converter has to write."""
        return f"{OUT_DIRECTORY}/{MODEL_FILES[self.writes]}"

    def to_json(self) -> dict[str, Any]:
        """Returns what determines the model that the converter makes, as far as that can be known."""
        return {"image": self.image, "args": list(self.args), "writes": self.writes}
