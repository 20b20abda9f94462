"""Labels with one class per sample, and the classes in a model's first output."""

from typing import Final

import numpy as np

from edge_compressor.datasets.dataset import Dataset, invalid
from edge_runtime.datatypes import Array

LABEL: Final = "label"
"""The name of the array of labels."""
PROBABLE: Final = 0.5
"""The smallest probability that means class 1, for outputs with a single probability."""


def check_class_labels(dataset: Dataset) -> None:
    """Checks that labels are one class per sample. Raises Stalled(DatasetInvalid)."""
    label = dataset.label
    assert label is not None
    if not dataset.has_classes:
        message = f"{LABEL} has shape {list(label.shape)} of {label.dtype}, want [samples] of whole numbers"
        raise invalid(dataset.what, message)
    if int(label.min()) < 0:
        raise invalid(dataset.what, f"label {int(label.min())} is out of range: classes count from 0")


def check_classes(dataset: Dataset, classes: int) -> None:
    """Checks that labels are classes of the model's first output. Raises Stalled(DatasetInvalid)."""
    assert dataset.label is not None
    highest = int(dataset.label.max())
    if highest >= classes:
        raise invalid(dataset.what, f"label {highest} is out of range: the model's first output has {classes} classes")


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
