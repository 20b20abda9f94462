"""A data set in memory: arrays that fit a model, sliced, halved and batched without copying."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from edge_runtime.datatypes import Array
from edgemodel import reasons
from edgemodel.errors import Stalled

BATCH_SIZE: Final = 32
"""Samples in one run, where the model leaves its batch dimension open."""


@dataclass(frozen=True)
class Dataset:
    """Arrays that fit ``model``; all have ``size`` samples along the first axis."""

    what: str
    inputs: Mapping[str, Array]
    label: Array | None
    size: int
    batch: int
    """The model's own batch size; -1: open."""
    boxes: Array | None = None
    """(samples, m, 4), beside a label of (samples, m)."""
    class_names: tuple[str, ...] = ()
    """By class number; a user's words. Empty, or too short: classes are called by their numbers."""
    whole: bool = False
    """Each sample is a run of its own, with inputs (and outputs) that have no axis of items. ``batch`` is then 1."""
    states: Mapping[str, str] = field(default_factory=dict)
    """By input: the output that it gets at the next step. Empty: the model has no state, samples no steps."""

    @property
    def steps(self) -> int:
        """The number of steps in each sequence."""
        return int(next(array.shape[1] for name, array in self.inputs.items() if name not in self.states))

    @property
    def has_classes(self) -> bool:
        """Says whether ``label`` is one class for each sample."""
        return self.label is not None and self.label.ndim == 1 and self.label.dtype.kind in "iu"

    def batches(self, indices: Array | None = None) -> Iterator[tuple[Array, dict[str, Array]]]:
        """(positions, feeds) over all samples, or those at ``indices``, in order.

        A model with a fixed batch gets its last feed filled up with copies of the last sample, so feeds
        may hold more rows than there are positions.
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
        """Every other sample, and the rest; a set that is sorted by class stays balanced in both. Nothing is copied."""
        return self.every(2), self.every(2, first=1)

    def every(self, step: int, *, first: int = 0) -> "Dataset":
        """Each ``step``-th sample, from ``first`` on."""
        inputs = {name: array[first::step] for name, array in self.inputs.items()}
        label = None if self.label is None else self.label[first::step]
        boxes = None if self.boxes is None else self.boxes[first::step]
        return replace(self, inputs=inputs, label=label, boxes=boxes, size=len(range(first, self.size, step)))

    def take(self, rows: Array) -> dict[str, Array]:
        """Returns the feed of ``rows``; of a set of ``whole`` samples the feed of the first of them."""
        chosen = rows[0] if self.whole else rows
        return {name: np.asarray(array[chosen], order="C") for name, array in self.inputs.items()}

    def by_item(self, outputs: list[Array]) -> list[Array]:
        """``outputs`` of a run with an axis of items first, which those of ``whole`` samples lack."""
        if not self.whole:
            return outputs
        return [output if output.ndim and len(output) == 1 else output[None] for output in outputs]

    def spread(self, count: int) -> Array:
        """``count`` positions (or all, where there are fewer) evenly over the set, which may be sorted by class."""
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
    """For the manifest."""
    steps = {"steps": dataset.steps} if dataset.states else {}
    return {"samples": dataset.size, **steps, "labelled": dataset.label is not None}


def invalid(what: str, message: str) -> Stalled:
    """Returns the error DatasetInvalid; ``what`` is the data set, e.g. ``evaluation set``."""
    return Stalled(reasons.DATASET_INVALID, f"{what}: {message}")
