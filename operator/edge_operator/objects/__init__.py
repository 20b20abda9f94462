"""The Kubernetes objects of each action. Pure: an object is a plain dictionary."""

from edge_operator.objects.common import Object
from edge_operator.objects.daemonset import daemonset, replay_secret
from edge_operator.objects.event import event
from edge_operator.objects.job import job
from edge_operator.objects.network import network_policies, service
from edge_operator.objects.preflight import preflight_job
from edge_operator.objects.revision import revision

__all__ = [
    "Object",
    "daemonset",
    "event",
    "job",
    "network_policies",
    "preflight_job",
    "replay_secret",
    "revision",
    "service",
]
