"""The HTTP endpoints for compression Jobs: tokens for the embedded registry, and reports of steps."""

from edge_operator.job_endpoints.application import application
from edge_operator.job_endpoints.registry_keys import make_signer

__all__ = ["application", "make_signer"]
