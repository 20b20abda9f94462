"""Without labels: how often the artifact's outputs are those of the source, value by value."""

from typing import Final

import numpy as np

from edge_compressor import runtime
from edge_compressor.datasets import Dataset
from edge_compressor.evaluation import stateful
from edge_compressor.evaluation.result import Evaluation
from edge_compressor.model import OnnxModel
from edge_compressor.progress import Progress
from edge_compressor.runtime import Array

CLOSE_TOLERANCE: Final = 0.01
"""Two answers agree when no value is further off than this share of the largest absolute value of the source's."""


def compare_values(
    source: OnnxModel, artifact: OnnxModel, dataset: Dataset, progress: Progress, *, kind: str = "Close"
) -> Evaluation:
    """Without labels: the share of samples that artifact and source answer alike.

    ``kind`` Close: every output is close. Argmax: the first output has its largest values at the same places of the
    last axis; of a model that reads text, the same text.
    """
    threads = runtime.available_threads()
    first, second = (runtime.open_session(model.path, threads=threads) for model in (source, artifact))
    # A state may differ as long as what is made of it does not.
    states = set(dataset.states.values())
    places = [place for place, tensor in enumerate(source.outputs) if tensor.name not in states]
    close = 0
    for positions, feeds in dataset.batches():
        expected, got = (
            [outputs[place] for place in places]
            for outputs in (
                stateful.answer(first, dataset, feeds, "source"),
                stateful.answer(second, dataset, feeds, "artifact"),
            )
        )
        alike = _all_close if kind == "Close" else _same_largest
        close += int(alike(expected, got, len(positions)).sum())
        progress.count("evaluating source and artifact", int(positions[-1]) + 1, dataset.size)
    return Evaluation("Agreement", dataset.size, close / dataset.size, kind)


def _all_close(expected: list[Array], got: list[Array], rows: int) -> Array:
    alike = np.ones(rows, dtype=bool)
    for one, other in zip(expected, got, strict=True):
        alike &= _close(one, other, rows)
    return alike


def _same_largest(expected: list[Array], got: list[Array], rows: int) -> Array:
    first, second = expected[0][:rows], got[0][:rows]
    if first.shape != second.shape:
        return np.zeros(rows, dtype=bool)
    places = (first.argmax(-1) == second.argmax(-1)) & np.isfinite(second).all(-1)
    return np.asarray(places.reshape(rows, -1).all(axis=1))


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
