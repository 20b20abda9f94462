"""The input that the operator hands to one compression Job: JSON in the environment variable
``EDGEMODEL_JOB_INPUT``.

Secrets are never part of it; they are mounted below SECRETS_DIRECTORY, in one folder per use (``source``, ``teacher``,
those of ``compression_request.DATASETS``, ``push``, ``base``), with the keys of the Secret as files:
``.dockerconfigjson`` for registries; ``username`` and ``password``, or ``token`` (bearer), for HTTP.
"""

import json
from dataclasses import dataclass, field
from typing import Final, Literal

from edgemodel.compression_request import CompressionRequest
from edgemodel.json_text import parse_json
from edgemodel.plain import from_plain, to_plain

JOB_INPUT_VARIABLE: Final = "EDGEMODEL_JOB_INPUT"
SECRETS_DIRECTORY: Final = "/var/run/secrets/edgemodel"
REGISTRY_TOKEN_FILE: Final = "/var/run/secrets/edgemodel/registry/token"  # noqa: S105 - a path, not a secret
"""A projected service-account token with the audience ``edgemodel-registry``; mounted only for the embedded
registry."""
CLAIMS_DIRECTORY: Final = "/claims"
"""The folder of claims: ``pvc://CLAIM/PATH`` is mounted read-only at ``/claims/CLAIM``."""
WORK_DIRECTORY: Final = "/work"


@dataclass(frozen=True)
class PublishTarget:
    """The repository that artifacts are published to, and the layers of their images below the model."""

    registry: str
    """The host and port that the Job pushes to."""
    repository: str
    """The repository, ``<namespace>/<model>``."""
    base: str
    """The image index of the inference server, ``host/repository@sha256:…``."""
    layer_compression: Literal["zstd", "gzip"] = "zstd"
    """The compression of the model's layer, zstd or gzip."""
    server_layers: dict[str, str] = field(default_factory=dict)
    """The reference ``host/repository@sha256:…`` of each named layer by its name; an artifact's runtime says which of
    them its image needs."""


@dataclass(frozen=True)
class JobInput:
    """The input of one compression Job."""

    model: str
    """The name of the EdgeModel."""
    request: CompressionRequest
    target: PublishTarget
    plain_http_hosts: tuple[str, ...] = ()
    """The registries without TLS, as host or host:port."""
    allowed_hosts: tuple[str, ...] = ()
    """The hosts that sources may come from, as host, host:port or ``*.domain``; empty: any."""
    progress_url: str = ""
    """The URL that the Job reports each new step to (``progress.StepBegun``); empty: it reports none."""

    source_limit_bytes: int | None = None
    """The size of the largest source that the Job's memory and disk are for. A larger one ends the Job before it is
    fetched, with its size in the report; None: any."""

    def encode(self) -> str:
        """Returns the input as compact JSON with sorted keys."""
        return json.dumps(to_plain(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> "JobInput":
        """Raises ValueError, which names the field, for a text that ``encode`` does not return."""
        return from_plain(cls, parse_json(text), "input")
