"""What the operator asks of one compression Job: JSON in the environment variable ``EDGEMODEL_TASK``.

Secrets never travel in it; they are mounted below SECRETS_DIRECTORY, in one folder a use
(``source``, ``teacher``, those of ``spec.DATASETS``, ``push``, ``base``), with the keys of the Secret as files:
``.dockerconfigjson`` for registries; ``username`` and ``password``, or ``token`` (bearer), for HTTP.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from edgemodel.converter import Converter

TASK_VARIABLE = "EDGEMODEL_TASK"
SECRETS_DIRECTORY = "/var/run/secrets/edgemodel"
REGISTRY_TOKEN_FILE = "/var/run/secrets/edgemodel/registry/token"  # noqa: S105 - a path, not a secret
"""A projected service-account token with the audience ``edgemodel-registry``; there only for the embedded registry."""
CLAIMS_DIRECTORY = "/claims"
"""``pvc://CLAIM/PATH`` is mounted read-only at ``/claims/CLAIM``."""
WORK_DIRECTORY = "/work"

AUTO = "Auto"
EVALUATION_TASKS = (AUTO, "Classification", "MultiLabel", "Regression", "Detection", "Embedding", "Sequence")
"""``spec.compression.evaluation.task``: what the labels mean. Auto: told from the shape of label and outputs."""


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
class Task:
    namespace: str
    model: str
    fingerprint: str
    source: Location
    source_format: str
    datasets: dict[str, Location]
    """By use: those of ``spec.DATASETS`` that are given."""
    recipes: tuple[Recipe, ...]
    budget: dict[str, Any]
    """``spec.compression.budget`` as it stands in the manifest; empty: nothing is judged."""
    target: Target
    golden_items: int = 64
    plain_http_hosts: tuple[str, ...] = ()
    """Registries spoken to without TLS, as host or host:port."""
    evaluation_task: str = AUTO
    """One of EVALUATION_TASKS."""
    tolerance: str | None = None
    """Of the task Regression, a decimal text."""
    teacher: Location | None = None
    teacher_format: str = "ONNX"
    progress_url: str = ""
    """Where it tells each step that it begins (``steps.StepBegun``); empty: nowhere."""
    allowed_hosts: tuple[str, ...] = ()
    """Hosts that sources may come from, as host, host:port or ``*.domain``; empty: any."""
    converter: Converter | None = None
    """What makes a model of the source, which is then the file that it has written."""
    stateful_inputs: dict[str, str] = field(default_factory=dict)
    """By input of the source: its output that is this input at the next step."""

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
            datasets={use: Location(**place) for use, place in value["datasets"].items()},
            recipes=tuple(Recipe(item["variant"], tuple(item["steps"])) for item in value["recipes"]),
            budget=value["budget"],
            target=Target(**value["target"]),
            golden_items=value["golden_items"],
            plain_http_hosts=tuple(value["plain_http_hosts"]),
            evaluation_task=value["evaluation_task"],
            tolerance=value["tolerance"],
            teacher=Location(**value["teacher"]) if value["teacher"] else None,
            teacher_format=value["teacher_format"],
            progress_url=value["progress_url"],
            allowed_hosts=tuple(value["allowed_hosts"]),
            converter=_converter(value["converter"]) if value["converter"] else None,
            stateful_inputs=dict(value["stateful_inputs"]),
        )


def _converter(value: dict[str, Any]) -> Converter:
    return Converter(**{**value, "args": tuple(value["args"])})


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
