"""The smallest weights, in one tensor or in all together."""

from collections.abc import Sequence

import numpy as np

from edge_runtime.datatypes import Array


def share_out(magnitudes: Sequence[Array], percent: float, *, together: bool) -> list[int]:
    """Returns how many weights of each tensor are removed: ``percent`` of each, or the smallest of all ``together``.

    Together, no tensor loses more than half of what ``percent`` would leave of it, so that none is emptied; what
    exceeds that is taken from the others.
    """
    if not together:
        return [int(size.size * percent / 100) for size in magnitudes]
    caps = [int(size.size * (100 + percent) / 200) for size in magnitudes]
    counts = [0] * len(magnitudes)
    free = list(range(len(magnitudes)))
    while free:
        pinned = sum(cap for number, cap in enumerate(caps) if number not in free)
        wanted = int(sum(size.size for size in magnitudes) * percent / 100) - pinned
        pool = np.concatenate([magnitudes[number].ravel() for number in free])
        chosen = smallest(pool, wanted)
        ends = np.cumsum([magnitudes[number].size for number in free])[:-1]
        for number, part in zip(free, np.split(chosen, ends), strict=True):
            counts[number] = int(part.sum())
        over = [number for number in free if counts[number] > caps[number]]
        if not over:
            break
        for number in over:
            counts[number] = caps[number]
        free = [number for number in free if number not in over]
    return counts


def smallest(magnitudes: Array, count: int) -> Array:
    """Returns True for the ``count`` smallest; among equal ones, for the first."""
    if count <= 0:
        return np.zeros(magnitudes.shape, dtype=bool)
    flat = magnitudes.ravel()
    limit = np.partition(flat, count - 1)[count - 1]
    chosen = flat < limit
    equal = np.flatnonzero(flat == limit)
    chosen[equal[: count - int(chosen.sum())]] = True
    return np.asarray(chosen.reshape(magnitudes.shape))
