"""The EdgeModelRevision, which is immutable: the artifacts and how they are served. It owns its DaemonSets."""

from edge_operator.decide.observation import Observation
from edge_operator.objects.common import Object, metadata, owned_by
from edgemodel.names import API_VERSION
from edgemodel.revision import RevisionSpec


def revision(observation: Observation, name: str, spec: RevisionSpec) -> Object:
    """Returns the EdgeModelRevision ``name``, owned by its EdgeModel."""
    return {
        "apiVersion": API_VERSION,
        "kind": "EdgeModelRevision",
        "metadata": {
            **metadata(observation.namespace, name, observation.name, "revision"),
            "ownerReferences": owned_by("EdgeModel", observation.name, observation.uid),
        },
        "spec": spec.to_json(),
    }
