"""The metadata of every object of the operator, and the security context of every pod."""

from collections.abc import Iterable
from typing import Any

from edgemodel.names import API_VERSION, LABEL_COMPONENT, LABEL_MANAGED_BY, LABEL_MODEL, MANAGED_BY
from edgemodel.pull_secret import PullSecret

Object = dict[str, Any]

RESTRICTED_CONTAINER: Object = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
RESTRICTED_POD: Object = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "runAsGroup": 65532,
    "fsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def metadata(namespace: str, name: str, model: str, component: str, **labels: str) -> Object:
    """Returns the metadata of an object, with the operator's labels and ``labels``."""
    return {
        "namespace": namespace,
        "name": name,
        "labels": {
            "app.kubernetes.io/name": "edgemodel",
            LABEL_MANAGED_BY: MANAGED_BY,
            LABEL_COMPONENT: component,
            LABEL_MODEL: model,
            **labels,
        },
    }


def owned_by(kind: str, name: str, uid: str) -> list[Object]:
    """Returns owner references, by which garbage collection follows the owner without a finalizer."""
    return [
        {
            "apiVersion": API_VERSION,
            "kind": kind,
            "name": name,
            "uid": uid,
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ]


def pull_secrets(of_chart: Iterable[str], of_spec: Iterable[PullSecret]) -> list[Object]:
    """Returns the image pull secrets of a pod, each once, those of the chart first."""
    names = dict.fromkeys((*of_chart, *(secret.name for secret in of_spec)))
    return [{"name": name} for name in names]
