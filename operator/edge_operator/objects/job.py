"""The compression Job: one pod, one try, no service-account token; the operator decides on another try."""

from typing import Any

from edge_operator.decide.observation import Observation
from edge_operator.objects.common import RESTRICTED_CONTAINER, RESTRICTED_POD, Object, metadata, owned_by
from edgemodel.names import ANNOTATION_ATTEMPT, ANNOTATION_SERVER_IMAGE, COMPONENT_COMPRESSOR, REGISTRY_AUDIENCE
from edgemodel.spec import EdgeModelSpec, Source
from edgemodel.task import (
    CLAIMS_DIRECTORY,
    REGISTRY_TOKEN_FILE,
    SECRETS_DIRECTORY,
    TASK_VARIABLE,
    WORK_DIRECTORY,
    Target,
    Task,
)

DEFAULT_RESOURCES: Object = {
    "requests": {"cpu": "250m", "memory": "512Mi"},
    "limits": {"memory": "2Gi"},
}
WORK_LIMIT = "8Gi"
TOKEN_SECONDS = 3600


def job(observation: Observation, name: str, attempt: int, spec: EdgeModelSpec) -> Object:
    volumes, mounts = _volumes(observation, spec)
    settings = observation.settings
    pod: Object = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # Of the pod, not of the Job: the time it waits for a node is not its own.
        "activeDeadlineSeconds": int(spec.compression.deadline.total_seconds()),
        "securityContext": RESTRICTED_POD,
        "imagePullSecrets": [{"name": name} for name in settings.image_pull_secrets],
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "containers": [
            {
                "name": "compress",
                "image": settings.compressor_image,
                "env": [
                    {"name": TASK_VARIABLE, "value": task(observation, spec).encode()},
                    {"name": "TMPDIR", "value": f"{WORK_DIRECTORY}/tmp"},  # noqa: S108 - its own volume
                    {"name": "HOME", "value": WORK_DIRECTORY},
                ],
                "resources": spec.compression.resources or DEFAULT_RESOURCES,
                "securityContext": RESTRICTED_CONTAINER,
                "volumeMounts": mounts,
            }
        ],
        "volumes": volumes,
    }
    labels = {"edgemodel.io/job": name}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            **metadata(observation.namespace, name, observation.name, COMPONENT_COMPRESSOR),
            "annotations": {ANNOTATION_ATTEMPT: str(attempt), ANNOTATION_SERVER_IMAGE: settings.server_image},
            "ownerReferences": owned_by("EdgeModel", observation.name, observation.uid),
        },
        "spec": {
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "template": {
                "metadata": {
                    "labels": metadata("", "", observation.name, COMPONENT_COMPRESSOR, **labels)["labels"],
                },
                "spec": pod,
            },
        },
    }


def task(observation: Observation, spec: EdgeModelSpec) -> Task:
    settings = observation.settings
    return Task(
        namespace=observation.namespace,
        model=observation.name,
        fingerprint=spec.fingerprint(),
        source=spec.source.location,
        source_format=spec.source.format,
        calibration=spec.calibration.location if spec.calibration else None,
        evaluation=spec.evaluation.location if spec.evaluation else None,
        recipes=spec.recipes,
        budget=spec.compression.budget,
        target=Target(
            registry=settings.registry_push,
            repository=f"{observation.namespace}/{observation.name}",
            base=settings.server_image,
        ),
        plain_http_hosts=settings.plain_http_hosts,
        allowed_hosts=settings.allowed_source_hosts,
    )


def _volumes(observation: Observation, spec: EdgeModelSpec) -> tuple[list[Any], list[Any]]:
    volumes: list[Object] = [{"name": "work", "emptyDir": {"sizeLimit": WORK_LIMIT}}]
    mounts: list[Object] = [{"name": "work", "mountPath": WORK_DIRECTORY}]
    uses: list[tuple[str, Source | None]] = [
        ("source", spec.source),
        ("calibration", spec.calibration),
        ("evaluation", spec.evaluation),
    ]
    secrets = [(use, source.secret) for use, source in uses if source is not None and source.secret]
    settings = observation.settings
    if settings.registry_embedded:
        folder, file = REGISTRY_TOKEN_FILE.rsplit("/", 1)
        token = {"audience": REGISTRY_AUDIENCE, "expirationSeconds": TOKEN_SECONDS, "path": file}
        volumes.append({"name": "registry", "projected": {"sources": [{"serviceAccountToken": token}]}})
        mounts.append({"name": "registry", "mountPath": folder, "readOnly": True})
    elif settings.registry_push_secret:
        secrets.append(("push", settings.registry_push_secret))
    for use, name in secrets:
        volumes.append({"name": f"secret-{use}", "secret": {"secretName": name}})
        mounts.append({"name": f"secret-{use}", "mountPath": f"{SECRETS_DIRECTORY}/{use}", "readOnly": True})
    claims = {source.uri.split("/")[2] for _, source in uses if source is not None and source.uri.startswith("pvc://")}
    for claim in sorted(claims):
        volumes.append({"name": f"claim-{claim}", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}})
        mounts.append({"name": f"claim-{claim}", "mountPath": f"{CLAIMS_DIRECTORY}/{claim}", "readOnly": True})
    return volumes, mounts
