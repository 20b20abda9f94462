"""The scores of predicted classes: accuracy, precision, recall and F1, with the confusion matrix."""

from collections.abc import Mapping
from typing import Final

import numpy as np

from edge_compressor.evaluation.result import Scores, macro, ratio
from edge_compressor.evaluation.task import Figure
from edge_runtime.datatypes import Array

FIGURES: Final[Mapping[str, Figure]] = {
    "accuracy": Figure("accuracy", "{:.2%}"),
    "macroPrecision": Figure("precision, macro", "{:.2%}"),
    "macroRecall": Figure("recall, macro", "{:.2%}"),
    "macroF1": Figure("F1, macro", "{:.2%}"),
}
"""The figures that ``scores`` returns."""


def scores(label: Array, predicted: Array, classes: int) -> Scores:
    """Returns the scores. Macro means are over the classes that occur among labels or predictions; 0 / 0 counts as
    0."""
    known = predicted >= 0
    cells = np.bincount(label[known] * classes + predicted[known], minlength=classes * classes)
    confusion = cells.reshape(classes, classes)
    right = np.diag(confusion).astype(float)
    actual = np.bincount(label, minlength=classes).astype(float)
    guessed = confusion.sum(axis=0).astype(float)
    occurs = (actual + guessed) > 0
    accuracy = float(right.sum() / len(label))
    figures = {
        "accuracy": accuracy,
        "macroPrecision": macro(ratio(right, guessed), occurs),
        "macroRecall": macro(ratio(right, actual), occurs),
        "macroF1": macro(ratio(2 * right, actual + guessed), occurs),
    }
    return Scores(accuracy, figures, confusion)
