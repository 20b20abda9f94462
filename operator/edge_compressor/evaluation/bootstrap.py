"""Intervals for scores that are not counts of right answers: the paired bootstrap, by percentiles.

B. Efron and R. J. Tibshirani, *An Introduction to the Bootstrap*, Chapman & Hall 1993, chapter 13; for two systems on
the same samples P. Koehn, *Statistical significance tests for machine translation evaluation*, EMNLP 2004. Samples are
drawn with replacement, source and artifact are scored on the same draw, and the interval ends at the 5th and the 95th
percentile of the scores, less the bias (chapter 10: the difference between the mean of the draws and the observed
score; for mAP it is positive, because the monotone curve of a set with duplicates is higher). The method requires only
that a score can be computed with weights, so it works for mAP, which is not a mean over samples, as well as for means.
If samples come in dependent groups, such as the steps of a sequence, the groups are drawn.

It is seeded: the same answers always give the same interval.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from edge_compressor.evaluation.result import ClassChange
from edge_compressor.gate import OwnScore, PairedScores
from edge_runtime.datatypes import Array
from edge_statistics.interval import Interval
from edge_statistics.tango import tango_interval

RESAMPLES: Final = 1000
MIN_SAMPLES: Final = 20
"""The number of samples below which the percentiles are too narrow to be used as they are."""

_SAME: Final = 1e-12
_Z_95_PERCENT: Final = 1.6448536269514722
"""The 95 % quantile of the standard normal."""
_ANYTHING: Final = 20.0
"""A difference in bits that stands for any."""

Score = Callable[[Array], Array]
"""A function of the samples' weights (how often each was drawn) that returns scores in 0..1, always the same number of
them."""


def resample(score: Score, samples: int) -> Array:
    """Returns the result of ``score`` for each draw of ``samples`` samples, of shape (RESAMPLES, scores)."""
    random = np.random.default_rng(0)
    draws = (np.bincount(random.integers(0, samples, samples), minlength=samples) for _ in range(RESAMPLES))
    return np.stack([score(weights.astype(np.float64)) for weights in draws])


def percentiles(drawn: Array, observed: float, samples: int) -> Interval:
    """Returns the interval of 90 % from one column of ``resample``.

    If all draws are the same, or there are fewer than MIN_SAMPLES samples, it is at least as wide as Tango's interval
    of as many pairs without a difference: equal answers do not prove that the next one is equal.
    """
    lower = upper = observed
    if np.isfinite(drawn).any():
        ends = np.nanpercentile(drawn, [5, 95]) - (np.nanmean(drawn) - observed)
        lower, upper = min(ends[0], observed), max(ends[1], observed)
    if upper - lower < _SAME or samples < MIN_SAMPLES:
        least = tango_interval(0, 0, samples)
        lower, upper = min(lower, observed + least.lower), max(upper, observed + least.upper)
    return Interval(float(lower), float(upper))


def of_a_difference(drawn: Array, observed: float, samples: int) -> Interval:
    """Returns the interval of 90 % of a mean difference that is no share, from one column of ``resample``.

    Percentiles are too narrow for few samples, and are widened as Student's t is against the normal distribution
    (T. Hesterberg, *What Teachers Should Know About the Bootstrap*, 2015, section 5.2). One sample tells nothing.
    """
    if samples < 2:
        return Interval(observed - _ANYTHING, observed + _ANYTHING)
    lower, upper = np.nanpercentile(drawn, [5, 95]) - np.nanmean(drawn)
    wider = float(np.sqrt(samples / (samples - 1))) * _t_95_percent(samples - 1) / _Z_95_PERCENT
    return Interval(observed + min(float(lower), 0) * wider, observed + max(float(upper), 0) * wider)


def _t_95_percent(freedom: int) -> float:
    """Returns the 95 % quantile of Student's t (M. Abramowitz and I. Stegun, 26.7.5; 12 % too small for 1, 2 % for 2,
    and less from 3 on)."""
    z = _Z_95_PERCENT
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / float(freedom) ** power for power, term in enumerate(terms, 1))


def compare(score: Score, samples: int) -> tuple[PairedScores, Array, Array]:
    """Compares source and artifact, whose scores are the first two that ``score`` returns.

    Returns the comparison, all scores of the samples without resampling, and (RESAMPLES, scores) of the draws.
    """
    seen, drawn = score(np.ones(samples)), resample(score, samples)
    source, artifact = float(seen[0]), float(seen[1])
    paired = PairedScores(
        samples,
        source,
        artifact,
        interval=_inside(percentiles(drawn[:, 0] - drawn[:, 1], source - artifact, samples), -1.0),
        artifact_interval=_inside(percentiles(drawn[:, 1], artifact, samples), 0.0),
    )
    return paired, seen, drawn


def alone(score: Score, samples: int) -> OwnScore:
    """Returns the score of one model, the first that ``score`` returns, with its interval."""
    observed = float(score(np.ones(samples))[0])
    interval = percentiles(resample(score, samples)[:, 0], observed, samples)
    return OwnScore(samples, observed, _inside(interval, 0.0))


def class_changes(numbers: Array, of_class: Array, seen: Array, drawn: Array, samples: int) -> tuple[ClassChange, ...]:
    """Returns the changes from bootstrapped scores, which are those of the source for each class and then those of the
    artifact."""
    count, changes = len(numbers), []
    for place, number in enumerate(numbers):
        source, artifact = float(seen[place]), float(seen[count + place])
        drops = drawn[:, place] - drawn[:, count + place]
        interval = percentiles(drops, source - artifact, samples)
        changes.append(ClassChange(int(number), int(of_class[place]), source, artifact, interval))
    return tuple(changes)


def _inside(interval: Interval, least: float) -> Interval:
    return Interval(max(least, interval.lower), min(1.0, interval.upper))
