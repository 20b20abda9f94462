"""Chooses the next token by the scores of all."""

import math
from random import Random

import numpy as np

from edge_runtime.backend import RunFailure
from edge_runtime.datatypes import Array

_NEGLIGIBLE = 27.0
"""The distance to the largest score, divided by the temperature, from which a token is never chosen: all those of the
largest vocabulary together have less than a millionth of the largest one's probability."""


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
        if self._temperature == 0:
            return best
        near = np.flatnonzero(scores > largest - _NEGLIGIBLE * self._temperature)
        weights = np.exp((scores[near].astype(np.float64) - largest) / self._temperature)
        order = np.argsort(-weights, kind="stable")
        shares = np.cumsum(weights[order])
        if self._top_p < 1:
            shares = shares[: int(np.searchsorted(shares, self._top_p * shares[-1])) + 1]
        chosen = int(np.searchsorted(shares, self._random.random() * shares[-1], side="right"))
        return int(near[order[min(chosen, len(shares) - 1)]])
