"""A checked model file of any runtime, for data sets and the evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_runtime.decoder import Decoder, decoder_of
from edge_runtime.tuning import Tuning
from edgemodel.artifact import ONNX_RUNTIME, ArtifactFile, Tensor, TransformSpec
from edgemodel.digest import Digest
from edgemodel.names import MODEL_FILE


@dataclass(frozen=True)
class ModelFile:
    """A checked model in a file, with the tensors that it declares."""

    path: Path
    digest: Digest
    """The digest of the file, or of all its ``files`` if its weights lie in files of their own."""
    size_bytes: int
    """The size of all its files together."""
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
    files: Mapping[str, ArtifactFile] = field(default_factory=dict)
    """The files of the model by their names in an artifact; those of weights have the same names beside ``path``."""

    @property
    def batch(self) -> int | None:
        """The fixed first dimension of all inputs; -1: it is open; None: they share none."""
        firsts = {tensor.shape[0] if tensor.shape else None for tensor in self.inputs}
        return firsts.pop() if len(firsts) == 1 else None

    @property
    def decoder(self) -> Decoder | None:
        """The tensors by which it continues texts; None for a model that is no decoder."""
        return decoder_of(self.inputs, self.outputs)

    @property
    def published_name(self) -> str:
        """The name of the file in an artifact."""
        return MODEL_FILE if self.runtime == ONNX_RUNTIME else f"model{self.path.suffix}"

    @property
    def paths(self) -> tuple[Path, ...]:
        """The paths of all its files."""
        return (self.path, *(self.path.parent / name for name in self.weight_files))

    @property
    def weight_files(self) -> tuple[str, ...]:
        """The names of the files of weights beside ``path``, in an artifact too; empty: the weights are inside."""
        return tuple(name for name in self.files if name != self.published_name)
