"""The interface of pre- and post-processing: work between the codec of a request and the model, such as resizing an
image.

A transform belongs to the artifact: its manifest names it, and golden set, evaluation, metadata and every runtime see
the model behind it.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from edge_runtime.backend import LoadedModel
from edge_runtime.datatypes import Array
from edge_runtime.signature import Signature


class Transform(Protocol):
    """A transform, which treats each item alone, keeps no state between calls, and is safe to call from several
    threads."""

    def outer(self, inner: Signature) -> Signature:
        """Returns the signature that callers see of a model with the signature ``inner``.

        Raises ValueError if the transform does not fit such a model.
        """

    def before(self, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """Returns the model's inputs, computed from a caller's. Raises RefusedInputs."""

    def after(self, outputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Returns the caller's outputs, computed from all outputs of the model."""


def outer_signature(inner: Signature, transforms: Sequence[Transform]) -> Signature:
    """Returns the signature that callers see of a model behind ``transforms``, of which the first is the outermost.

    Raises ValueError or KeyError if one does not fit.
    """
    for transform in reversed(transforms):
        inner = transform.outer(inner)
    return inner


def inner_feeds(feeds: Mapping[str, Array], transforms: Sequence[Transform]) -> Mapping[str, Array]:
    """Returns the inputs of a model behind ``transforms``, computed from a caller's. Raises RefusedInputs."""
    for transform in transforms:
        feeds = transform.before(feeds)
    return feeds


class TransformedModel(LoadedModel):
    """A model behind transforms, of which the first is the outermost."""

    def __init__(self, model: LoadedModel, transforms: Sequence[Transform]) -> None:
        """Raises ValueError or KeyError if a transform does not fit."""
        self._model, self._transforms = model, tuple(transforms)
        self._outputs = list(model.signature.outputs)
        self.platform, self.concurrent, self.placed = model.platform, model.concurrent, model.placed
        self.signature = outer_signature(model.signature, transforms)

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
        """Raises RefusedInputs, RunFailure."""
        feeds = inner_feeds(feeds, self._transforms)
        answers: Mapping[str, Array] = dict(zip(self._outputs, self._model.run(feeds, self._outputs), strict=True))
        for transform in reversed(self._transforms):
            answers = transform.after(answers)
        return [answers[name] for name in outputs]

    def close(self) -> None:
        """Frees the model."""
        self._model.close()
