"""The conversion of raw API objects to plain values, once, when the operator first sees them. Pure.

Raises KeyError, TypeError, ValueError or AttributeError for an object that does not match its schema.
"""

from edge_operator.from_api.applied import ForeignService, read_applied, read_daemonset, read_service
from edge_operator.from_api.edge_models import CachedEdgeModel, read_edge_model, read_revision
from edge_operator.from_api.events import read_refusal
from edge_operator.from_api.jobs import JobObject, JobPod, compression_job, preflight_job, read_job, read_job_pod
from edge_operator.from_api.nodes import read_node
from edge_operator.from_api.raw import Raw
from edge_operator.from_api.server_pods import is_made_by_daemonset, read_server_pod

__all__ = [
    "CachedEdgeModel",
    "ForeignService",
    "JobObject",
    "JobPod",
    "Raw",
    "compression_job",
    "is_made_by_daemonset",
    "preflight_job",
    "read_applied",
    "read_daemonset",
    "read_edge_model",
    "read_job",
    "read_job_pod",
    "read_node",
    "read_refusal",
    "read_revision",
    "read_server_pod",
    "read_service",
]
