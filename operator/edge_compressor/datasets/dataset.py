"""A data set in memory: arrays that fit a model, sliced, halved and batched without copies."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from edge_runtime.datatypes import Array
from edge_runtime.decoder import CHUNK_TOKENS, INPUT_IDS, Decoder
from edgemodel import reasons
from edgemodel.errors import Stalled

PADDING: Final = -1
"""The number that stands for no token, after the end of a text."""
BATCH_SIZE: Final = 32
"""The number of samples in one run, if the batch dimension of the model is open."""


@dataclass(frozen=True)
class Dataset:
    """The arrays of a data set that fit ``model``; all have ``size`` samples along the first axis."""

    what: str
    inputs: Mapping[str, Array]
    label: Array | None
    size: int
    batch: int
    """The model's own batch size; -1: open."""
    arrays: Mapping[str, Array] = field(default_factory=dict)
    """The arrays that tasks read besides ``label``, such as boxes; with samples on the first axis."""
    class_names: tuple[str, ...] = ()
    """The names of classes by number, as the user wrote them. Classes beyond the end are named by their numbers."""
    whole: bool = False
    """True if each sample is a run of its own, with inputs (and outputs) that have no axis of items. ``batch`` is then
    1."""
    states: Mapping[str, str] = field(default_factory=dict)
    """The output that feeds each state input at the next step; empty: the model is stateless, and samples have no
    steps."""

    decoder: Decoder | None = None
    """The model's own tensors, if it continues texts; ``inputs`` then holds the texts alone, with PADDING after their
    ends, and ``batch`` is 1."""
    notes: tuple[str, ...] = ()
    """The parts that were not read, or were read as something else, in sentences for the report."""

    @property
    def steps(self) -> int:
        """The number of steps in each sequence."""
        return int(next(array.shape[1] for name, array in self.inputs.items() if name not in self.states))

    @property
    def is_scored(self) -> bool:
        """Returns whether it holds labels, which a text is itself, or another array of a task."""
        return self.label is not None or bool(self.arrays) or self.decoder is not None

    @property
    def has_classes(self) -> bool:
        """Returns whether ``label`` is one class per sample."""
        return self.label is not None and self.label.ndim == 1 and self.label.dtype.kind in "iu"

    def batches(self, indices: Array | None = None) -> Iterator[tuple[Array, dict[str, Array]]]:
        """Yields (positions, feeds) over all samples, or those at ``indices``, in order.

        For a model with a fixed batch, the last feed is filled up with copies of the last sample, so feeds may hold
        more rows than there are positions.
        """
        every = np.arange(self.size) if indices is None else indices
        size = BATCH_SIZE if self.batch < 0 else self.batch
        for start in range(0, len(every), size):
            positions = every[start : start + size]
            rows = positions
            if self.batch > len(positions):
                rows = np.concatenate([positions, np.repeat(positions[-1:], self.batch - len(positions))])
            yield positions, self.take(rows)

    def halves(self) -> tuple["Dataset", "Dataset"]:
        """Returns every other sample, and the rest, without copies; a set that is sorted by class stays balanced in
        both."""
        return self.every(2), self.every(2, first=1)

    def every(self, step: int, *, first: int = 0) -> "Dataset":
        """Returns each ``step``-th sample, from ``first`` on."""
        inputs = {name: array[first::step] for name, array in self.inputs.items()}
        label = None if self.label is None else self.label[first::step]
        arrays = {name: array[first::step] for name, array in self.arrays.items()}
        return replace(self, inputs=inputs, label=label, arrays=arrays, size=len(range(first, self.size, step)))

    def take(self, rows: Array) -> dict[str, Array]:
        """Returns the feed of ``rows``; for ``whole`` samples and texts, the feed of the first of them.

        That of a text has its first CHUNK_TOKENS tokens, and an empty cache.
        """
        if self.decoder is not None:
            return self.decoder.feed(self.text(int(rows[0]))[None, :CHUNK_TOKENS], self.decoder.cache(0))
        chosen = rows[0] if self.whole else rows
        return {name: np.asarray(array[chosen], order="C") for name, array in self.inputs.items()}

    def text(self, position: int) -> Array:
        """Returns the tokens of one text, (tokens,), without padding."""
        tokens = self.inputs[INPUT_IDS][position]
        return np.asarray(tokens[tokens != PADDING])

    def by_item(self, outputs: list[Array]) -> list[Array]:
        """Returns the ``outputs`` of a run with a first axis of items, which those of ``whole`` samples lack."""
        if not self.whole:
            return outputs
        return [output if output.ndim and len(output) == 1 else output[None] for output in outputs]

    def spread(self, count: int) -> Array:
        """Returns ``count`` positions, or all if there are fewer, spread evenly over the set, which may be sorted by
        class."""
        count = min(count, self.size)
        return np.arange(count) * self.size // count


def shared_samples(one: Dataset, other: Dataset) -> int:
    """Returns the number of samples of ``other`` that are in ``one`` too, compared by the bytes of all inputs."""

    def digests(dataset: Dataset) -> Iterator[bytes]:
        names = sorted(dataset.inputs)
        for position in range(dataset.size):
            rows = (np.ascontiguousarray(dataset.inputs[name][position]).tobytes() for name in names)
            yield hashlib.sha256(b"".join(rows)).digest()

    known = set(digests(one))
    return sum(digest in known for digest in digests(other))


def describe(dataset: Dataset) -> dict[str, Any]:
    """Returns the description of a data set for the manifest."""
    steps = {"steps": dataset.steps} if dataset.states else {}
    return {"samples": dataset.size, **steps, "labelled": dataset.label is not None}


def invalid(what: str, message: str) -> Stalled:
    """Returns the error DatasetInvalid; ``what`` is the data set, such as ``evaluation set``."""
    return Stalled(reasons.DATASET_INVALID, f"{what}: {message}")
