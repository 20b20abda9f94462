"""The interface of a runtime that generates text: a decoder with a cache of keys and values.

A decoder takes the tokens that are new, and keeps what it has computed of the earlier ones in a cache.
"""

from pathlib import Path
from typing import Protocol, runtime_checkable

from edge_runtime.backend import LoadedModel
from edge_runtime.datatypes import Array
from edge_runtime.tuning import Tuning


class Cache(Protocol):
    """The keys and values of one sequence. Its memory is taken when it is made, and filled as the sequence grows."""

    tokens: int
    """The number of tokens that it holds; setting it to fewer forgets the last ones."""
    capacity: int
    """The largest number of tokens."""


class Generator(LoadedModel, Protocol):
    """A decoder in memory, which may also be run as the graph that it is. One thread at a time may call ``feed``."""

    vocabulary: int
    """The number of tokens that the decoder scores; a token is a whole number below it."""
    cache_bytes_per_token: int
    """The size of the keys and values of one token, in bytes."""

    def new_cache(self, capacity: int) -> Cache:
        """Returns an empty cache for ``capacity`` tokens."""

    def feed(self, cache: Cache, tokens: Array) -> Array:
        """Appends ``tokens``, int64 of shape [n], to the sequence of ``cache``.

        Returns the scores of the token that follows the last of them, float32 of shape [vocabulary], which the caller
        may change, and which are valid until the next call. The cache must have room for them. Raises RunFailure.
        """


@runtime_checkable
class GeneratingBackend(Protocol):
    """A back end that also loads decoders."""

    def load_generator(self, path: Path, tuning: Tuning) -> Generator:
        """Returns the decoder in the file at ``path``, whose digest was verified. Raises LoadFailure."""
