"""The knowledge of all nodes of a variant before a wave, fixed in status while the wave is judged."""

from dataclasses import dataclass

from edge_statistics.shrinkage import Prior


@dataclass(frozen=True)
class Pooled:
    """The distribution of the nodes' shares of bad requests, from ``requests`` requests."""

    prior: Prior
    requests: int
    design_effect: float = 1.0
    """The variance of the counts, in multiples of that of independent requests, at least 1."""
