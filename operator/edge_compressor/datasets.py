"""Data sets: an ``.npz`` with one array for each input of the model, and, for classification, ``label``.

First axis: the samples. The arrays are unpacked to files one after the other and mapped into memory, so
that a data set never has to fit it. Nothing is ever unpickled.
"""

import hashlib
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge_compressor import runtime
from edge_compressor.model import Model
from edge_compressor.runtime import Array
from edgemodel import reasons
from edgemodel.artifact import Tensor
from edgemodel.errors import Stalled

LABEL: Final = "label"
MOST_UNPACKED_BYTES: Final = 16 * 2**30
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

    def take(self, rows: Array) -> dict[str, Array]:
        return {name: np.ascontiguousarray(array[rows]) for name, array in self.inputs.items()}

    def spread(self, count: int) -> Array:
        """``count`` positions (or all, where there are fewer) evenly over the set, which may be sorted by class."""
        count = min(count, self.size)
        return np.arange(count) * self.size // count


def load_dataset(path: Path, model: Model, folder: Path, *, what: str) -> Dataset:
    """Unpacks ``path`` below ``folder`` and checks it against the inputs of ``model``.

    ``what`` is "evaluation set" or "calibration set". Raises Stalled, DatasetEmpty or DatasetInvalid.
    """
    wanted = {tensor.name for tensor in model.inputs}
    if LABEL in wanted:
        raise _invalid(what, f"the model has an input called {LABEL!r}, which is the name of the label column")
    arrays = _unpack(path, folder, wanted | {LABEL}, what)
    if missing := sorted(wanted - arrays.keys()):
        had = ", ".join(sorted(arrays.keys())) or "none of these"
        raise _invalid(what, f"no array for the model's input {', '.join(missing)}; it has {had}")
    sizes = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if 0 in sizes.values():
        raise Stalled(reasons.DATASET_EMPTY, f"{what}: no samples in {', '.join(n for n in sizes if not sizes[n])}")
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {size}" for name, size in sorted(sizes.items()))
        raise _invalid(what, f"arrays of different lengths: {listed}")
    for tensor in model.inputs:
        _check_array(arrays[tensor.name], tensor, what)
    batch = model.batch
    if batch is None or batch == 0:
        shapes = ", ".join(f"{tensor.name} {list(tensor.shape)}" for tensor in model.inputs)
        raise _invalid(what, f"the model's inputs share no batch dimension ({shapes}), so samples cannot be told apart")
    label = arrays.get(LABEL)
    if label is not None:
        _check_label(label, what)
    inputs = {tensor.name: arrays[tensor.name] for tensor in model.inputs}
    return Dataset(what, inputs, label, next(iter(sizes.values())), batch)


def shared_samples(one: Dataset, other: Dataset) -> int:
    """How many samples of ``other`` are in ``one`` too, by the bytes of all inputs."""

    def digests(dataset: Dataset) -> Iterator[bytes]:
        names = sorted(dataset.inputs)
        for position in range(dataset.size):
            rows = (np.ascontiguousarray(dataset.inputs[name][position]).tobytes() for name in names)
            yield hashlib.sha256(b"".join(rows)).digest()

    known = set(digests(one))
    return sum(digest in known for digest in digests(other))


def check_classes(dataset: Dataset, classes: int) -> None:
    """Labels must be classes of the model's first output. Raises Stalled(DatasetInvalid)."""
    assert dataset.label is not None
    highest = int(dataset.label.max())
    if highest >= classes:
        raise _invalid(dataset.what, f"label {highest} is out of range: the model's first output has {classes} classes")


def classes_of(output: Array, rows: int, what: str) -> tuple[Array, int | None]:
    """The class of each of the first ``rows`` items by the model's first output, and how many classes it knows.

    Floats are scores, (items, classes), and the largest wins (-1 where one is NaN); whole numbers, one an
    item, are classes themselves, of a number that is not known. Raises Stalled(DatasetInvalid) for others.
    """
    items = output[:rows].reshape(rows, -1) if output.ndim and len(output) >= rows else output
    if output.dtype.kind in "iu" and items.shape == (rows, 1):
        return items[:, 0].astype(np.int64), None
    if output.dtype.kind == "f" and output.ndim >= 2 and items.shape == (rows, output.shape[1]) and output.shape[1] > 1:
        return np.where(np.isnan(items).any(axis=1), -1, items.argmax(axis=1)), items.shape[1]
    message = (
        f"it has labels, but the model's first output is {output.dtype} of shape {list(output.shape)} "
        f"for {rows} samples, want scores of shape ({rows}, classes) for 2 classes or more; "
        f"leave {LABEL!r} out to compare with the source only"
    )
    raise _invalid(what, message)


def _unpack(path: Path, folder: Path, wanted: set[str], what: str) -> dict[str, Array]:
    """The ``wanted`` arrays of an npz, mapped read-only from files in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(path) as archive:
            members = [item for item in archive.infolist() if item.filename.removesuffix(".npy") in wanted]
            if (total := sum(item.file_size for item in members)) > MOST_UNPACKED_BYTES:
                raise _invalid(what, f"{total} bytes unpacked, limit {MOST_UNPACKED_BYTES} bytes")
            arrays = {}
            for number, item in enumerate(members):
                file = folder / f"{number}.npy"
                with archive.open(item) as packed, file.open("wb") as out:
                    shutil.copyfileobj(packed, out, 1 << 20)
                arrays[item.filename.removesuffix(".npy")] = _map(file, item.filename, what)
            return arrays
    except (zipfile.BadZipFile, EOFError, NotImplementedError, zlib.error) as error:
        raise _invalid(what, f"not an .npz file that can be read: {error}") from error


def _map(file: Path, name: str, what: str) -> Array:
    try:
        return np.lib.format.open_memmap(file, mode="r")
    except ValueError as error:
        if "Python objects" in str(error):
            message = f"array {name} holds Python objects, which are pickled; store numbers or fixed-length text"
            raise _invalid(what, message) from error
        raise _invalid(what, f"array {name} cannot be read: {error}") from error


def _check_array(array: Array, tensor: Tensor, what: str) -> None:
    want = runtime.dtype_of(tensor)
    if array.dtype.kind != want.kind or (want.kind != "U" and array.dtype != want):
        raise _invalid(what, f"array {tensor.name} holds {array.dtype}, the model's input wants {want.name}")
    fits = array.ndim == len(tensor.shape) and all(
        need < 0 or have == need for have, need in zip(array.shape[1:], tensor.shape[1:], strict=True)
    )
    if not fits:
        wanted = [f"{'any' if size < 0 else size}" for size in tensor.shape[1:]]
        message = (
            f"array {tensor.name} has shape {list(array.shape)}, the model's input wants [samples, {', '.join(wanted)}]"
        )
        raise _invalid(what, message)


def _check_label(label: Array, what: str) -> None:
    if label.ndim != 1 or label.dtype.kind not in "iu":
        raise _invalid(what, f"{LABEL} has shape {list(label.shape)} of {label.dtype}, want [samples] of whole numbers")
    if int(label.min()) < 0:
        raise _invalid(what, f"label {int(label.min())} is out of range: classes count from 0")


def _invalid(what: str, message: str) -> Stalled:
    return Stalled(reasons.DATASET_INVALID, f"{what}: {message}")


def describe(dataset: Dataset) -> dict[str, Any]:
    """For the manifest."""
    return {"samples": dataset.size, "labelled": dataset.label is not None}
