"""Counts of predicted classes and confidences: a shift in these over time indicates data drift.

Only counts are kept, of a sample: at most a hundred requests a second.
"""

from copy import copy
from threading import Lock

import numpy as np

from edge_runtime.classes import classes_of
from edge_runtime.datatypes import Array
from edgemodel import metrics as contract
from inference_server.observability.histogram import Histogram

MAX_CLASSES = 64
"""The number of classes with a counter of their own; positions and numbers from there on count as
``contract.OTHER``."""
MAX_SCORES = 4096
"""The number of scores above which an item is not that of a classifier, and is left out."""
SECONDS_BETWEEN = 0.01
"""The interval in which one request, the first, is sampled: counting all would slow a small model down."""
MAX_ITEMS = 256
"""The largest number of sampled items of one request."""
_PENDING_ARRAYS, _PENDING_VALUES = 16, 65536
_TOLERANCE = 0.01
"""The largest distance of a row's sum from 1 at which the row counts as probabilities."""


class Drift:
    """The counts of one model. It is safe to call from several threads."""

    def __init__(self) -> None:
        self._classes: dict[str, int] = {}
        self._confidence = Histogram(contract.CONFIDENCE_BUCKETS)
        self._pending: list[Array] = []
        self._values = 0
        self._next = float("-inf")
        self._lock = Lock()

    def note(self, output: Array, now: float) -> None:
        """Counts ``output``, the model's first, with a first axis of items: scores, or one whole number that is a
        class.

        ``now`` is in seconds of any clock. Single floats, texts, and more than MAX_SCORES scores are ignored.
        """
        if now < self._next:
            return
        if not _tells(output):
            return
        with self._lock:
            self._next = now + SECONDS_BETWEEN
            # A copy of some items, because a view would keep the memory of all.
            self._pending.append(output if len(output) <= MAX_ITEMS else output[:MAX_ITEMS].copy())
            self._values += self._pending[-1].size
            if len(self._pending) >= _PENDING_ARRAYS or self._values >= _PENDING_VALUES:
                self._look()

    def counts(self) -> tuple[dict[str, int], Histogram]:
        """Returns the predictions by class, and their confidences."""
        with self._lock:
            self._look()
            return dict(self._classes), copy(self._confidence)

    def _look(self) -> None:
        pending, self._pending, self._values = self._pending, [], 0
        alike: dict[tuple[int, str], list[Array]] = {}
        for output in pending:
            rows = output.reshape(output.shape[0], -1)
            alike.setdefault((rows.shape[1], rows.dtype.kind), []).append(rows)
        for (_, kind), several in alike.items():
            rows = np.concatenate(several)
            classes = classes_of(rows)
            if classes is None:
                continue
            self._count(classes)
            if kind == "f":
                self._confidence.observe_all(_confidences(rows))

    def _count(self, classes: Array) -> None:
        found, counts = np.unique(classes, return_counts=True)
        for number, count in zip(found.tolist(), counts.tolist(), strict=True):
            name = str(int(number)) if 0 <= number < MAX_CLASSES else contract.OTHER
            self._classes[name] = self._classes.get(name, 0) + count


def _tells(output: Array) -> bool:
    """Returns whether the items have classes."""
    if output.ndim == 0 or output.dtype.kind == "O" or not output.size:
        return False
    scores: int = output.size // output.shape[0]
    return scores <= MAX_SCORES and (scores > 1 or output.dtype.kind != "f")


def _confidences(rows: Array) -> Array:
    """Returns the probability of the largest score of each row: itself in a row of probabilities, otherwise by softmax.

    Rows with a value that is not finite are left out.
    """
    rows = rows.astype(np.float64)
    rows = rows[np.isfinite(rows).all(axis=1)]
    largest = rows.max(axis=1, initial=-np.inf)
    probabilities = (rows.min(axis=1, initial=np.inf) >= 0) & (abs(rows.sum(axis=1) - 1) <= _TOLERANCE)
    softmax = 1 / np.exp(rows - largest[:, None]).sum(axis=1)
    found: Array = np.where(probabilities, largest, softmax)
    return found
