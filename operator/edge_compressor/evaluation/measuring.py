"""Measures the sizes and latencies of models; judges nothing."""

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edge_compressor.models import runtime
from edge_compressor.models.model_file import ModelFile
from edge_compressor.progress import Progress
from edge_oci.layers import packed_bytes
from edge_runtime.backend import LoadedModel, RunFailure
from edge_runtime.datatypes import Array
from edgemodel import reasons
from edgemodel.error_words import in_words
from edgemodel.errors import Stalled

MAX_TIMES_KEPT: Final = 100
"""The number of times that are kept: enough for a histogram, since more would only lengthen the manifest."""


@dataclass(frozen=True)
class Timing:
    """Times of single-sample runs on one thread, in milliseconds."""

    p50: float
    p95: float
    times: tuple[float, ...] = ()
    """The times in ascending order, thinned evenly to MAX_TIMES_KEPT with the shortest and the longest kept."""

    def to_json(self) -> dict[str, Any]:
        """Returns the form in which the report stores it."""
        return {
            "p50Milliseconds": round(self.p50, 4),
            "p95Milliseconds": round(self.p95, 4),
            "milliseconds": [round(value, 4) for value in self.times],
        }


@dataclass(frozen=True)
class LatencyComparison:
    """The latencies of source and artifact, measured by turns."""

    runs: int
    """The number of runs of each model."""
    source: Timing
    artifact: Timing


@dataclass(frozen=True)
class Speed:
    """The ratio to the speed of the source, by the processor time of single-sample runs on one thread."""

    runs: int
    """The number of runs of each model."""
    ratio: float
    lower: float
    """The lower end of the 99 % interval; ``upper`` is the other."""
    upper: float
    source: Timing
    artifact: Timing


def run(model: LoadedModel, feeds: dict[str, Array], what: str) -> list[Array]:
    """Returns all outputs. Raises Stalled, SourceInvalid or StepFailed, depending on which model (``what``) fails."""
    try:
        return runtime.run(model, feeds)
    except RunFailure as error:
        raise cannot_run(error, what) from error


def cannot_run(error: RunFailure, what: str) -> Stalled:
    """Returns the error of a model, source or artifact, that the runtime could not run on the data."""
    message = f"the {what} cannot run on the data: {in_words(error)}"
    if what == "source":
        return Stalled(reasons.SOURCE_INVALID, message)
    cure = "leave a step out, or exclude the nodes that the message names"
    return Stalled(reasons.STEP_FAILED, f"{message}, though the source can: {cure}")


def time_both(
    source: ModelFile,
    artifact: ModelFile,
    feeds: list[dict[str, Array]],
    progress: Progress,
    *,
    max_runs: int = 200,
    max_seconds: float = 10.0,
    clock: Callable[[], float] = time.perf_counter,
) -> LatencyComparison:
    """Times source and artifact by turns in one loop, so that other load on the machine affects both alike.

    Both run as nodes run them; an artifact that is the source is loaded once. Where one is large, they run one after
    the other, and the source once more, so that what changes meanwhile affects both alike. ``feeds`` are cycled. The
    loop ends after ``max_runs`` of each, or ``max_seconds``, but not before 10 of each. Raises as ``run``.
    """
    progress.say("timing source and artifact")
    first, second = _time(source, artifact, feeds, max_runs, max_seconds, clock)
    return LatencyComparison(len(first), _timing(first), _timing(second))


def _time(
    source: ModelFile,
    artifact: ModelFile,
    feeds: list[dict[str, Array]],
    max_runs: int,
    max_seconds: float,
    clock: Callable[[], float],
    threads: int | None = None,
) -> tuple[list[float], list[float]]:
    """Returns the milliseconds of the runs of both, pair by pair. Raises as ``run``."""
    if artifact.digest == source.digest:
        one = _warm(source, feeds, threads, 0)
        return _take_turns((one, one), feeds, max_runs, max_seconds, clock)
    if not runtime.is_large(source) and not runtime.is_large(artifact):
        both = _warm(source, feeds, threads, 0), _warm(artifact, feeds, threads, 1)
        return _take_turns(both, feeds, max_runs, max_seconds, clock)
    half = _alone(source, 0, feeds, threads, clock, max_runs // 2, max_seconds / 4)
    second = _alone(artifact, 1, feeds, threads, clock, 2 * len(half))
    return half + _alone(source, 0, feeds, threads, clock, len(half)), second


def _alone(
    model: ModelFile,
    which: int,
    feeds: list[dict[str, Array]],
    threads: int | None,
    clock: Callable[[], float],
    max_runs: int,
    max_seconds: float = math.inf,
) -> list[float]:
    """Returns the milliseconds of the runs of a model, whose session is closed afterwards. Raises as ``run``."""
    loaded = _warm(model, feeds, threads, which)
    times: list[float] = []
    end = clock() + max_seconds
    for feed in _round(feeds, max_runs):
        if len(times) >= _MIN_RUNS // 2 and clock() > end:
            break
        times.append(_milliseconds(loaded, feed, list(loaded.signature.outputs), which, clock))
    loaded.close()
    return times


def _warm(model: ModelFile, feeds: list[dict[str, Array]], threads: int | None, which: int) -> LoadedModel:
    """Returns the model as it is served, after its first runs. Raises as ``run``."""
    loaded = runtime.load_as_served(model, threads=threads)
    for feed in _round(feeds, _WARM_UPS):
        run(loaded, feed, _NAMES[which])
    return loaded


def _take_turns(
    models: tuple[LoadedModel, LoadedModel],
    feeds: list[dict[str, Array]],
    max_runs: int,
    max_seconds: float,
    clock: Callable[[], float],
) -> tuple[list[float], list[float]]:
    """Returns the milliseconds of the runs of each, pair by pair. Raises as ``run``."""
    outputs = [list(loaded.signature.outputs) for loaded in models]
    times: tuple[list[float], list[float]] = ([], [])
    end = clock() + max_seconds
    for number, feed in enumerate(_round(feeds, max_runs)):
        if number >= _MIN_RUNS and clock() > end:
            break
        for which in (0, 1) if number % 2 else (1, 0):
            times[which].append(_milliseconds(models[which], feed, outputs[which], which, clock))
    return times


def _milliseconds(
    model: LoadedModel, feed: dict[str, Array], outputs: list[str], which: int, clock: Callable[[], float]
) -> float:
    start = clock()
    try:
        model.run(feed, outputs)
    except RunFailure as error:
        raise cannot_run(error, _NAMES[which]) from error
    return (clock() - start) * 1000


def compare_speed(
    source: ModelFile,
    artifact: ModelFile,
    feeds: list[dict[str, Array]],
    *,
    max_runs: int = 1000,
    max_seconds: float = 6.0,
) -> Speed:
    """Compares by turns, as ``time_both``; the ratio is the median over the pairs of adjacent runs.

    The clock is the thread's own, so that time in which the machine did something else counts for neither. Sessions are
    opened again a few times, because its memory layout makes a session some percent faster or slower for as long as it
    lives.
    """
    first, second = [], []
    for _ in range(_SESSIONS):
        runs, seconds = max_runs // _SESSIONS, max_seconds / _SESSIONS
        times = _time(source, artifact, feeds, runs, seconds, time.thread_time, threads=1)
        first += times[0]
        second += times[1]
    return speed_of(first, second)


def speed_of(first: Sequence[float], second: Sequence[float]) -> Speed:
    """Returns the speed, from the milliseconds that source and artifact took, pair by pair.

    The interval is that of the sign test: the order statistics of the ratios around the median (W. J. Conover,
    *Practical Nonparametric Statistics*, 3rd edition, section 3.2), which assumes nothing about the distribution of
    noise. A time may be 0, where a thread's clock is coarse.
    """
    ratios = sorted(max(one, _SHORTEST) / max(other, _SHORTEST) for one, other in zip(first, second, strict=True))
    outside = max(0, int((len(ratios) - _Z_99_PERCENT * math.sqrt(len(ratios))) / 2))
    return Speed(
        runs=len(ratios),
        ratio=statistics.median(ratios),
        lower=ratios[outside],
        upper=ratios[-1 - outside],
        source=_timing(first),
        artifact=_timing(second),
    )


def transfer_bytes(model: ModelFile) -> int:
    """Returns the bytes that the model's files have as layers of an image, by which a node downloads them."""
    return sum(map(packed_bytes, model.paths))


_Z_99_PERCENT: Final = 2.5758293035489004
"""The 99.5 % quantile of the standard normal."""
_SHORTEST: Final = 1e-6
"""The shortest time that counts, a nanosecond, in milliseconds."""
_NAMES: Final = ("source", "artifact")
_SESSIONS: Final = 4
_WARM_UPS: Final = 5
_MIN_RUNS: Final = 10


def _round(feeds: list[dict[str, Array]], times: int) -> Iterator[dict[str, Array]]:
    return (feeds[number % len(feeds)] for number in range(times))


def _timing(milliseconds: Sequence[float]) -> Timing:
    ordered = sorted(milliseconds)
    return Timing(
        p50=statistics.median(ordered),
        p95=ordered[max(0, -(-len(ordered) * 95 // 100) - 1)],
        times=_thinned(ordered, MAX_TIMES_KEPT),
    )


def _thinned(ordered: list[float], most: int) -> tuple[float, ...]:
    if len(ordered) <= most:
        return tuple(ordered)
    return tuple(ordered[round(place * (len(ordered) - 1) / (most - 1))] for place in range(most))
