"""The state of the cluster as the watches reported it, and the observation of one EdgeModel made from it."""

from edge_operator.cluster_cache.cache import ClusterCache
from edge_operator.cluster_cache.kinds import WATCHED, WatchedKind
from edge_operator.cluster_cache.store import Key

__all__ = ["WATCHED", "ClusterCache", "Key", "WatchedKind"]
