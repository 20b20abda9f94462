"""Chooses the next token by the scores of all.

A vocabulary has some 50,000 to 250,000 tokens, and sorting them would take a quarter of a small model's time: so only
those are sorted that may be chosen.
"""

import math
from random import Random

import numpy as np

from edge_runtime.backend import RunFailure
from edge_runtime.datatypes import Array

MIN_TEMPERATURE = 1e-3
"""The temperature below which the most probable token is chosen, as any other has no chance."""
_CUTS = (1e-2, 1e-4, 0.0)
"""The probabilities, as shares of the largest one, above which tokens are looked at for ``top_p``: the first of these
that leaves enough is taken."""
_BLOCK = 256


class Sampler:
    """The choice of tokens for one sequence."""

    def __init__(self, temperature: float, top_p: float, seed: int | None) -> None:
        """Takes ``temperature``, 0 for the token with the largest score; ``top_p``, the share of the probability, in
        0..1, from whose most probable tokens one is chosen; and ``seed``, which makes the choice repeatable."""
        self._temperature, self._top_p = temperature, top_p
        self._random = Random(seed)  # noqa: S311 - it chooses words, not keys

    def choose(self, scores: Array) -> int:
        """Returns the position of the chosen token. Raises RunFailure if the scores are not numbers."""
        best = int(scores.argmax())
        largest = float(scores[best])
        if not math.isfinite(largest):
            raise RunFailure("the scores of the next token are not numbers: the weights are damaged, or overflow")
        if self._temperature < MIN_TEMPERATURE:
            return best
        weights = np.exp((scores - np.float32(largest)) * np.float32(1 / self._temperature))
        if self._top_p == 1:
            return self._drawn_from_many(weights)
        wanted = self._top_p * float(weights.sum(dtype=np.float64))
        for cut in _CUTS:
            near = np.flatnonzero(weights > cut)
            if float(weights[near].sum(dtype=np.float64)) >= wanted or cut == 0:
                break
        near = near[np.argsort(-weights[near])]
        enough = int(np.searchsorted(np.cumsum(weights[near], dtype=np.float64), wanted)) + 1
        return int(near[self._drawn(weights[near[:enough]])])

    def _drawn_from_many(self, weights: Array) -> int:
        """Returns a position, with a probability by its weight: first a block of them, then one in it."""
        whole = len(weights) // _BLOCK * _BLOCK
        sums = weights[:whole].reshape(-1, _BLOCK).sum(axis=1, dtype=np.float64)
        block = self._drawn(np.append(sums, weights[whole:].sum(dtype=np.float64)))
        return block * _BLOCK + self._drawn(weights[block * _BLOCK : (block + 1) * _BLOCK])

    def _drawn(self, weights: Array) -> int:
        shares = np.cumsum(weights, dtype=np.float64)
        place = int(np.searchsorted(shares, self._random.random() * shares[-1], side="right"))
        return min(place, len(shares) - 1)  # a product may be rounded up
