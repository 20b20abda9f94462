"""The Service of an EdgeModel, by which an application reaches its own node, and the NetworkPolicies."""

from edge_operator.decide.observation import Observation
from edge_operator.objects.common import Object, metadata, owned_by
from edgemodel.names import COMPONENT_COMPRESSOR, COMPONENT_PREFLIGHT, COMPONENT_SERVER, LABEL_COMPONENT, LABEL_MODEL


def service(observation: Observation, port: int) -> Object:
    """Returns a Service by which a client reaches the server of its own node, whatever revision that runs."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            **metadata(observation.namespace, observation.name, observation.name, COMPONENT_SERVER),
            "ownerReferences": owned_by("EdgeModel", observation.name, observation.uid),
        },
        "spec": {
            "type": "ClusterIP",
            "internalTrafficPolicy": "Local",
            "selector": {LABEL_MODEL: observation.name, LABEL_COMPONENT: COMPONENT_SERVER},
            "ports": [{"name": "http", "port": port, "targetPort": "http", "protocol": "TCP"}],
        },
    }


def network_policies(observation: Observation) -> list[Object]:
    """Returns the policies of a model's pods.

    Servers accept requests on their port, and open no connections except, for shadow replay, to the server that a
    candidate replaces. Compressors open connections and accept none; preflight Jobs do neither.
    """
    asked: list[Object] = [{"ports": [{"port": "http", "protocol": "TCP"}]}]
    followed: list[Object] = []
    if observation.spec.serving.shadow_replay_max_requests:
        servers = {"matchLabels": {LABEL_MODEL: observation.name, LABEL_COMPONENT: COMPONENT_SERVER}}
        names: Object = {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}
        followed = [{**asked[0], "to": [{"podSelector": servers}]}, names]
    return [
        _policy(observation, "server", COMPONENT_SERVER, ingress=asked, egress=followed),
        _policy(observation, "compressor", COMPONENT_COMPRESSOR, ingress=[], egress=[{}]),
        *(
            [_policy(observation, "preflight", COMPONENT_PREFLIGHT, ingress=[], egress=[])]
            if observation.spec.preflight is not None
            else []
        ),
    ]


def _policy(
    observation: Observation, suffix: str, component: str, ingress: list[Object], egress: list[Object]
) -> Object:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            **metadata(observation.namespace, f"{observation.name}-{suffix}", observation.name, component),
            "ownerReferences": owned_by("EdgeModel", observation.name, observation.uid),
        },
        "spec": {
            "podSelector": {"matchLabels": {LABEL_MODEL: observation.name, LABEL_COMPONENT: component}},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": ingress,
            "egress": egress,
        },
    }
