"""Reads data sets from ``.npz`` files and checks them against the inputs of a model."""

import shutil
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Final

import numpy as np

from edge_compressor.datasets.class_labels import LABEL
from edge_compressor.datasets.dataset import Dataset, invalid
from edge_compressor.models import runtime
from edge_compressor.models.model_file import ModelFile
from edge_runtime.datatypes import BFLOAT16, Array, from_numbers
from edgemodel import reasons
from edgemodel.artifact import Tensor
from edgemodel.error_words import in_words
from edgemodel.errors import Stalled

BOXES: Final = "boxes"
CLASS_NAMES: Final = "class_names"
MAX_UNPACKED_BYTES: Final = 16 * 2**30
"""The largest size of the unpacked arrays, in bytes."""
_BROKEN_HEADER: Final = (ValueError, SyntaxError, tokenize.TokenError)
"""The errors that numpy raises for an array's header that it cannot read."""
_PICKLED: Final = "Python objects, which are pickled; store numbers or fixed-length text"


def load_dataset(
    path: Path, model: ModelFile, folder: Path, *, what: str, states: Mapping[str, str] | None = None
) -> Dataset:
    """Unpacks ``path`` below ``folder`` and checks it against the inputs of ``model``.

    ``what`` is "evaluation set" or "calibration set"; ``states`` are those of ``Dataset.states``, and ``model`` has
    their tensors. Raises Stalled(DatasetEmpty) or Stalled(DatasetInvalid).
    """
    states = states or {}
    wanted = {tensor.name for tensor in model.inputs}
    if LABEL in wanted:
        raise invalid(what, f"the model has an input called {LABEL!r}, which is the name of the label column")
    arrays = _unpack(path, folder, wanted | {LABEL, BOXES, CLASS_NAMES}, what)
    class_names = _class_names(arrays.pop(CLASS_NAMES), what) if CLASS_NAMES in arrays.keys() - wanted else ()
    if missing := sorted(wanted - arrays.keys() - states.keys()):
        had = ", ".join(sorted(arrays.keys())) or "none of these"
        raise invalid(what, f"no array for the model's input {', '.join(missing)}; it has {had}")
    sizes = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if 0 in sizes.values():
        raise Stalled(reasons.DATASET_EMPTY, f"{what}: no samples in {', '.join(n for n in sizes if not sizes[n])}")
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {size}" for name, size in sorted(sizes.items()))
        raise invalid(what, f"arrays of different lengths: {listed}")
    whole = model.batch is None
    size = next(iter(sizes.values()))
    for tensor in model.inputs:
        if tensor.name in states and tensor.name not in arrays:
            arrays[tensor.name] = _zeros(tensor, size, what, whole=whole)
        if tensor.datatype == BFLOAT16 and arrays[tensor.name].dtype.kind == "f":
            arrays[tensor.name] = from_numbers(BFLOAT16, arrays[tensor.name])
        has_steps = bool(states) and tensor.name not in states
        _check_array(arrays[tensor.name], tensor, what, whole=whole, has_steps=has_steps)
    if states:
        _check_steps({name: array for name, array in arrays.items() if name in wanted - states.keys()}, what)
    batch = 1 if model.batch is None else model.batch
    if batch == 0:
        raise invalid(what, "the model's inputs have a batch dimension of 0, so it takes no samples")
    label = arrays.get(LABEL)
    if label is not None:
        _check_label(label, what)
    inputs = {tensor.name: arrays[tensor.name] for tensor in model.inputs}
    boxes = None if BOXES in wanted else arrays.get(BOXES)
    return Dataset(what, inputs, label, size, batch, boxes, class_names, whole, states)


def check_npz(path: Path, *, what: str) -> None:
    """Checks that numpy reads every array without unpickling, for any model. Raises as ``load_dataset``."""
    try:
        with zipfile.ZipFile(path) as archive:
            for item in archive.infolist():
                with archive.open(item) as packed:
                    _check_header(packed, item.filename, what)
            if not archive.infolist():
                raise Stalled(reasons.DATASET_EMPTY, f"{what}: no arrays")
    except (zipfile.BadZipFile, EOFError, NotImplementedError, OSError, zlib.error, *_BROKEN_HEADER) as error:
        raise invalid(what, f"not an .npz file that can be read: {in_words(error)}") from error


def _unpack(path: Path, folder: Path, wanted: set[str], what: str) -> dict[str, Array]:
    """Returns the ``wanted`` arrays of an npz, mapped read-only from files in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(path) as archive:
            members = [item for item in archive.infolist() if item.filename.removesuffix(".npy") in wanted]
            if (total := sum(item.file_size for item in members)) > MAX_UNPACKED_BYTES:
                raise invalid(what, f"{total} bytes unpacked, limit {MAX_UNPACKED_BYTES} bytes")
            arrays = {}
            for number, item in enumerate(members):
                file = folder / f"{number}.npy"
                with archive.open(item) as packed, file.open("wb") as out:
                    shutil.copyfileobj(packed, out, 1 << 20)
                arrays[item.filename.removesuffix(".npy")] = _map(file, item.filename, what)
            return arrays
    except (zipfile.BadZipFile, EOFError, NotImplementedError, zlib.error) as error:
        raise invalid(what, f"not an .npz file that can be read: {in_words(error)}") from error


def _check_header(packed: IO[bytes], name: str, what: str) -> None:
    read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
        np.lib.format.read_magic(packed), np.lib.format.read_array_header_2_0
    )
    if read(packed)[2].hasobject:
        raise invalid(what, f"array {name} holds {_PICKLED}")


def _map(file: Path, name: str, what: str) -> Array:
    try:
        return np.lib.format.open_memmap(file, mode="r")
    except _BROKEN_HEADER as error:
        if "Python objects" in str(error):
            raise invalid(what, f"array {name} holds {_PICKLED}") from error
        raise invalid(what, f"array {name} cannot be read: {in_words(error)}") from error


def _check_array(array: Array, tensor: Tensor, what: str, *, whole: bool, has_steps: bool) -> None:
    want = runtime.dtype_of(tensor)
    wanted = "floats, or the bits of bfloat16 as uint16" if tensor.datatype == BFLOAT16 else want.name
    if array.dtype.kind != want.kind or (want.kind != "U" and array.dtype != want):
        raise invalid(what, f"array {tensor.name} holds {array.dtype}, the model's input wants {wanted}")
    shape = ((-1,) if has_steps else ()) + (tensor.shape if whole else tensor.shape[1:])
    fits = array.ndim == len(shape) + 1 and all(
        need < 0 or have == need for have, need in zip(array.shape[1:], shape, strict=True)
    )
    if not fits:
        sizes = [f"{'any' if size < 0 else size}" for size in shape]
        message = (
            f"array {tensor.name} has shape {list(array.shape)}, "
            f"the model's input wants [{', '.join(['samples', *sizes])}]"
        )
        raise invalid(what, message)


def _check_label(label: Array, what: str) -> None:
    if label.dtype.kind not in "biuf":
        raise invalid(what, f"{LABEL} has shape {list(label.shape)} of {label.dtype}, want numbers, [samples, …]")


def _class_names(names: Array, what: str) -> tuple[str, ...]:
    if names.ndim != 1 or names.dtype.kind != "U":
        raise invalid(what, f"{CLASS_NAMES} has shape {list(names.shape)} of {names.dtype}, want a list of texts")
    return tuple(map(str, names))


def _zeros(tensor: Tensor, size: int, what: str, *, whole: bool) -> Array:
    """Returns the initial state of ``size`` sequences; an open dimension of the model becomes 1, as for one sample."""
    shape = tensor.shape if whole else tensor.shape[1:]
    if not whole and -1 in shape:
        open_at = list(tensor.shape)
        raise invalid(what, f"the state {tensor.name} has shape {open_at}: give the array that sequences begin with")
    return np.zeros((size, *(abs(length) for length in shape)), runtime.dtype_of(tensor))


def _check_steps(arrays: Mapping[str, Array], what: str) -> None:
    if not arrays:
        raise invalid(what, "the model has no input but its state, so there is nothing to go along")
    steps = {name: array.shape[1] for name, array in arrays.items()}
    if len(set(steps.values())) > 1 or 0 in steps.values():
        listed = ", ".join(f"{name} {count}" for name, count in sorted(steps.items()))
        raise invalid(what, f"the second axis is that of the steps, and arrays differ or are empty: {listed}")
