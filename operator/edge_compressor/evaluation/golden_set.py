"""The golden set: inputs and the artifact's own answers, which each node has to repeat before it serves.

It must distinguish arithmetic that differs in the last bits, which is harmless and happens on every other instruction
set, from an artifact that answers differently (saturating int8, weights in the wrong order).

- With labels the answer is a class (Argmax). A class flips in the last bits only when two scores are almost
  equal; so items are taken whose best score leads by 5 % of the item's range of scores, evenly over the classes that
  are predicted. Such an item does not flip by rounding, and *every* one has to agree: 99.5 % of at most 199 items.
- Without labels the answers are values (Close): an item may be off by 5 % of the spread of its channels, as the gate
  measures it (``edge_runtime.relative_error``). One step of an inner layer can carry a few items over that, hence 95 %.
  Values of a permuted artifact agree on next to none.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from edge_compressor.datasets import Dataset
from edge_compressor.evaluation import stateful
from edge_compressor.evaluation.golden_tokens import record_tokens
from edge_compressor.models import runtime
from edge_compressor.models.model_file import ModelFile
from edge_runtime.agreement import CLOSE_TOLERANCE
from edge_runtime.backend import RunFailure
from edge_runtime.classes import classes_of, clear_items
from edge_runtime.datatypes import Array, as_numbers
from edge_runtime.decoder import Decoder
from edgemodel.artifact import Golden

CLEAR_MARGIN: Final = 0.05
ARGMAX_PERCENT: Final = "99.5"
CLOSE_PERCENT: Final = "95"
MIN_ITEMS: Final = 8
MAX_BYTES: Final = 64 << 10
"""The largest size, as golden items travel to every node: beyond it, or beyond an eighth of the model's size if that is
more, there are fewer items, down to MIN_ITEMS."""

PAST_TOKENS: Final = 64
"""The number of tokens behind which a decoder is timed."""
_CANDIDATES: Final = 4
"""The number of candidates for each wanted item, spread evenly over the evaluation set."""


def record_golden(artifact: ModelFile, dataset: Dataset | None, items: int, path: Path) -> Golden | None:
    """Writes up to ``items`` items of ``dataset``, which may be generated, to ``path``.

    There are fewer if they are large (MAX_BYTES), or if few have a clear answer. None, and no file, if nothing can be
    recorded: no items are wanted, there are no data, or the model has no inputs.
    """
    if dataset is None or not artifact.inputs or items < 1:
        return None
    if dataset.decoder is not None:
        return record_tokens(artifact, dataset, dataset.decoder, items, path)
    whole = dataset.whole
    group = max(1, dataset.batch)
    one = _candidates(artifact, dataset, 1)
    item_bytes = max(1, sum(array[:1].nbytes for array in one.values()))
    items = min(items, max(MIN_ITEMS, max(MAX_BYTES, artifact.size_bytes // 8) // item_bytes))
    inputs = _candidates(artifact, dataset, items)
    outputs = _answers(artifact, inputs, group, whole=whole)
    if outputs is None:
        return None
    head = artifact.outputs[0]
    first = as_numbers(head.datatype, outputs[head.name])
    clear = (
        np.flatnonzero(clear_items(first, CLEAR_MARGIN))
        if dataset.has_classes and group == 1
        else np.empty(0, dtype=np.int64)
    )
    if len(clear):
        kind, percent, chosen = "Argmax", ARGMAX_PERCENT, np.sort(_evenly(clear, first, items))
    else:
        kind, percent, chosen = "Close", CLOSE_PERCENT, np.arange(min(items, len(first)) // group * group)
        outputs = {name: array for name, array in outputs.items() if array.dtype.kind != "U"}
    if not len(chosen) or not outputs:
        return None
    arrays = {f"input.{name}": array[chosen] for name, array in inputs.items()}
    arrays |= {f"output.{name}": array[chosen] for name, array in outputs.items()}
    np.savez(path, allow_pickle=False, **arrays)
    return Golden(items=len(chosen), agreement=kind, tolerance=CLOSE_TOLERANCE, min_percent=percent)


def sample_feeds(model: ModelFile, dataset: Dataset | None, count: int) -> list[dict[str, Array]] | None:
    """Returns ``count`` feeds of one sample each (or one batch, if the model fixes its size); None without data.

    That of a decoder is the next token of a text, behind a cache of PAST_TOKENS tokens: what a node runs most.
    """
    if dataset is None:
        return None
    if dataset.decoder is not None:
        return _next_tokens(dataset, dataset.decoder, count)
    dataset = stateful.steps_of(dataset, model, count, "artifact")
    return [dataset.take(np.repeat(position, max(1, dataset.batch))) for position in dataset.spread(count)]


def _next_tokens(dataset: Dataset, decoder: Decoder, count: int) -> list[dict[str, Array]]:
    cache = decoder.cache(PAST_TOKENS)
    return [decoder.feed(dataset.text(int(position))[None, :1], cache) for position in dataset.spread(count)]


def _candidates(artifact: ModelFile, dataset: Dataset, items: int) -> dict[str, Array]:
    wanted = items * _CANDIDATES if dataset.has_classes else items
    dataset = stateful.steps_of(dataset, artifact, wanted, "artifact")
    places = dataset.spread(wanted)
    return {name: np.asarray(array[places], order="C") for name, array in dataset.inputs.items()}


def _answers(artifact: ModelFile, inputs: Mapping[str, Array], group: int, *, whole: bool) -> dict[str, Array] | None:
    """Returns the answer to each item alone, as the server runs it. None if an output has no axis of items, unless
    items are ``whole``."""
    loaded = runtime.load(artifact)
    count = len(next(iter(inputs.values()))) // group * group
    rows: list[list[Array]] = []
    for start in range(0, count, group):
        try:
            feeds = _part(inputs, start, group)
            answers = runtime.run(
                loaded, {name: np.asarray(array[0]) for name, array in feeds.items()} if whole else feeds
            )
        except RunFailure:  # alone, an item need not make sense to a model that takes several
            return None
        if whole:
            answers = [answer[None] for answer in answers]
        if any(not answer.ndim or len(answer) != group for answer in answers):
            return None
        rows.append(answers)
    if not rows or any(len({answer.shape for answer in column}) > 1 for column in zip(*rows, strict=True)):
        return None
    columns = [np.concatenate(column) for column in zip(*rows, strict=True)]
    texts = [column.astype(np.str_) if column.dtype.kind == "O" else column for column in columns]
    return {tensor.name: column for tensor, column in zip(artifact.outputs, texts, strict=True)}


def _part(inputs: Mapping[str, Array], start: int, size: int) -> dict[str, Array]:
    return {name: np.ascontiguousarray(array[start : start + size]) for name, array in inputs.items()}


def _evenly(positions: Array, output: Array, count: int) -> Array:
    """Returns at most ``count`` of ``positions``, taken by turns from each predicted class, in order."""
    classes = classes_of(output[positions])
    assert classes is not None, "items without a class are not clear"
    turn = np.zeros(len(positions), dtype=int)
    for value in np.unique(classes):
        of_class = classes == value
        turn[of_class] = np.arange(of_class.sum())
    return positions[np.argsort(turn, kind="stable")[:count]]
