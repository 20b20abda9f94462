"""Agreement without labels: the share of samples on which the artifact's outputs equal those of the source."""

from typing import Final

import numpy as np

from edge_compressor.datasets import Dataset
from edge_compressor.evaluation import stateful
from edge_compressor.evaluation.result import Evaluation
from edge_compressor.gate import Alike, OwnAnswers
from edge_compressor.models import runtime
from edge_compressor.models.model_file import ModelFile
from edge_compressor.progress import Progress
from edge_runtime.agreement import close_items, spread_of_floats
from edge_runtime.backend import LoadedModel
from edge_runtime.classes import same_largest
from edge_runtime.cores import usable_cores
from edge_runtime.datatypes import Array
from edge_runtime.relative_error import Spread

_SAMPLES_FOR_SPREAD: Final = 256
_BYTES_FOR_SPREAD: Final = 64 << 20


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
    spreads = _spreads(first, dataset, places) if kind == "Close" else []
    close = 0
    for positions, feeds in dataset.batches():
        expected, got = (
            [outputs[place] for place in places]
            for outputs in (
                stateful.answer(first, dataset, feeds, "source"),
                stateful.answer(second, dataset, feeds, "artifact"),
            )
        )
        rows = len(positions)
        alike = _all_close(expected, got, rows, spreads) if kind == "Close" else _same_largest(expected, got, rows)
        close += int(alike.sum())
        progress.count("evaluating source and artifact", int(positions[-1]) + 1, dataset.size)
    share = Alike(OwnAnswers(dataset.size, close), dataset.size, "samples")
    return Evaluation("Agreement", dataset.size, close / dataset.size, kind, alike=share)


def _spreads(source: LoadedModel, dataset: Dataset, places: list[int]) -> list[Spread | None]:
    """Returns the spread of each output at ``places``, from the source's answers to some of the samples."""
    answers: list[list[Array]] = [[] for _ in places]
    held = 0
    for positions, feeds in dataset.batches(dataset.spread(_SAMPLES_FOR_SPREAD)):
        rows = len(positions)
        outputs = stateful.answer(source, dataset, feeds, "source")
        for found, place in zip(answers, places, strict=True):
            output = outputs[place]
            found.append(output[:rows] if output.ndim and len(output) >= rows else output[None])
        held += sum(outputs[place].nbytes for place in places)
        if held > _BYTES_FOR_SPREAD:
            break
    return [spread_of_floats(found) for found in answers]


def _all_close(expected: list[Array], got: list[Array], rows: int, spreads: list[Spread | None]) -> Array:
    alike = np.ones(rows, dtype=bool)
    for one, other, spread in zip(expected, got, spreads, strict=True):
        alike &= close_items(one, other, rows, spread)
    return alike


def _same_largest(expected: list[Array], got: list[Array], rows: int) -> Array:
    return same_largest(expected[0][:rows], got[0][:rows])
