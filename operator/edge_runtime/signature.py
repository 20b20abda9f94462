"""The inputs and outputs that a loaded model declares."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from edgemodel.artifact import Tensor


@dataclass(frozen=True)
class Signature:
    """The tensors by name, in the model's order."""

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    optional: Mapping[str, Tensor] = field(default_factory=dict)
    """The inputs for which the model has a default value, which a caller may replace."""


def signature_of(inputs: Iterable[Tensor], outputs: Iterable[Tensor]) -> Signature:
    """Returns the signature of a model without optional inputs."""
    return Signature({tensor.name: tensor for tensor in inputs}, {tensor.name: tensor for tensor in outputs})
