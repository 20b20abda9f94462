"""The task Embedding: vectors for search and matching, without labels.

The source is the reference: the score is the cosine between its vector and the artifact's, averaged over the samples
(negative cosines count as 0), so that the source's own score is 1. The interval is bootstrapped. A mean cosine can be
high although the order of neighbours has changed, so the share of samples that keep their nearest neighbour is reported
beside it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from edge_compressor.datasets import Dataset
from edge_compressor.evaluation import bootstrap
from edge_compressor.evaluation.result import Evaluation, Scores
from edge_compressor.evaluation.task import Answers, Figure, Outputs, TaskType, first, invalid
from edge_runtime.datatypes import Array

MAX_NEIGHBOURS: Final = 2000
"""The number of samples among which neighbours are searched, because every pair is compared."""


@dataclass(frozen=True)
class Embedding:
    """The comparison of vectors with those of the source."""

    def check(self, dataset: Dataset) -> Dataset:
        """Accepts every data set, since the task ignores labels."""
        return dataset

    def read(self, outputs: Outputs, rows: int, dataset: Dataset) -> Answers:
        """Returns the answers that the task compares, from the outputs for ``rows`` samples. Raises Stalled if they do
        not fit."""
        output = first(outputs)
        if output.dtype.kind != "f" or output.ndim < 2 or len(output) < rows:
            shape = f"{output.dtype} of shape {list(output.shape)}"
            raise invalid(dataset, f"task Embedding wants a first output of floats, [samples, values], got {shape}")
        return {"vector": output[:rows].reshape(rows, -1).astype(np.float32)}

    def compare(self, dataset: Dataset, source: Answers | None, artifact: Answers) -> Evaluation:
        """Returns the figures of the artifact against the source's vectors. Raises Stalled if ``source`` is None."""
        if source is None:
            message = "task Embedding compares with the source, and its first output has another shape"
            raise invalid(dataset, f"{message}: choose another task")
        alike = cosines(source["vector"], artifact["vector"])
        both = np.stack([np.ones(dataset.size), np.clip(alike, 0, 1)], axis=1)
        paired, _, _ = bootstrap.compare(lambda weights: weights @ both / weights.sum(), dataset.size)
        chosen = dataset.spread(MAX_NEIGHBOURS)
        kept = nearest(source["vector"][chosen]) == nearest(artifact["vector"][chosen])
        figures = {
            "meanCosine": float(alike.mean()),
            "leastCosine": float(alike.min()),
            "sameNeighbour": float(kept.mean()),
        }
        return Evaluation(
            task=TASK.type,
            samples=dataset.size,
            agreement=paired.artifact,
            agreement_kind="Cosine",
            metric="cosine with the source",
            source=Scores(1.0, {"meanCosine": 1.0, "leastCosine": 1.0, "sameNeighbour": 1.0}),
            artifact=Scores(paired.artifact, figures),
            answers=paired,
        )


def cosines(one: Array, other: Array) -> Array:
    """Returns the cosines, (samples,) in -1..1; 0 if a vector is zero or not finite, 1 if both are zero."""
    first_unit, second_unit = _unit(one), _unit(other)
    alike = np.clip((first_unit * second_unit).sum(axis=1), -1, 1)
    return np.where((one == other).all(axis=1), 1.0, alike)


def nearest(vectors: Array) -> Array:
    """Returns the position of each vector's nearest neighbour by cosine, without itself."""
    unit = _unit(vectors).astype(np.float32)
    alike = unit @ unit.T
    np.fill_diagonal(alike, -np.inf)
    return np.asarray(alike.argmax(axis=1))


def _unit(vectors: Array) -> Array:
    whole = np.where(np.isfinite(vectors).all(axis=1, keepdims=True), vectors, 0).astype(np.float64)
    length = np.linalg.norm(whole, axis=1, keepdims=True)
    return np.asarray(np.divide(whole, length, out=np.zeros_like(whole), where=length > 0))


TASK: Final = TaskType(
    type="Embedding",
    doc="There are no labels; vectors are compared with those of the source.",
    label="none",
    score="cosine with the source's vector",
    interval="bootstrap",
    make=lambda settings: Embedding(),
    figures={
        "meanCosine": Figure("cosine with the source, mean", "{:.4f}"),
        "leastCosine": Figure("cosine with the source, least", "{:.4f}"),
        "sameNeighbour": Figure("nearest neighbour kept", "{:.2%}"),
    },
)
