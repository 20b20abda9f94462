"""The EdgeModelRevision: what was made and what serves it. Immutable; its DaemonSets belong to it."""

from typing import Any

from edge_operator.decide.observation import Observation
from edge_operator.objects.common import Object, metadata, owned_by
from edgemodel.names import API_VERSION


def revision(observation: Observation, name: str, spec: dict[str, Any]) -> Object:
    return {
        "apiVersion": API_VERSION,
        "kind": "EdgeModelRevision",
        "metadata": {
            **metadata(observation.namespace, name, observation.name, "revision"),
            "ownerReferences": owned_by("EdgeModel", observation.name, observation.uid),
        },
        "spec": spec,
    }
