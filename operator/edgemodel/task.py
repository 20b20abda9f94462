"""What the operator asks of one compression Job: JSON in the environment variable ``EDGEMODEL_TASK``.

Secrets never travel in it; they are mounted below SECRETS_DIRECTORY, in one folder a use
(``source``, ``calibration``, ``evaluation``, ``push``, ``base``), with the keys of the Secret as files:
``.dockerconfigjson`` for registries; ``username`` and ``password``, or ``token`` (bearer), for HTTP.
"""

import json
from dataclasses import dataclass
from typing import Any

TASK_VARIABLE = "EDGEMODEL_TASK"
SECRETS_DIRECTORY = "/var/run/secrets/edgemodel"
REGISTRY_TOKEN_FILE = "/var/run/secrets/edgemodel/registry/token"  # noqa: S105 - a path, not a secret
"""A projected service-account token with the audience ``edgemodel-registry``; there only for the embedded registry."""
CLAIMS_DIRECTORY = "/claims"
"""``pvc://CLAIM/PATH`` is mounted read-only at ``/claims/CLAIM``."""
WORK_DIRECTORY = "/work"


@dataclass(frozen=True)
class Location:
    """Where bytes are: ``oci://host/repository[:tag][@sha256:…]``, ``https://…``, ``http://…`` or ``pvc://claim/path``."""

    uri: str
    digest: str | None = None
    """Of the file for http, https and pvc. For ``oci`` the digest stands in the URI."""


@dataclass(frozen=True)
class Recipe:
    """The steps for one variant; ``steps`` as they stand in the manifest."""

    variant: str
    steps: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Target:
    """Where artifacts go: ``base`` is the server image they are layered on."""

    registry: str
    """Host and port that the Job pushes to."""
    repository: str
    """``<namespace>/<model>``."""
    base: str
    """``host/repository@sha256:…`` of the inference-server image index."""
    layer_compression: str = "zstd"
    """zstd or gzip."""


@dataclass(frozen=True)
class Task:
    namespace: str
    model: str
    fingerprint: str
    source: Location
    source_format: str
    calibration: Location | None
    evaluation: Location | None
    recipes: tuple[Recipe, ...]
    budget: dict[str, Any]
    """``spec.compression.budget`` as it stands in the manifest; empty: nothing is judged."""
    target: Target
    golden_items: int = 64
    plain_http_hosts: tuple[str, ...] = ()
    """Registries spoken to without TLS, as host or host:port."""
    allowed_hosts: tuple[str, ...] = ()
    """Hosts that sources may come from, as host, host:port or ``*.domain``; empty: any."""

    def encode(self) -> str:
        return json.dumps(_plain(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> "Task":
        """Raises ValueError, KeyError or TypeError when ``text`` is not what ``encode`` gives."""
        value = json.loads(text)
        return cls(
            namespace=value["namespace"],
            model=value["model"],
            fingerprint=value["fingerprint"],
            source=Location(**value["source"]),
            source_format=value["source_format"],
            calibration=Location(**value["calibration"]) if value["calibration"] else None,
            evaluation=Location(**value["evaluation"]) if value["evaluation"] else None,
            recipes=tuple(Recipe(item["variant"], tuple(item["steps"])) for item in value["recipes"]),
            budget=value["budget"],
            target=Target(**value["target"]),
            golden_items=value["golden_items"],
            plain_http_hosts=tuple(value["plain_http_hosts"]),
            allowed_hosts=tuple(value["allowed_hosts"]),
        )


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
