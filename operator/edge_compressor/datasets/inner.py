"""Data sets and feeds as the model file itself takes them, behind its transforms: for steps, which know no
transforms."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge_compressor.datasets.dataset import Dataset, invalid
from edge_runtime.backend import RefusedInputs
from edge_runtime.datatypes import Array
from edge_runtime.transform import inner_feeds
from edge_runtime.transforms import make_transform
from edgemodel.artifact import TransformSpec


def feeds_behind(feeds: list[dict[str, Array]], transforms: Sequence[TransformSpec]) -> list[dict[str, Array]]:
    """Returns ``feeds`` as the model behind ``transforms`` takes them. Raises RefusedInputs."""
    made = [make_transform(spec) for spec in transforms]
    return [dict(inner_feeds(feed, made)) for feed in feeds]


def dataset_behind(dataset: Dataset, transforms: Sequence[TransformSpec], folder: Path) -> Dataset:
    """Returns ``dataset`` as the model behind ``transforms`` takes it, with its inputs in ``folder``, which is created.

    Raises Stalled(DatasetInvalid) if a transform refuses a sample.
    """
    if not transforms:
        return dataset
    folder.mkdir(parents=True)
    made = [make_transform(spec) for spec in transforms]
    inputs: dict[str, Array] = {}
    for positions, feeds in dataset.batches():
        try:
            inner = inner_feeds(feeds, made)
        except RefusedInputs as error:
            raise invalid(dataset.what, f"samples from {int(positions[0])} on: {error}") from error
        for number, (name, array) in enumerate(inner.items()):
            items = array[None] if dataset.whole else array[: len(positions)]
            if name not in inputs:
                shape = (dataset.size, *items.shape[1:])
                inputs[name] = np.lib.format.open_memmap(folder / f"{number}.npy", "w+", items.dtype, shape)
            inputs[name][positions] = items
    return replace(dataset, inputs=inputs)
