"""The compression Job: one pod, one attempt, no service-account token; the operator decides on retries.

For a source of safetensors, two containers run before the compressor: one of ours that fetches, and the user's
converter. They run one after the other, so that nothing of the converter runs any more when its file is read.
"""

from typing import Any

from edge_operator.decide.observation import Observation
from edge_operator.decide.resources import job_resources, source_limit, with_defaults, work_limit
from edge_operator.objects.common import RESTRICTED_CONTAINER, RESTRICTED_POD, Object, metadata, owned_by, pull_secrets
from edgemodel.converter import (
    CONVERTER,
    FETCH,
    IN_DIRECTORY,
    MODEL_VARIABLE,
    OUT_DIRECTORY,
    TRAINING_FILE,
    TRAINING_VARIABLE,
    WEIGHTS_FILE,
    WEIGHTS_VARIABLE,
    Converter,
)
from edgemodel.job_images import ARCHITECTURES, TRAINER, JobImage
from edgemodel.job_input import (
    CLAIMS_DIRECTORY,
    JOB_INPUT_VARIABLE,
    REGISTRY_TOKEN_FILE,
    SECRETS_DIRECTORY,
    WORK_DIRECTORY,
    JobInput,
    PublishTarget,
)
from edgemodel.names import (
    ANNOTATION_ATTEMPT,
    ANNOTATION_SERVER_IMAGE,
    ANNOTATION_SOURCE_BYTES,
    COMPONENT_COMPRESSOR,
    REGISTRY_AUDIENCE,
)
from edgemodel.progress import PROGRESS_TOKEN_FILE
from edgemodel.spec import EdgeModelSpec

MADE_LIMIT = "4Gi"
"""The largest size of what a converter writes: a model file and nothing else."""
TOKEN_SECONDS = 3600


def job(
    observation: Observation, name: str, attempt: int, spec: EdgeModelSpec, source_bytes: int | None = None
) -> Object:
    """Returns the compression Job ``name``, the attempt number ``attempt`` from 1 on, with memory and disk for a source
    of ``source_bytes``; None: the size is not known."""
    work = work_limit(source_bytes)
    volumes, mounts = _volumes(observation, spec, work)
    settings = observation.settings
    compress = _compress(observation, spec, mounts, source_bytes)
    before: Object = {}
    if spec.request.source.converter is not None:
        given, made = _mount("given", IN_DIRECTORY, read_only=True), _mount("made", OUT_DIRECTORY, read_only=True)
        volumes += [_empty("given", work), _empty("made", MADE_LIMIT), _empty("converter-tmp", work)]
        before = {"initContainers": [_fetch(compress), _converter(observation, spec, spec.request.source.converter)]}
        compress = {**compress, "volumeMounts": [*mounts, given, made]}
    pod: Object = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # A deadline of the pod, not of the Job, because the time that it waits for a node does not count.
        "activeDeadlineSeconds": int(spec.compression_job.deadline.total_seconds()),
        "securityContext": RESTRICTED_POD,
        "imagePullSecrets": pull_secrets(settings.image_pull_secrets, spec.image_pull_secrets),
        "nodeSelector": {"kubernetes.io/os": "linux", **_architecture(spec.job_image)},
        **before,
        "containers": [compress],
        "volumes": volumes,
    }
    labels = {"edgemodel.io/job": name}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            **metadata(observation.namespace, name, observation.name, COMPONENT_COMPRESSOR),
            "annotations": {
                ANNOTATION_ATTEMPT: str(attempt),
                ANNOTATION_SERVER_IMAGE: settings.server_image,
                **({ANNOTATION_SOURCE_BYTES: str(source_bytes)} if source_bytes is not None else {}),
            },
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


def _compress(observation: Observation, spec: EdgeModelSpec, mounts: list[Object], source_bytes: int | None) -> Object:
    settings = observation.settings
    return {
        "name": "compress",
        "image": settings.job_images[spec.job_image.name],
        "env": [
            {"name": JOB_INPUT_VARIABLE, "value": job_input(observation, spec, source_bytes).encode()},
            {"name": "TMPDIR", "value": f"{WORK_DIRECTORY}/tmp"},  # noqa: S108 - its own volume
            {"name": "HOME", "value": WORK_DIRECTORY},
        ],
        "resources": job_resources(spec, settings.default_resources, source_bytes),
        "securityContext": RESTRICTED_CONTAINER,
        "volumeMounts": mounts,
    }


def _architecture(image: JobImage) -> Object:
    """Returns the node selector that ``image`` needs; empty if it is built for every architecture."""
    if set(image.architectures) >= set(ARCHITECTURES):
        return {}
    return {"kubernetes.io/arch": image.architectures[0]}


def _fetch(compress: Object) -> Object:
    """Returns the container that fetches the converter's input before it runs: a copy of ``compress`` that may read
    only that."""
    mounts = [*compress["volumeMounts"], _mount("given", IN_DIRECTORY)]
    return {**compress, "name": FETCH, "args": ["--fetch-only"], "volumeMounts": mounts}


def _converter(observation: Observation, spec: EdgeModelSpec, converter: Converter) -> Object:
    """Returns the container of the user's converter. Its code is untrusted: it gets files, and no token, no Secret, no
    claim."""
    told = {WEIGHTS_VARIABLE: f"{IN_DIRECTORY}/{WEIGHTS_FILE}", MODEL_VARIABLE: converter.model}
    if "training" in spec.request.datasets:
        told[TRAINING_VARIABLE] = f"{IN_DIRECTORY}/{TRAINING_FILE}"
    temporary = {"TMPDIR": "/tmp", "HOME": "/tmp"}  # noqa: S108 - its own volume
    return {
        "name": CONVERTER,
        "image": converter.image,
        "args": list(converter.args),
        "env": [{"name": name, "value": value} for name, value in {**told, **temporary}.items()],
        "resources": with_defaults(TRAINER.name, converter.resources, observation.settings.default_resources),
        "securityContext": RESTRICTED_CONTAINER,
        # Its messages have no known form, so the end of its log explains a failure.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            _mount("given", IN_DIRECTORY, read_only=True),
            _mount("made", OUT_DIRECTORY),
            _mount("converter-tmp", "/tmp"),  # noqa: S108 - its own volume
        ],
    }


def _empty(name: str, limit: str) -> Object:
    return {"name": name, "emptyDir": {"sizeLimit": limit}}


def _mount(volume: str, path: str, *, read_only: bool = False) -> Object:
    return {"name": volume, "mountPath": path, **({"readOnly": True} if read_only else {})}


def job_input(observation: Observation, spec: EdgeModelSpec, source_bytes: int | None = None) -> JobInput:
    """Returns the input of the Job: the request, the place to publish to, and the chart's limits."""
    settings = observation.settings
    limit = source_limit(spec, settings.default_resources)
    return JobInput(
        model=observation.name,
        request=spec.request,
        target=PublishTarget(
            registry=settings.registry_push,
            repository=f"{observation.namespace}/{observation.name}",
            base=settings.server_image,
            server_layers=dict(settings.server_layers),
        ),
        plain_http_hosts=settings.plain_http_hosts,
        allowed_hosts=settings.allowed_source_hosts,
        progress_url=settings.progress_url,
        source_limit_bytes=limit if source_bytes is None else max(limit, source_bytes),
    )


def _volumes(observation: Observation, spec: EdgeModelSpec, work: str) -> tuple[list[Any], list[Any]]:
    volumes: list[Object] = [_empty("work", work)]
    mounts: list[Object] = [_mount("work", WORK_DIRECTORY)]
    sources = spec.request.sources
    secrets = [(use, source.secret) for use, source in sources.items() if source.secret]
    settings = observation.settings
    # There are two paths, because the compressor shows the first token to the registry, which may be the user's own.
    shown_to = [REGISTRY_TOKEN_FILE] if settings.registry_embedded else []
    shown_to += [PROGRESS_TOKEN_FILE] if settings.progress_url else []
    if shown_to:
        token = {"audience": REGISTRY_AUDIENCE, "expirationSeconds": TOKEN_SECONDS, "path": "token"}
        volumes.append({"name": "token", "projected": {"sources": [{"serviceAccountToken": token}]}})
    for file in shown_to:
        mounts.append(_mount("token", file.removesuffix("/token"), read_only=True))
    if settings.registry_push_secret and not settings.registry_embedded:
        secrets.append(("push", settings.registry_push_secret))
    for use, name in secrets:
        volumes.append({"name": f"secret-{use}", "secret": {"secretName": name}})
        mounts.append(_mount(f"secret-{use}", f"{SECRETS_DIRECTORY}/{use}", read_only=True))
    claims = {source.uri.split("/")[2] for source in sources.values() if source.uri.startswith("pvc://")}
    for claim in sorted(claims):
        volumes.append({"name": f"claim-{claim}", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}})
        mounts.append(_mount(f"claim-{claim}", f"{CLAIMS_DIRECTORY}/{claim}", read_only=True))
    return volumes, mounts
