"""The cluster: the only importer of ``kubernetes``."""

from edge_operator.cluster.client import ApiError, Cluster, Object

__all__ = ["ApiError", "Cluster", "Object"]
