"""A checked model file of any runtime, for data sets and the evaluation."""

from dataclasses import dataclass, field
from pathlib import Path

from edge_runtime.tuning import Tuning
from edgemodel.artifact import ONNX_RUNTIME, Tensor, TransformSpec
from edgemodel.digest import Digest
from edgemodel.names import MODEL_FILE


@dataclass(frozen=True)
class ModelFile:
    """A checked model in a file, with the tensors that it declares."""

    path: Path
    digest: Digest
    size_bytes: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    runtime: str = ONNX_RUNTIME
    """The name of the back end that loads it."""
    transforms: tuple[TransformSpec, ...] = ()
    """The pre- and post-processing that callers see it through; ``inputs`` and ``outputs`` are those of the
    outermost."""
    tuning: Tuning = field(default_factory=Tuning)
    """The options of the sessions that nodes serve it with."""
    class_names: tuple[str, ...] = ()
    """The names of its classes, by number, if the file has them."""

    @property
    def batch(self) -> int | None:
        """The fixed first dimension of all inputs; -1: it is open; None: they share none."""
        firsts = {tensor.shape[0] if tensor.shape else None for tensor in self.inputs}
        return firsts.pop() if len(firsts) == 1 else None

    @property
    def published_name(self) -> str:
        """The name of the file in an artifact."""
        return MODEL_FILE if self.runtime == ONNX_RUNTIME else f"model{self.path.suffix}"
