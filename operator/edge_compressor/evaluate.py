"""Measuring: how source and artifact answer, how large they are, how long they take. Nothing is judged here."""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import zstandard

from edge_compressor import runtime
from edge_compressor.datasets import Dataset, check_classes, classes_of
from edge_compressor.gate import PairedAnswers
from edge_compressor.model import Model
from edge_compressor.progress import Progress
from edge_compressor.runtime import Array
from edgemodel import reasons
from edgemodel.errors import Stalled

NO_CLASS: Final = -1
"""The prediction for a sample whose scores are not numbers; right for no label."""

CLOSE_TOLERANCE: Final = 0.01
"""Two answers agree when no value is further off than this share of the largest absolute value of the source's."""

MOST_CLASSES_SHOWN: Final = 64
"""Beyond this the confusion matrix is larger than the model's story is worth."""


@dataclass(frozen=True)
class Scores:
    """Of one model on labelled samples, each in 0..1; macro: the plain mean over classes that occur."""

    accuracy: float
    precision: float
    recall: float
    f1: float
    confusion: Array
    """(classes, classes), rows the labels, columns the predictions; samples without a class are in no column."""

    def to_json(self) -> dict[str, Any]:
        shown = len(self.confusion) <= MOST_CLASSES_SHOWN
        return {
            "accuracy": round(self.accuracy, 6),
            "macroPrecision": round(self.precision, 6),
            "macroRecall": round(self.recall, 6),
            "macroF1": round(self.f1, 6),
            **({"confusion": self.confusion.tolist()} if shown else {"classes": len(self.confusion)}),
        }


@dataclass(frozen=True)
class Evaluation:
    """``source``, ``artifact`` and ``answers`` are None for a set without labels."""

    samples: int
    agreement: float
    """Share of samples, 0..1, that artifact and source answer alike: the same class, or all values close."""
    agreement_kind: str
    """Argmax or Close."""
    source: Scores | None = None
    artifact: Scores | None = None
    answers: PairedAnswers | None = None


@dataclass(frozen=True)
class Timing:
    """Single-sample runs of one thread, in milliseconds."""

    p50: float
    p95: float

    def to_json(self) -> dict[str, float]:
        return {"p50Milliseconds": round(self.p50, 4), "p95Milliseconds": round(self.p95, 4)}


@dataclass(frozen=True)
class Latency:
    runs: int
    """Of each."""
    source: Timing
    artifact: Timing


def predict(model: Model, dataset: Dataset, progress: Progress, *, what: str) -> Array:
    """The class of each sample, int64, NO_CLASS where there is none. ``what``: source or artifact.

    Raises Stalled: DatasetInvalid when labels and outputs do not fit, otherwise as ``_run``.
    """
    session = runtime.open_session(model.path, threads=runtime.available_threads())
    predicted = np.empty(dataset.size, dtype=np.int64)
    for positions, feeds in dataset.batches():
        output = _run(session, feeds, what)[0]
        classes, count = classes_of(output, len(positions), dataset.what)
        if not positions[0] and count is not None:
            check_classes(dataset, count)
        predicted[positions] = classes
        progress.count(f"evaluating {what}", int(positions[-1]) + 1, dataset.size)
    return predicted


def compare_classes(dataset: Dataset, source: Array, artifact: Array) -> Evaluation:
    """``source`` and ``artifact`` are the predictions for the labelled ``dataset``."""
    label = np.asarray(dataset.label, dtype=np.int64)
    source_right, artifact_right = source == label, artifact == label
    classes = int(max(label.max(), source.max(), artifact.max())) + 1
    return Evaluation(
        samples=dataset.size,
        agreement=float((source == artifact).mean()),
        agreement_kind="Argmax",
        source=scores(label, source, classes),
        artifact=scores(label, artifact, classes),
        answers=PairedAnswers(
            samples=dataset.size,
            source_right=int(source_right.sum()),
            artifact_right=int(artifact_right.sum()),
            only_source_right=int((source_right & ~artifact_right).sum()),
            only_artifact_right=int((artifact_right & ~source_right).sum()),
        ),
    )


def compare_values(source: Model, artifact: Model, dataset: Dataset, progress: Progress) -> Evaluation:
    """Without labels: the share of samples where every output of the artifact is close to the source's."""
    threads = runtime.available_threads()
    first, second = (runtime.open_session(model.path, threads=threads) for model in (source, artifact))
    close = 0
    for positions, feeds in dataset.batches():
        pairs = zip(_run(first, feeds, "source"), _run(second, feeds, "artifact"), strict=True)
        alike = np.ones(len(positions), dtype=bool)
        for expected, got in pairs:
            alike &= _close(expected, got, len(positions))
        close += int(alike.sum())
        progress.count("evaluating source and artifact", int(positions[-1]) + 1, dataset.size)
    return Evaluation(dataset.size, close / dataset.size, "Close")


def scores(label: Array, predicted: Array, classes: int) -> Scores:
    """Macro means run over the classes that occur among labels or predictions; 0 / 0 counts as 0."""
    known = predicted >= 0
    cells = np.bincount(label[known] * classes + predicted[known], minlength=classes * classes)
    confusion = cells.reshape(classes, classes)
    right = np.diag(confusion).astype(float)
    actual = np.bincount(label, minlength=classes).astype(float)
    guessed = confusion.sum(axis=0).astype(float)
    occurs = (actual + guessed) > 0
    precision, recall = _ratio(right, guessed), _ratio(right, actual)
    f1 = _ratio(2 * right, actual + guessed)
    return Scores(
        accuracy=float(right.sum() / len(label)),
        precision=float(precision[occurs].mean()),
        recall=float(recall[occurs].mean()),
        f1=float(f1[occurs].mean()),
        confusion=confusion,
    )


def time_both(
    source: Model,
    artifact: Model,
    feeds: list[dict[str, Array]],
    progress: Progress,
    *,
    most_runs: int = 200,
    most_seconds: float = 10.0,
    clock: Callable[[], float] = time.perf_counter,
) -> Latency:
    """Source and artifact by turns in one loop, so that a busy moment of the machine hits both alike.

    ``feeds`` are taken round and round. Ends after ``most_runs`` of each, or ``most_seconds``, but not
    before 10 of each.
    """
    progress.say("timing source and artifact")
    sessions = [runtime.open_session(model.path, threads=1) for model in (source, artifact)]
    for session, what in zip(sessions, ("source", "artifact"), strict=True):
        for feed in _round(feeds, _WARM_UPS):
            _run(session, feed, what)
    times: tuple[list[float], list[float]] = ([], [])
    end = clock() + most_seconds
    for number, feed in enumerate(_round(feeds, most_runs)):
        if number >= _FEWEST_RUNS and clock() > end:
            break
        for which in (0, 1) if number % 2 else (1, 0):
            start = clock()
            sessions[which].run(None, feed)
            times[which].append((clock() - start) * 1000)
    return Latency(len(times[0]), _timing(times[0]), _timing(times[1]))


def zstd_size(path: Path) -> int:
    """Bytes of the file after zstd at level 19: what a download of it costs at least."""
    size = 0
    compressor = zstandard.ZstdCompressor(level=19, threads=runtime.available_threads())
    with path.open("rb") as file:
        for chunk in compressor.read_to_iter(file):
            size += len(chunk)
    return size


_WARM_UPS: Final = 5
_FEWEST_RUNS: Final = 10


def _run(session: Any, feeds: dict[str, Array], what: str) -> list[Array]:
    """Raises Stalled: SourceInvalid or StepFailed, by which of the two models cannot answer."""
    try:
        return runtime.run(session, feeds)
    except runtime.RUN_ERRORS as error:
        reason = reasons.SOURCE_INVALID if what == "source" else reasons.STEP_FAILED
        raise Stalled(reason, f"the {what} cannot run on the data: {str(error).splitlines()[0][:500]}") from error


def _round(feeds: list[dict[str, Array]], times: int) -> Iterator[dict[str, Array]]:
    return (feeds[number % len(feeds)] for number in range(times))


def _timing(milliseconds: list[float]) -> Timing:
    ordered = sorted(milliseconds)
    return Timing(p50=statistics.median(ordered), p95=ordered[max(0, -(-len(ordered) * 95 // 100) - 1)])


def _close(expected: Array, got: Array, rows: int) -> Array:
    """For each of the first ``rows`` items, or for all of them the same where the output has no axis of items."""
    if expected.shape != got.shape:
        return np.zeros(rows, dtype=bool)
    if not expected.ndim or len(expected) < rows:
        expected, got = np.repeat(expected[None], rows, 0), np.repeat(got[None], rows, 0)
    flat, other = expected[:rows].reshape(rows, -1), got[:rows].reshape(rows, -1)
    if flat.dtype.kind != "f":
        return np.asarray((flat == other).all(axis=1))
    flat, other = flat.astype(np.float64), other.astype(np.float64)
    largest = np.max(np.abs(np.where(np.isfinite(flat), flat, 0)), axis=1, initial=0.0)
    off = np.abs(np.where(flat == other, 0, flat - other))  # infinities agree with themselves
    same = (off <= CLOSE_TOLERANCE * largest[:, None]) | (np.isnan(flat) & np.isnan(other))
    return np.asarray(same.all(axis=1))


def _ratio(part: Array, whole: Array) -> Array:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
