"""A kind of bad request, with its counts."""

from collections.abc import Callable
from dataclasses import dataclass

from edge_operator.decide.analysis.limits import Before
from edge_operator.decide.measurement import Counts
from edge_statistics.dispersion import Moments


@dataclass(frozen=True)
class Measure:
    """A kind of bad request."""

    key: str
    settings: tuple[float, ...]
    """The numbers besides the samples that ``before`` and ``minutes`` depend on; what they return is kept."""
    words: str
    """The words for a bad request, as in "3 % of requests failed"."""
    bad: Callable[[Counts, float | None], int]
    """A function that returns the bad requests, given the edge of ``Before``."""
    total: Callable[[Counts], int]
    before: Callable[[Counts], Before | None]
    """A function that returns what the requests of a node before say; None if they say nothing."""
    minutes: Callable[[Counts, float | None], Moments | None]
    """A function that returns the moments of the bad requests by minute before, given the edge of ``Before``."""
    without_baseline: Before | None
    """The expectation of a node without requests before; None: it cannot be judged."""
    allowance: str = "half again as many as before"
    """The words for the allowance of ``Before``, for messages."""
    guarded: bool = False
    """True if a slow hour moves shares too far for a factor to tell what is expected, so that nothing is decided while
    the nodes on stable exceed their own limits."""
