"""Agreement without labels: the share of samples on which the artifact's outputs equal those of the source."""

import numpy as np

from edge_compressor.datasets import Dataset
from edge_compressor.evaluation import stateful
from edge_compressor.evaluation.result import Evaluation
from edge_compressor.models import runtime
from edge_compressor.models.model_file import ModelFile
from edge_compressor.progress import Progress
from edge_runtime.agreement import close_items
from edge_runtime.classes import same_largest
from edge_runtime.cores import usable_cores
from edge_runtime.datatypes import Array


def compare_values(
    source: ModelFile, artifact: ModelFile, dataset: Dataset, progress: Progress, *, kind: str = "Close"
) -> Evaluation:
    """Returns the share of samples that artifact and source answer alike, for data without labels.

    With ``kind`` Close every output has to be close. With Argmax the first output must have its largest values at the
    same positions of the last axis; for a model that reads text, the same text.
    """
    threads = usable_cores()
    first, second = (runtime.load(model, threads=threads) for model in (source, artifact))
    # A state may differ as long as the outputs computed from it do not.
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
        alike &= close_items(one, other, rows)
    return alike


def _same_largest(expected: list[Array], got: list[Array], rows: int) -> Array:
    return same_largest(expected[0][:rows], got[0][:rows])
