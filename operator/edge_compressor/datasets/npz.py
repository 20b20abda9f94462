"""Reads data sets from ``.npz`` files and checks them against the inputs of a model."""

import difflib
import errno
import shutil
import tokenize
import zipfile
import zlib
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Final

import numpy as np

from edge_compressor.datasets.class_labels import LABEL, as_classes_of, label_in_numbers
from edge_compressor.datasets.dataset import Dataset, invalid
from edge_compressor.datasets.finite import check_finite
from edge_compressor.datasets.fitting import decoded, fit_axes, fit_type, in_native_order
from edge_compressor.datasets.texts import TEXTS, is_json_lines, read_json_lines, texts_in, texts_of, tokens_of
from edge_compressor.models import runtime
from edge_compressor.models.context import context_tokens
from edge_compressor.models.model_file import ModelFile
from edge_runtime.datatypes import BFLOAT16, Array
from edge_runtime.decoder import INPUT_IDS, Decoder
from edgemodel import reasons
from edgemodel.artifact import Tensor
from edgemodel.error_words import in_words
from edgemodel.errors import Stalled

CLASS_NAMES: Final = "class_names"
MAX_UNPACKED_BYTES: Final = 16 * 2**30
"""The largest size of the unpacked arrays, in bytes."""
_MAX_NAMES: Final = 20
"""The largest number of names of arrays in one message."""
_LIKE_LABELS: Final = frozenset(
    {"labels", "y", "y_true", "y_test", "y_train", "target", "targets", "class", "classes", "gt"}
)
"""The names that other tools give to labels."""
_BROKEN_HEADER: Final = (ValueError, SyntaxError, tokenize.TokenError)
"""The errors that numpy raises for an array's header that it cannot read."""
_ENCRYPTED: Final = 0x1
"""The flag of a zip member that has a password."""
_PICKLED: Final = "Python objects, which are pickled; store numbers or fixed-length text"


def load_dataset(
    path: Path,
    model: ModelFile,
    folder: Path,
    *,
    what: str,
    states: Mapping[str, str] | None = None,
    task_arrays: Collection[str] = (),
    tokenizer: Path | None = None,
) -> Dataset:
    """Unpacks ``path`` below ``folder`` and checks it against the inputs of ``model``.

    ``what`` is "evaluation set" or "calibration set"; ``states`` as ``Dataset.states``, whose tensors ``model`` has.
    ``task_arrays`` are the names that ``Dataset.arrays`` may hold, ``tokenizer`` is the tokenizer.json of the model;
    None: it has none. Raises Stalled, DatasetEmpty or DatasetInvalid.
    """
    if model.decoder is not None:
        return _load_texts(path, model, model.decoder, folder, what, tokenizer)
    states = states or {}
    wanted = {tensor.name for tensor in model.inputs}
    if LABEL in wanted:
        raise invalid(what, f"the model has an input called {LABEL!r}, which is the name of the label column")
    known = wanted | {LABEL, CLASS_NAMES, *task_arrays}
    arrays, others = _unpack(path, folder, known, what)
    if missing := sorted(wanted - arrays.keys() - states.keys()):
        raise invalid(what, _missing(missing, known, sorted(arrays.keys() | set(others))))
    class_names = _class_names(arrays.pop(CLASS_NAMES), what) if CLASS_NAMES in arrays.keys() - wanted else ()
    notes = _not_read(others, labelled=LABEL in arrays)
    for name in [name for name, array in arrays.items() if not array.ndim]:
        raise invalid(what, f"array {name} is a single value, want one for each sample: numpy.full(samples, value)")
    sizes = {name: len(array) for name, array in arrays.items()}
    if 0 in sizes.values():
        raise Stalled(reasons.DATASET_EMPTY, f"{what}: no samples in {', '.join(n for n in sizes if not sizes[n])}")
    if len(set(sizes.values())) > 1:
        listed = ", ".join(f"{name} {size}" for name, size in sorted(sizes.items()))
        raise invalid(what, f"arrays of different lengths: {listed}; the first axis is that of the samples")
    whole = model.batch is None
    size = next(iter(sizes.values()))
    for number, tensor in enumerate(model.inputs):
        if tensor.name in states and tensor.name not in arrays:
            arrays[tensor.name] = _zeros(tensor, size, what, whole=whole)
        typed, retyped = fit_type(arrays[tensor.name], tensor, folder / f"input-{number}.npy", what)
        has_steps = bool(states) and tensor.name not in states
        fitted, reshaped = (typed, "") if has_steps else fit_axes(typed, tensor, whole=whole)
        arrays[tensor.name] = fitted
        _check_array(fitted, tensor, what, whole=whole, has_steps=has_steps)
        missing_values = check_finite(tensor.name, fitted, what, model=model, datatype=tensor.datatype)
        notes += [note for note in (retyped, reshaped, missing_values) if note]
    if states:
        _check_steps({name: array for name, array in arrays.items() if name in wanted - states.keys()}, what)
    batch = 1 if model.batch is None else model.batch
    if batch == 0:
        raise invalid(what, "the model's inputs have a batch dimension of 0, so it takes no samples")
    label = arrays.get(LABEL)
    if label is not None:
        label, numbered = label_in_numbers(label, class_names, what)
        notes += [numbered] if numbered else []
        check_finite(LABEL, label, what, model=model)
        label, recast = as_classes_of(label, model.outputs)
        notes += [recast] if recast else []
    inputs = {tensor.name: arrays[tensor.name] for tensor in model.inputs}
    of_tasks = {name: arrays[name] for name in sorted(task_arrays) if name in arrays.keys() - wanted}
    for name, array in of_tasks.items():
        if array.dtype.kind not in "iuf":
            raise invalid(what, f"array {name} holds {array.dtype}, want numbers")
    return Dataset(what, inputs, label, size, batch, of_tasks, class_names, whole, states, notes=tuple(notes))


def _load_texts(
    path: Path, model: ModelFile, decoder: Decoder, folder: Path, what: str, tokenizer: Path | None
) -> Dataset:
    context = context_tokens(model.path)
    arrays, others = ({}, []) if is_json_lines(path) else _unpack(path, folder, {INPUT_IDS, TEXTS}, what)
    if len(arrays) != 1 and not is_json_lines(path):
        has = f"both {INPUT_IDS} and {TEXTS}" if arrays else ", ".join(sorted(others)[:_MAX_NAMES]) or "no array"
        raise invalid(what, f"want either {TEXTS}, or {INPUT_IDS} with their tokens, [texts, tokens]; it has {has}")
    tokens, notes = arrays.get(INPUT_IDS), _not_read(others, labelled=True)
    if tokens is None:
        texts = texts_in(arrays[TEXTS], what) if arrays else read_json_lines(path, what=what)
        tokens, note = tokens_of(texts, tokenizer, decoder, what=what, context_tokens=context)
        notes = [note, *notes]
    read = texts_of(tokens, decoder, folder, what=what, context_tokens=context)
    return replace(read, notes=tuple(notes))


def check_npz(path: Path, *, what: str) -> None:
    """Checks that numpy reads every array without unpickling, for any model. Raises as ``load_dataset``."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check_names(archive.infolist(), what)
            for item in archive.infolist():
                with archive.open(item) as packed:
                    _check_header(packed, item.filename, what)
            if not archive.infolist():
                raise Stalled(reasons.DATASET_EMPTY, f"{what}: no arrays")
    except (
        zipfile.BadZipFile,
        EOFError,
        NotImplementedError,
        OSError,
        RuntimeError,
        zlib.error,
        *_BROKEN_HEADER,
    ) as error:
        raise invalid(what, f"not an .npz file that can be read: {in_words(error)}") from error


def _unpack(path: Path, folder: Path, wanted: set[str], what: str) -> tuple[dict[str, Array], list[str]]:
    """Returns the ``wanted`` arrays of an npz, mapped from files in ``folder``, and the names of the others."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [item for item in archive.infolist() if not item.is_dir()]
            _check_names(infos, what)
            named = [(item.filename.removesuffix(".npy"), item) for item in infos]
            members = [(name, item) for name, item in named if name in wanted]
            if (total := sum(item.file_size for _, item in members)) > MAX_UNPACKED_BYTES:
                raise invalid(what, f"{total} bytes unpacked, limit {MAX_UNPACKED_BYTES} bytes")
            arrays = {}
            for number, (name, item) in enumerate(members):
                file = folder / f"{number}.npy"
                with archive.open(item) as packed, file.open("wb") as out:
                    shutil.copyfileobj(packed, out, 1 << 20)
                mapped = _map(file, item.filename, what)
                arrays[name] = in_native_order(mapped, folder / f"native-{number}.npy")
            return arrays, [name for name, _ in named if name not in wanted]
    except OSError as error:
        if error.errno != errno.EINVAL:  # what seeking before the beginning of a damaged archive raises
            raise
        raise invalid(what, "not an .npz file that can be read: it is damaged, or its beginning is missing") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, zlib.error) as error:
        raise invalid(what, f"not an .npz file that can be read: {in_words(error)}") from error


def _check_names(infos: list[zipfile.ZipInfo], what: str) -> None:
    """Raises Stalled(DatasetInvalid) if two members have one name, because readers differ in which they take, and for a
    member with a password."""
    counts = Counter(item.filename.removesuffix(".npy") for item in infos)
    if twice := sorted(name for name, count in counts.items() if count > 1):
        raise invalid(what, f"it holds {', '.join(twice)} twice: write the file anew, with one array of each name")
    if locked := [item.filename for item in infos if item.flag_bits & _ENCRYPTED]:
        raise invalid(what, f"{locked[0]} has a password: store it without")


def _missing(missing: list[str], known: set[str], others: list[str]) -> str:
    """Returns the message for inputs without an array: the existing arrays, and how to name them. ``known`` are the
    names of arrays that are read."""
    has = ", ".join(others[:_MAX_NAMES]) + (", …" if len(others) > _MAX_NAMES else "") if others else "no array"
    message = f"no array for the model's input {', '.join(missing)}; it has {has}"
    free = [name for name in others if name not in known]
    inside = [other for name in missing for other in free if other.rpartition("/")[2] == name]
    close = inside or [found[0] for name in missing if (found := difflib.get_close_matches(name, free, 1, 0.6))]
    if close:
        message += f"; did you mean {', '.join(close)}?"
    elif others and all(name.startswith("arr_") for name in others):
        pairs = ", ".join(f"{name}=…" for name in [*missing, LABEL])
        message += f"; name the arrays when you save them: numpy.savez(file, {pairs})"
    return message


def _not_read(others: list[str], *, labelled: bool) -> list[str]:
    """Returns a note on members that are not read, with the names that labels, and others, should have had."""
    if not others:
        return []
    names = ", ".join(sorted(others)[:_MAX_NAMES]) + (", …" if len(others) > _MAX_NAMES else "")
    note = f"not read, because the model has no such input: {names}"
    alike = sorted(name for name in others if name.lower() in _LIKE_LABELS)
    if alike and not labelled:
        note += f"; if {alike[0]} holds the labels, call it {LABEL}"
    return [note]


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
    if tensor.datatype == BFLOAT16 and array.dtype != runtime.dtype_of(tensor):
        wanted = "floats, or the bits of bfloat16 as uint16"
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
        if -1 not in shape and sorted(array.shape[1:]) == sorted(shape):
            message += f": the axes are in another order, transpose them: {_transposing(array.shape, shape)}"
        raise invalid(what, message)


def _transposing(have: tuple[int, ...], want: tuple[int, ...]) -> str:
    """Returns the call of numpy that reorders the axes after that of the samples; the sizes are the same."""
    order, left = [0], list(range(1, len(have)))
    for size in want:
        axis = next(axis for axis in left if have[axis] == size)
        left.remove(axis)
        order.append(axis)
    return f"array.transpose({', '.join(map(str, order))})"


def _class_names(names: Array, what: str) -> tuple[str, ...]:
    names = decoded(names)
    if names.ndim != 1 or names.dtype.kind != "U":
        raise invalid(what, f"{CLASS_NAMES} has shape {list(names.shape)} of {names.dtype}, want a list of texts")
    return tuple(map(str, names))


def _zeros(tensor: Tensor, size: int, what: str, *, whole: bool) -> Array:
    """Returns the initial state of ``size`` sequences; an open dimension of the model becomes 1, as for one sample."""
    shape = tensor.shape if whole else tensor.shape[1:]
    if not whole and -1 in shape:
        open_at = list(tensor.shape)
        raise invalid(what, f"the state {tensor.name} has shape {open_at}: give an array with the initial state")
    return np.zeros((size, *(abs(length) for length in shape)), runtime.dtype_of(tensor))


def _check_steps(arrays: Mapping[str, Array], what: str) -> None:
    if not arrays:
        raise invalid(what, "the model has no input but its state, so its sequences have no values")
    steps = {name: array.shape[1] for name, array in arrays.items()}
    if len(set(steps.values())) > 1 or 0 in steps.values():
        listed = ", ".join(f"{name} {count}" for name, count in sorted(steps.items()))
        raise invalid(what, f"the second axis is that of the steps, and arrays differ or are empty: {listed}")
