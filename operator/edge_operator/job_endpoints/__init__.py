"""The HTTP endpoints that compression Jobs ask: tokens for the embedded registry, and the steps that they begin."""

from edge_operator.job_endpoints.application import application
from edge_operator.job_endpoints.registry_keys import make_signer

__all__ = ["application", "make_signer"]
