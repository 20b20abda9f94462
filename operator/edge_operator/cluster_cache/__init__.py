"""The state of the cluster as the watches told it, and the observation of one EdgeModel made from it."""

from edge_operator.cluster_cache.cache import WATCHED, ClusterCache, Key

__all__ = ["WATCHED", "ClusterCache", "Key"]
