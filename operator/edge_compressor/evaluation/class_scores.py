"""The scores of predicted classes: accuracy, precision, recall and F1, with the confusion matrix."""

from collections.abc import Mapping
from math import sqrt
from typing import Final

import numpy as np

from edge_compressor.evaluation.result import MAX_CLASSES_SHOWN, Scores, macro, ratio
from edge_compressor.evaluation.task import Figure
from edge_runtime.datatypes import Array

FIGURES: Final[Mapping[str, Figure]] = {
    "accuracy": Figure("accuracy", "{:.2%}"),
    "macroPrecision": Figure("precision, macro", "{:.2%}"),
    "macroRecall": Figure("recall, macro", "{:.2%}"),
    "macroF1": Figure("F1, macro", "{:.2%}"),
}
"""The figures that ``scores`` returns."""

MIN_SAMPLES: Final = 20
"""The number of samples below which chance explains most results."""
_ONE_SIDED: Final = 1.645
"""The 95th percentile of the normal distribution."""


def beats_chance(hits: float, expected: float, variance: float) -> bool:
    """Returns whether ``hits`` are significantly more than the number that unrelated answers have."""
    return hits > expected + _ONE_SIDED * sqrt(variance)


def doubt_about_classes(label: Array, predicted: Array) -> str:
    """Returns why the predictions of the source, (n,), do not show that ``label`` is theirs; empty if they do.

    They do if they are right more often than answers of the same frequencies that have nothing to do with the labels.
    Nothing can be said of fewer than MIN_SAMPLES labels, or of a single class.
    """
    count, known = len(label), predicted[predicted >= 0]
    if count < MIN_SAMPLES or label.min() == label.max():
        return ""
    classes = int(max(label.max(), known.max(initial=0))) + 1
    by_chance = float(np.bincount(label, minlength=classes) @ np.bincount(known, minlength=classes)) / count**2
    right = float((label == predicted).mean())
    if beats_chance(count * right, count * by_chance, count * by_chance * (1 - by_chance)):
        return ""
    return (
        f"the source is right in {right:.1%} of {count} answers, and answers that have nothing to do with the labels "
        f"would be in {by_chance:.1%}: check that the classes count from 0 in the order of the first output, and that "
        "the inputs are scaled and ordered as the model expects them"
    ).replace("%", " %")


def scores(label: Array, predicted: Array, classes: int) -> Scores:
    """Returns the scores of whole numbers below ``classes``; a ``predicted`` below 0 is no class.

    Macro means are over the classes that occur among labels or predictions; 0 / 0 counts as 0. The confusion matrix is
    kept up to MAX_CLASSES_SHOWN classes: it grows with their square, and they may be numbers of tokens.
    """
    known = predicted >= 0
    found, places = np.unique(np.concatenate([label, predicted[known]]), return_inverse=True)
    right, actual, guessed = (
        np.bincount(of, minlength=len(found)).astype(float)
        for of in (places[: len(label)][predicted == label], places[: len(label)], places[len(label) :])
    )
    occurs = np.ones(len(found), dtype=bool)
    accuracy = float(right.sum() / len(label))
    figures = {
        "accuracy": accuracy,
        "macroPrecision": macro(ratio(right, guessed), occurs),
        "macroRecall": macro(ratio(right, actual), occurs),
        "macroF1": macro(ratio(2 * right, actual + guessed), occurs),
    }
    if classes > MAX_CLASSES_SHOWN:
        return Scores(accuracy, figures, classes=classes)
    cells = np.bincount(label[known] * classes + predicted[known], minlength=classes * classes)
    return Scores(accuracy, figures, cells.reshape(classes, classes), classes)
