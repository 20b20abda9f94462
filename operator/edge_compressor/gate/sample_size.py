"""The number of samples that would decide a check whose limit lies inside an interval."""

from collections.abc import Callable
from math import ceil
from typing import Final

from edge_compressor.gate.answers import Own, OwnScore, Paired, PairedScores
from edge_statistics.interval import Interval
from edge_statistics.tango import tango_interval
from edge_statistics.wilson import wilson_interval
from edgemodel.verdict import Verdict

MAX_SAMPLES_ADVISED: Final = 100_000_000
"""The largest number that is advised; beyond, the observed drop practically equals the limit."""


def samples_to_decide(answers: Paired, limit: float) -> int | None:
    """Returns the approximate number of samples that would decide, if source and artifact differed on the same shares
    of them.

    None if no number up to MAX_SAMPLES_ADVISED would: the observed drop is the limit itself.
    """
    if isinstance(answers, PairedScores):
        return narrowed(answers.drop, answers.interval, answers.samples, limit)
    source_rate = answers.only_source_right / answers.samples
    artifact_rate = answers.only_artifact_right / answers.samples

    def decides(n: int) -> bool:
        return against(tango_interval(source_rate * n, artifact_rate * n, n), limit) is not Verdict.INCONCLUSIVE

    return _fewest(answers.samples, decides)


def samples_for_floor(own: Own, floor: float) -> int | None:
    """Returns the approximate number of samples that would decide about a lower limit, with the same share of right
    answers; None as for ``samples_to_decide``."""
    if isinstance(own, OwnScore):
        return narrowed(own.score, own.interval, own.samples, floor)

    def decides(n: int) -> bool:
        return above(wilson_interval(own.right / own.samples * n, n), floor) is not Verdict.INCONCLUSIVE

    return _fewest(own.samples, decides)


def _fewest(start: int, decides: Callable[[int], bool]) -> int | None:
    low = high = start
    while not decides(high):
        if high > MAX_SAMPLES_ADVISED:
            return None
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return high


def narrowed(observed: float, interval: Interval, samples: int, limit: float) -> int | None:
    """Returns the number of samples at which the limit lies outside the interval, which narrows with the root of their
    number."""
    gap = limit - observed
    reach = interval.upper - observed if gap > 0 else observed - interval.lower
    if abs(gap) < 1e-12 or samples * (reach / gap) ** 2 > MAX_SAMPLES_ADVISED:
        return None
    return ceil(samples * (reach / gap) ** 2)


def against(interval: Interval, limit: float) -> Verdict:
    """Returns the verdict on a value that must not exceed ``limit``: Inconclusive if the interval contains it."""
    if interval.upper <= limit:
        return Verdict.PASS
    return Verdict.FAIL if interval.lower > limit else Verdict.INCONCLUSIVE


def above(interval: Interval, floor: float) -> Verdict:
    """Returns the verdict on a value that must reach ``floor``: Inconclusive if the interval contains it."""
    if interval.lower >= floor:
        return Verdict.PASS
    return Verdict.FAIL if interval.upper < floor else Verdict.INCONCLUSIVE
