"""The interface of a runtime: what the compressor and the server need from a library that runs models.

A runtime is a file in ``edge_runtime/backends``, which loads models and runs them. One that also
generates text has ``load_generator`` (generation.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge_runtime.datatypes import Array
from edge_runtime.signature import Signature
from edge_runtime.tuning import Tuning


class LoadFailure(Exception):
    """A model cannot be loaded here, and another try would not help; ``reason`` is one of ``edgemodel.reasons``."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


class RunFailure(Exception):
    """The runtime could not run the model; the message says why, in the runtime's words."""


class RefusedInputs(RunFailure):
    """The model rejects the values of the inputs, such as an index outside its table."""


@dataclass(frozen=True)
class Device:
    """The device that a model is to be placed on."""

    kind: str = "CPU"


CPU = Device()

Placement = Mapping[str, int | None]
"""The devices that run a part of the graph, by the runtime's names, with the number of its nodes there; None where the
runtime does not count them."""


class LoadedModel(Protocol):
    """A model in memory, ready to run."""

    platform: str
    """The runtime and its file format as the Open Inference Protocol names them, such as ``onnxruntime_onnx``."""
    signature: Signature
    concurrent: bool
    """True if several threads may call ``run`` at once."""
    placed: Placement

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """Returns one array for each name in ``outputs``; they belong to the caller, and no later run changes them.

        ``feeds`` has an array of the declared datatype for every input. Raises RefusedInputs, RunFailure.
        """

    def run_usual(self, feeds: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """Runs as ``run`` does, for feeds of the usual size; some runtimes are faster then."""
        return self.run(feeds, outputs)

    def close(self) -> None:
        """Frees what the model holds. It must not be run afterwards."""


class Backend(Protocol):
    """A runtime that loads models of its format."""

    name: str
    """The runtime that an artifact manifest asks for. In lower case it is the name of the back end's module."""
    version: str
    server_layers: tuple[str, ...]
    """The named layers that a server image needs besides its base, lowest first, to load models of this runtime."""

    def load(self, path: Path, tuning: Tuning, device: Device) -> LoadedModel:
        """Returns the model in the file at ``path``, whose digest was verified. Raises LoadFailure.

        A runtime that can reads the file in place: otherwise its bytes would stay in memory beside the model.
        """
