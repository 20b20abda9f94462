"""The expected calibration error: the difference between a model's confidence and its share of right answers.

C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, *On calibration of modern neural networks*, ICML 2017. Samples fall into 15
bins of equal width by their confidence, each closed above; the error is the mean over the bins, weighted by their
samples, of the distance between mean confidence and share of right answers.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from edge_runtime.datatypes import Array

BINS: Final = 15
_SUM_TOLERANCE: Final = 1e-2
"""The tolerance for sums of probabilities: those of an int8 softmax are multiples of 1/256, and need not add up to
exactly 1."""


def confidence(output: Array) -> dict[str, Array]:
    """Returns the confidence in each sample's best class, without and with a softmax, and whether rows sum to 1.

    ``output`` has the shape (samples, classes). Only all samples together show whether it holds probabilities or
    logits.
    """
    values = output.astype(np.float64)
    best = values.max(axis=1, initial=-np.inf)
    with np.errstate(invalid="ignore", over="ignore"):
        shares = np.exp(values - best[:, None])
        normal = (values >= 0).all(axis=1) & (np.abs(values.sum(axis=1) - 1) <= _SUM_TOLERANCE)
        return {"best": best, "softmax": 1 / shares.sum(axis=1), "distribution": normal}


def expected_calibration_error(answers: Mapping[str, Array], right: Array) -> float:
    """Returns the error, in 0..1, from the result of ``confidence``: logits go through a softmax, unless every row is a
    distribution.

    Samples with scores that are not numbers have confidence 0.
    """
    confident = answers["best"] if answers["distribution"].all() else answers["softmax"]
    confident = np.nan_to_num(np.clip(confident, 0, 1), nan=0.0)
    bins = np.clip(np.ceil(confident * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = np.bincount(bins, right.astype(float) - confident, minlength=BINS)
    return float(np.abs(gaps).sum() / len(right))
