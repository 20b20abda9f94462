"""Intervals for scores that are no count of right answers: the paired bootstrap, by percentiles.

B. Efron and R. J. Tibshirani, *An Introduction to the Bootstrap*, Chapman & Hall 1993, chapter 13; for two systems on
the same samples P. Koehn, *Statistical significance tests for machine translation evaluation*, EMNLP 2004. Samples
are drawn anew with replacement, source and artifact are scored on the same draw, and the interval ends at the 5th and
the 95th percentile of what comes out, less the bias (chapter 10: by how much the mean of the draws is off what was
observed; for mAP it is above, since the monotone curve of a set with doubles runs higher). It asks nothing of a score
but that it can be computed with weights, so one method does for mAP, whose value is no mean over samples, as well as
for means. Where samples come in groups that depend on each other, such as the steps of a sequence, the groups are what
is drawn.

Seeded: the same answers give the same interval, always.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from edge_compressor.gate import OwnScore, PairedScores
from edge_runtime.datatypes import Array
from edge_statistics.interval import Interval
from edge_statistics.tango import tango_interval

RESAMPLES: Final = 1000
MIN_SAMPLES: Final = 20
"""With fewer samples the percentiles are too narrow to be believed as they are."""

_SAME: Final = 1e-12

Score = Callable[[Array], Array]
"""Weights of the samples, how often each was drawn -> scores in 0..1, always of the same number."""


def resample(score: Score, samples: int) -> Array:
    """(RESAMPLES, scores): what ``score`` says of each draw of ``samples`` samples."""
    random = np.random.default_rng(0)
    draws = (np.bincount(random.integers(0, samples, samples), minlength=samples) for _ in range(RESAMPLES))
    return np.stack([score(weights.astype(np.float64)) for weights in draws])


def percentiles(drawn: Array, observed: float, samples: int) -> Interval:
    """Returns the interval of 90 % from one column of ``resample``.

    Where all draws are the same, or MIN_SAMPLES are not there, it is at least as wide as Tango's interval of as
    many pairs of which none differs: equal answers do not prove that the next one is equal.
    """
    lower = upper = observed
    if np.isfinite(drawn).any():
        ends = np.nanpercentile(drawn, [5, 95]) - (np.nanmean(drawn) - observed)
        lower, upper = min(ends[0], observed), max(ends[1], observed)
    if upper - lower < _SAME or samples < MIN_SAMPLES:
        least = tango_interval(0, 0, samples)
        lower, upper = min(lower, observed + least.lower), max(upper, observed + least.upper)
    return Interval(float(lower), float(upper))


def compare(score: Score, samples: int) -> tuple[PairedScores, Array, Array]:
    """``score`` answers source and artifact, and then what else it likes.

    Answers the comparison, all scores of the samples as they are, and (RESAMPLES, scores) of the draws.
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


def _inside(interval: Interval, least: float) -> Interval:
    return Interval(max(least, interval.lower), min(1.0, interval.upper))
