"""Data sets: an ``.npz`` with one array for each input of the model, and, where it is known, ``label``.

First axis: the samples. Where the inputs of a model share no batch dimension (a state, a scalar), each sample is an
input as the model declares it, whole: an array has the shape [samples, *the input's own]. Of a model with a state each
sample is a sequence: arrays have an axis of steps behind that of the samples, but for the state that sequences begin
with, which may be left out where that is zeros (``evaluation/stateful.py``). What a label has to look
like is for the task to say (``evaluation``); detection has ``boxes`` besides. ``class_names`` is a list of texts, for
the report. The arrays are unpacked to files one after the other and mapped into memory, so that a data set never has
to fit it. Nothing is ever unpickled.
"""

import hashlib
import shutil
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from edge_compressor import runtime
from edge_compressor.model import OnnxModel
from edge_runtime.datatypes import Array
from edgemodel import reasons
from edgemodel.artifact import Tensor
from edgemodel.errors import Stalled

LABEL: Final = "label"
BOXES: Final = "boxes"
CLASS_NAMES: Final = "class_names"
MAX_UNPACKED_BYTES: Final = 16 * 2**30
PROBABLE: Final = 0.5
BATCH_SIZE: Final = 32
"""Samples in one run, where the model leaves its batch dimension open."""
_BROKEN_HEADER: Final = (ValueError, SyntaxError, tokenize.TokenError)
"""What numpy raises for the head of an array that it cannot read."""
_PICKLED: Final = "Python objects, which are pickled; store numbers or fixed-length text"


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
        """Of each sequence."""
        return int(next(array.shape[1] for name, array in self.inputs.items() if name not in self.states))

    @property
    def has_classes(self) -> bool:
        """Whether ``label`` is one class for each sample."""
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
        """Of a set of ``whole`` samples the feed of one: the first of ``rows``."""
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


def load_dataset(
    path: Path, model: OnnxModel, folder: Path, *, what: str, states: Mapping[str, str] | None = None
) -> Dataset:
    """Unpacks ``path`` below ``folder`` and checks it against the inputs of ``model``.

    ``what`` is "evaluation set" or "calibration set"; ``states`` as ``Dataset.states``, whose tensors ``model`` has.
    Raises Stalled, DatasetEmpty or DatasetInvalid.
    """
    states = states or {}
    wanted = {tensor.name for tensor in model.inputs}
    if LABEL in wanted:
        raise _invalid(what, f"the model has an input called {LABEL!r}, which is the name of the label column")
    arrays = _unpack(path, folder, wanted | {LABEL, BOXES, CLASS_NAMES}, what)
    class_names = _class_names(arrays.pop(CLASS_NAMES), what) if CLASS_NAMES in arrays.keys() - wanted else ()
    if missing := sorted(wanted - arrays.keys() - states.keys()):
        had = ", ".join(sorted(arrays.keys())) or "none of these"
        raise _invalid(what, f"no array for the model's input {', '.join(missing)}; it has {had}")
    sizes = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if 0 in sizes.values():
        raise Stalled(reasons.DATASET_EMPTY, f"{what}: no samples in {', '.join(n for n in sizes if not sizes[n])}")
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {size}" for name, size in sorted(sizes.items()))
        raise _invalid(what, f"arrays of different lengths: {listed}")
    whole = model.batch is None
    size = next(iter(sizes.values()))
    for tensor in model.inputs:
        if tensor.name in states and tensor.name not in arrays:
            arrays[tensor.name] = _zeros(tensor, size, what, whole=whole)
        has_steps = bool(states) and tensor.name not in states
        _check_array(arrays[tensor.name], tensor, what, whole=whole, has_steps=has_steps)
    if states:
        _check_steps({name: array for name, array in arrays.items() if name in wanted - states.keys()}, what)
    batch = 1 if model.batch is None else model.batch
    if batch == 0:
        raise _invalid(what, "the model's inputs have a batch dimension of 0, so it takes no samples")
    label = arrays.get(LABEL)
    if label is not None:
        _check_label(label, what)
    inputs = {tensor.name: arrays[tensor.name] for tensor in model.inputs}
    boxes = None if BOXES in wanted else arrays.get(BOXES)
    return Dataset(what, inputs, label, size, batch, boxes, class_names, whole, states)


def check_npz(path: Path, *, what: str) -> None:
    """Whether numpy reads every array of it without unpickling, for whatever model it is. Raises as load_dataset."""
    try:
        with zipfile.ZipFile(path) as archive:
            for item in archive.infolist():
                with archive.open(item) as packed:
                    _check_header(packed, item.filename, what)
            if not archive.infolist():
                raise Stalled(reasons.DATASET_EMPTY, f"{what}: no arrays")
    except (zipfile.BadZipFile, EOFError, NotImplementedError, OSError, zlib.error, *_BROKEN_HEADER) as error:
        raise _invalid(what, f"not an .npz file that can be read: {error}") from error


def shared_samples(one: Dataset, other: Dataset) -> int:
    """How many samples of ``other`` are in ``one`` too, by the bytes of all inputs."""

    def digests(dataset: Dataset) -> Iterator[bytes]:
        names = sorted(dataset.inputs)
        for position in range(dataset.size):
            rows = (np.ascontiguousarray(dataset.inputs[name][position]).tobytes() for name in names)
            yield hashlib.sha256(b"".join(rows)).digest()

    known = set(digests(one))
    return sum(digest in known for digest in digests(other))


def check_class_labels(dataset: Dataset) -> None:
    """Labels must be one class for each sample. Raises Stalled(DatasetInvalid)."""
    label = dataset.label
    assert label is not None
    if not dataset.has_classes:
        message = f"{LABEL} has shape {list(label.shape)} of {label.dtype}, want [samples] of whole numbers"
        raise _invalid(dataset.what, message)
    if int(label.min()) < 0:
        raise _invalid(dataset.what, f"label {int(label.min())} is out of range: classes count from 0")


def check_classes(dataset: Dataset, classes: int) -> None:
    """Labels must be classes of the model's first output. Raises Stalled(DatasetInvalid)."""
    assert dataset.label is not None
    highest = int(dataset.label.max())
    if highest >= classes:
        raise _invalid(dataset.what, f"label {highest} is out of range: the model's first output has {classes} classes")


def classes_of(output: Array, rows: int, what: str) -> tuple[Array, int | None]:
    """The class of each of the first ``rows`` items by the model's first output, and how many classes it knows.

    Floats are scores, (items, classes), and the largest wins (-1 where one is NaN); a single float of 0 to 1 is the
    probability of class 1, which it is from 0.5 on; whole numbers, one an item, are classes themselves, of a number
    that is not known. Raises Stalled(DatasetInvalid) for others.
    """
    items = output[:rows].reshape(rows, -1) if output.ndim and len(output) >= rows else output
    if output.dtype.kind in "iu" and items.shape == (rows, 1):
        return items[:, 0].astype(np.int64), None
    if output.dtype.kind == "f" and output.ndim >= 2 and items.shape == (rows, output.shape[1]) and output.shape[1] > 1:
        return np.where(np.isnan(items).any(axis=1), -1, items.argmax(axis=1)), items.shape[1]
    if output.dtype.kind == "f" and items.shape == (rows, 1) and not ((items < 0) | (items > 1)).any():
        return np.where(np.isnan(items[:, 0]), -1, items[:, 0] >= PROBABLE).astype(np.int64), 2
    message = (
        f"it has labels, but the model's first output is {output.dtype} of shape {list(output.shape)} "
        f"for {rows} samples, want scores of shape ({rows}, classes) for 2 classes or more, or one probability each; "
        f"leave {LABEL!r} out to compare with the source only"
    )
    raise _invalid(what, message)


def _unpack(path: Path, folder: Path, wanted: set[str], what: str) -> dict[str, Array]:
    """The ``wanted`` arrays of an npz, mapped read-only from files in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(path) as archive:
            members = [item for item in archive.infolist() if item.filename.removesuffix(".npy") in wanted]
            if (total := sum(item.file_size for item in members)) > MAX_UNPACKED_BYTES:
                raise _invalid(what, f"{total} bytes unpacked, limit {MAX_UNPACKED_BYTES} bytes")
            arrays = {}
            for number, item in enumerate(members):
                file = folder / f"{number}.npy"
                with archive.open(item) as packed, file.open("wb") as out:
                    shutil.copyfileobj(packed, out, 1 << 20)
                arrays[item.filename.removesuffix(".npy")] = _map(file, item.filename, what)
            return arrays
    except (zipfile.BadZipFile, EOFError, NotImplementedError, zlib.error) as error:
        raise _invalid(what, f"not an .npz file that can be read: {error}") from error


def _check_header(packed: IO[bytes], name: str, what: str) -> None:
    read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
        np.lib.format.read_magic(packed), np.lib.format.read_array_header_2_0
    )
    if read(packed)[2].hasobject:
        raise _invalid(what, f"array {name} holds {_PICKLED}")


def _map(file: Path, name: str, what: str) -> Array:
    try:
        return np.lib.format.open_memmap(file, mode="r")
    except _BROKEN_HEADER as error:
        if "Python objects" in str(error):
            raise _invalid(what, f"array {name} holds {_PICKLED}") from error
        raise _invalid(what, f"array {name} cannot be read: {error}") from error


def _check_array(array: Array, tensor: Tensor, what: str, *, whole: bool, has_steps: bool) -> None:
    want = runtime.dtype_of(tensor)
    if array.dtype.kind != want.kind or (want.kind != "U" and array.dtype != want):
        raise _invalid(what, f"array {tensor.name} holds {array.dtype}, the model's input wants {want.name}")
    shape = ((-1,) if has_steps else ()) + (tensor.shape if whole else tensor.shape[1:])
    fits = array.ndim == len(shape) + 1 and all(
        need < 0 or have == need for have, need in zip(array.shape[1:], shape, strict=True)
    )
    if not fits:
        wanted = [f"{'any' if size < 0 else size}" for size in shape]
        message = (
            f"array {tensor.name} has shape {list(array.shape)}, "
            f"the model's input wants [{', '.join(['samples', *wanted])}]"
        )
        raise _invalid(what, message)


def _check_label(label: Array, what: str) -> None:
    if label.dtype.kind not in "biuf":
        raise _invalid(what, f"{LABEL} has shape {list(label.shape)} of {label.dtype}, want numbers, [samples, …]")


def _class_names(names: Array, what: str) -> tuple[str, ...]:
    if names.ndim != 1 or names.dtype.kind != "U":
        raise _invalid(what, f"{CLASS_NAMES} has shape {list(names.shape)} of {names.dtype}, want a list of texts")
    return tuple(map(str, names))


def _invalid(what: str, message: str) -> Stalled:
    return Stalled(reasons.DATASET_INVALID, f"{what}: {message}")


def describe(dataset: Dataset) -> dict[str, Any]:
    """For the manifest."""
    steps = {"steps": dataset.steps} if dataset.states else {}
    return {"samples": dataset.size, **steps, "labelled": dataset.label is not None}


def _zeros(tensor: Tensor, size: int, what: str, *, whole: bool) -> Array:
    """The state that ``size`` sequences begin with; a dimension that the model leaves open is 1, as of one sample."""
    shape = tensor.shape if whole else tensor.shape[1:]
    if not whole and -1 in shape:
        open_at = list(tensor.shape)
        raise _invalid(what, f"the state {tensor.name} has shape {open_at}: give the array that sequences begin with")
    return np.zeros((size, *(abs(length) for length in shape)), runtime.dtype_of(tensor))


def _check_steps(arrays: Mapping[str, Array], what: str) -> None:
    if not arrays:
        raise _invalid(what, "the model has no input but its state, so there is nothing to go along")
    steps = {name: array.shape[1] for name, array in arrays.items()}
    if len(set(steps.values())) > 1 or 0 in steps.values():
        listed = ", ".join(f"{name} {count}" for name, count in sorted(steps.items()))
        raise _invalid(what, f"the second axis is that of the steps, and arrays differ or are empty: {listed}")
