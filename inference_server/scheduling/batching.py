"""The batching of waiting requests: stacked on the first axis of every input, and taken apart again. Pure.

Nothing waits for a batch to fill: only requests that are already in the queue join it.
"""

from collections.abc import Sequence

import numpy as np

from edge_runtime.datatypes import Array
from edge_runtime.signature import Signature
from inference_server.protocol.infer import Inference

Key = tuple[tuple[str, ...], tuple[tuple[str, tuple[int, ...]], ...]]


def has_items(signature: Signature) -> bool:
    """Returns whether the first dimension of every input and output is open, as that of a batch is."""
    tensors = [*signature.inputs.values(), *signature.outputs.values()]
    return all(tensor.shape[:1] == (-1,) for tensor in tensors)


def items(inference: Inference) -> int | None:
    """Returns the number of items in a request; None if its inputs disagree, so that it has to run alone."""
    if inference.overrides:  # what belongs to the whole request cannot be stacked
        return None
    sizes = {array.shape[0] for array in inference.feeds.values()}
    return sizes.pop() if len(sizes) == 1 else None


def key(inference: Inference) -> Key:
    """Returns a key that is equal for requests that may be stacked."""
    outputs = tuple(inference.wanted.names)
    return outputs, tuple((name, inference.feeds[name].shape[1:]) for name in sorted(inference.feeds))


def groups(inferences: Sequence[Inference], most: int) -> list[list[int]]:
    """Returns the positions of requests that may run as one, in order; at most ``most`` items in each group of several
    requests."""
    open_groups: dict[Key, tuple[list[int] | None, int]] = {}
    found: list[list[int]] = []
    for position, inference in enumerate(inferences):
        count = items(inference)
        if count is None:
            found.append([position])
            continue
        alike = key(inference)
        group, size = open_groups.get(alike, (None, 0))
        if group is None or size + count > most:
            group, size = [], 0
            found.append(group)
        group.append(position)
        open_groups[alike] = group, size + count
    return found


def stack(inferences: Sequence[Inference]) -> dict[str, Array]:
    """Returns the inputs of requests with the same key as those of one request."""
    return {name: np.concatenate([one.feeds[name] for one in inferences]) for name in inferences[0].feeds}


def take_apart(arrays: Sequence[Array], sizes: Sequence[int]) -> list[list[Array]] | None:
    """Returns the outputs of each request; None if an output has not as many items as the inputs had."""
    if any(array.ndim == 0 or array.shape[0] != sum(sizes) for array in arrays):
        return None
    edges = np.cumsum(sizes)[:-1].tolist()
    split = [np.split(array, edges) for array in arrays]
    return [[parts[position] for parts in split] for position in range(len(sizes))]
