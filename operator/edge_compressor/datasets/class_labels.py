"""Labels with one class per sample, and the classes in a model's first output."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from edge_compressor.datasets.dataset import Dataset, invalid
from edge_compressor.datasets.fitting import decoded
from edge_runtime.datatypes import DATATYPES, Array
from edgemodel.artifact import Tensor

LABEL: Final = "label"
"""The name of the array of labels."""
VALUES_HINT: Final = "for values that are no classes set evaluation.task: Regression (--task Regression)"
"""The remedy for labels that were mistaken for classes."""
_MAX_NAMES: Final = 20
"""The largest number of names in one message."""
_MAX_WHOLE: Final = 2**53
PROBABLE: Final = 0.5
"""The smallest probability that means class 1, for outputs with a single probability."""


def label_in_numbers(label: Array, class_names: Sequence[str], what: str) -> tuple[Array, str]:
    """Returns ``label`` in numbers: texts become their places in ``class_names``. The second value describes the
    change; it is empty if there was none. Raises Stalled(DatasetInvalid) for other types, an unknown text, and an array
    without values.
    """
    if not label.size:
        raise invalid(what, f"{LABEL} has shape {list(label.shape)}, so no sample has a label: leave the array out")
    if label.dtype.kind in "biuf":
        return label, ""
    shape = f"{LABEL} has shape {list(label.shape)} of {label.dtype}"
    if (texts := decoded(label)).dtype.kind != "U":
        raise invalid(what, f"{shape}, want numbers, [samples, …]")
    if not class_names:
        cure = "give class_names, the names of the classes in the order of the model's first output"
        raise invalid(what, f"{shape}, want numbers, [samples, …]; or {cure}")
    places = {name: place for place, name in enumerate(class_names)}
    found, where = np.unique(texts, return_inverse=True)
    if unknown := [text for text in map(str, found) if text not in places]:
        raise invalid(what, f"{LABEL} {unknown[0]!r} is not among class_names: {', '.join(class_names[:_MAX_NAMES])}")
    numbers = np.array([places[text] for text in map(str, found)])[where.reshape(label.shape)]
    return numbers, f"{LABEL} holds texts: they are taken as their places in class_names"


def holds_whole_numbers(label: Array) -> bool:
    """Returns whether every value of ``label`` is a whole number, whatever its type is."""
    return label.dtype.kind in "biu" or (label.dtype.kind == "f" and bool((np.trunc(label) == label).all()))


def as_whole_numbers(label: Array) -> Array:
    """Returns ``label`` with a whole-number type if all its values are whole; otherwise unchanged."""
    if label.dtype.kind == "b":
        return label.view(np.uint8)
    if label.dtype.kind == "f" and holds_whole_numbers(label) and (np.abs(label) < _MAX_WHOLE).all():
        return label.astype(np.int64)
    return label


def as_classes_of(label: Array, outputs: Sequence[Tensor]) -> tuple[Array, str]:
    """Returns ``label`` as one whole number per sample if the model's first output can only be scores.

    Scores are floats of the declared shape [any, classes], with two or more classes. The second value describes the
    change; it is empty if there was none. Truth values become 0 and 1 whatever the outputs are.
    """
    if label.dtype.kind == "b":
        return label.view(np.uint8), ""
    shape = outputs[0].shape if outputs and DATATYPES[outputs[0].datatype].is_float else ()
    if len(shape) != 2 or shape[1] < 2 or label.size != len(label) or not holds_whole_numbers(label):
        return label, ""
    classes = as_whole_numbers(label).reshape(len(label))
    if label.dtype.kind != "f" or classes.dtype.kind == "f":
        return classes, ""
    return classes, f"{LABEL} holds whole numbers as {label.dtype}: they are taken as classes"


def check_class_labels(dataset: Dataset) -> None:
    """Checks that labels are one class per sample. Raises Stalled(DatasetInvalid)."""
    label = dataset.label
    assert label is not None
    if not dataset.has_classes:
        message = f"{LABEL} has shape {list(label.shape)} of {label.dtype}, want [samples] of whole numbers"
        raise invalid(dataset.what, message)
    if int(label.min()) < 0:
        cure = "leave out the samples that have none, or"
        message = f"label {int(label.min())} is out of range: classes count from 0; {cure} {VALUES_HINT}"
        raise invalid(dataset.what, message)


def check_classes(dataset: Dataset, classes: int) -> None:
    """Checks that labels are classes of the model's first output. Raises Stalled(DatasetInvalid)."""
    assert dataset.label is not None
    highest = int(dataset.label.max())
    if highest >= classes:
        from_one = " that count from 0: subtract 1" if highest == classes and int(dataset.label.min()) >= 1 else ""
        message = f"label {highest} is out of range: the model's first output has {classes} classes{from_one}"
        raise invalid(dataset.what, message)


def predicted_classes(output: Array, rows: int, what: str) -> tuple[Array, int | None]:
    """Returns the class of each of the first ``rows`` items by the model's first output, and the number of classes.

    The rule is that of ``edge_runtime.classes``, but narrower, since labels are compared with the result. Floats of
    shape (items, classes) are scores, of which the largest wins (-1, which matches no label, if one is NaN); a single
    float of 0 to 1 is the probability of class 1, which is predicted from 0.5 on; one whole number per item is the
    class itself, and the number of classes is then None. Raises Stalled(DatasetInvalid) for others.
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
    raise invalid(what, message)
