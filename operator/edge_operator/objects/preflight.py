"""The preflight Job of one hardware class: the artifact's own image on one node, one attempt, restricted like a
server.

It takes the resources of a server for some seconds.
"""

from edge_operator.decide.actions import StartPreflight
from edge_operator.decide.observation import Observation
from edge_operator.objects import artifact_pod
from edge_operator.objects.common import RESTRICTED_CONTAINER, RESTRICTED_POD, Object, metadata, owned_by
from edgemodel.names import ANNOTATION_ATTEMPT, COMPONENT_PREFLIGHT, LABEL_REVISION, LABEL_VARIANT

KEPT_SECONDS = 24 * 3600
"""The seconds for which a finished Job is kept, for its log. If it is gone before its result was read, it is started
again."""


def preflight_job(observation: Observation, start: StartPreflight) -> Object:
    """Returns the preflight Job on ``start.node``."""
    revision, variant = start.revision, start.variant
    labels = {LABEL_REVISION: revision.name, LABEL_VARIANT: variant}
    meta = metadata(observation.namespace, start.name, observation.name, COMPONENT_PREFLIGHT, **labels)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            **meta,
            "annotations": {ANNOTATION_ATTEMPT: str(start.attempt)},
            "ownerReferences": owned_by("EdgeModelRevision", revision.name, revision.uid),
        },
        "spec": {
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {
                "metadata": {"labels": meta["labels"]},
                "spec": {
                    "restartPolicy": "Never",
                    "affinity": _on(start.node),
                    "tolerations": artifact_pod.tolerations(revision),
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    # A deadline of the pod, not of the Job, because the time that it waits for room does not count.
                    "activeDeadlineSeconds": int(start.deadline.total_seconds()),
                    "terminationGracePeriodSeconds": 1,
                    "securityContext": RESTRICTED_POD,
                    "imagePullSecrets": artifact_pod.pull_secrets(observation, revision),
                    "containers": [
                        {
                            "name": "preflight",
                            "image": artifact_pod.image(observation, revision, variant),
                            "imagePullPolicy": "IfNotPresent",
                            "command": ["python3", "-m", "inference_server.preflight"],
                            "env": artifact_pod.tuning(revision),
                            "resources": artifact_pod.resources(observation, revision, variant),
                            "securityContext": RESTRICTED_CONTAINER,
                        }
                    ],
                },
            },
        },
    }


def _on(node: str) -> Object:
    """Returns an affinity to the node by its name, as the DaemonSet controller does.

    A kubelet may set its own label kubernetes.io/hostname, so that the label proves nothing.

    The scheduler still checks resources and taints.
    """
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    required = {"nodeSelectorTerms": [{"matchFields": [field]}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
