"""The input that the operator hands to one compression Job: JSON in the environment variable ``EDGEMODEL_JOB_INPUT``.

Secrets never travel in it; they are mounted below SECRETS_DIRECTORY, in one folder a use
(``source``, ``teacher``, those of ``compression_request.DATASETS``, ``push``, ``base``), with the keys of the Secret
as files: ``.dockerconfigjson`` for registries; ``username`` and ``password``, or ``token`` (bearer), for HTTP.
"""

import json
from dataclasses import dataclass, field
from typing import Final

from edgemodel.compression_request import CompressionRequest
from edgemodel.plain import from_plain, to_plain

JOB_INPUT_VARIABLE: Final = "EDGEMODEL_JOB_INPUT"
SECRETS_DIRECTORY: Final = "/var/run/secrets/edgemodel"
REGISTRY_TOKEN_FILE: Final = "/var/run/secrets/edgemodel/registry/token"  # noqa: S105 - a path, not a secret
"""A projected service-account token with the audience ``edgemodel-registry``; there only for the embedded registry."""
CLAIMS_DIRECTORY: Final = "/claims"
"""``pvc://CLAIM/PATH`` is mounted read-only at ``/claims/CLAIM``."""
WORK_DIRECTORY: Final = "/work"


@dataclass(frozen=True)
class PublishTarget:
    """The place that artifacts are published to, and what their images are made of below the model."""

    registry: str
    """Host and port that the Job pushes to."""
    repository: str
    """``<namespace>/<model>``."""
    base: str
    """``host/repository@sha256:…`` of the inference-server image index."""
    layer_compression: str = "zstd"
    """zstd or gzip."""
    server_layers: dict[str, str] = field(default_factory=dict)
    """``host/repository@sha256:…`` of each named layer that there is, by its name; an artifact's runtime says which of
    them its image needs."""


@dataclass(frozen=True)
class JobInput:
    model: str
    """The name of the EdgeModel."""
    request: CompressionRequest
    target: PublishTarget
    plain_http_hosts: tuple[str, ...] = ()
    """Registries spoken to without TLS, as host or host:port."""
    allowed_hosts: tuple[str, ...] = ()
    """Hosts that sources may come from, as host, host:port or ``*.domain``; empty: any."""
    progress_url: str = ""
    """Where the Job reports each step that it begins (``progress.StepBegun``); empty: nowhere."""

    def encode(self) -> str:
        return json.dumps(to_plain(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> "JobInput":
        """Raises ValueError, which names the field, for a text that ``encode`` does not give."""
        return from_plain(cls, json.loads(text), "input")
