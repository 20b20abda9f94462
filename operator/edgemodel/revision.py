"""The spec of an EdgeModelRevision: the request, the artifacts, and all that a node runs.

It is immutable: what a node runs is read from it alone and never from today's spec, which may be the candidate's.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edgemodel.caller_signature import CallerSignature
from edgemodel.generation import Generation, KeyReference
from edgemodel.plain import from_api, to_api
from edgemodel.pull_secret import PullSecret
from edgemodel.report import ArtifactReport
from edgemodel.schema_version import SCHEMA_VERSION
from edgemodel.toleration import Toleration


@dataclass(frozen=True)
class RevisionConverter:
    """The converter that made the model of a source of weights."""

    image: str
    args: tuple[str, ...]
    writes: str
    digest: str | None = None
    """The digest of the file that the converter wrote."""


@dataclass(frozen=True)
class StatefulInput:
    """A state input of the model, and the output that feeds it."""

    input: str
    output: str


@dataclass(frozen=True)
class RevisionSource:
    """The source that the artifacts were made of."""

    uri: str
    digest: str
    """Digest of the OCI manifest for ``oci://``, otherwise of the file."""
    format: str
    converter: RevisionConverter | None = None
    stateful_inputs: tuple[StatefulInput, ...] = ()


@dataclass(frozen=True)
class RevisionFile:
    """A data set that the compression Job read, or the teacher, which has a format."""

    uri: str
    digest: str | None = None
    format: str | None = None


@dataclass(frozen=True)
class RevisionVariant:
    """A variant with its artifact, and how nodes serve it."""

    name: str
    steps: tuple[dict[str, Any], ...]
    node_selector: dict[str, str]
    resources: dict[str, Any]
    artifact: ArtifactReport

    @property
    def image(self) -> str:
        """The repository path and digest, without a host."""
        return self.artifact.image


@dataclass(frozen=True)
class ShadowReplay:
    """The settings of shadow replay."""

    max_requests: int
    """The number of recent requests that a server remembers, from 1."""


@dataclass(frozen=True)
class RevisionServing:
    """The serving settings that all variants share."""

    port: int
    strategy: str
    host_port: int | None = None
    tuning: dict[str, Any] = field(default_factory=dict)
    """The settings by the keys of ``serving.TUNING``; a server uses its defaults for those that are missing."""
    shadow_replay: ShadowReplay | None = None
    warm_up_seconds: int | None = None
    """The length of a server's warm-up; None: the server's default."""
    generate: Generation | None = None
    """The limits of a model that generates text; None: the defaults."""
    api_key_secret_ref: KeyReference | None = None
    """The key that clients must show; None: every client is served."""
    weights: str | None = None
    """``Mapped`` or ``Loaded``; None: the server decides by their size."""
    tolerations: tuple[Toleration, ...] = ()
    image_pull_secrets: tuple[PullSecret, ...] = ()
    """The Secrets of the spec, which the pods have besides those of the chart."""
    latency_objective_milliseconds: str | None = None
    """The latency that analysis judged by when the revision was made, a decimal string; None if no check had one."""
    first_token_objective_milliseconds: str | None = None
    """The time to the first token by which it judged, as above."""
    inter_token_objective_milliseconds: str | None = None
    """The time between two tokens by which it judged, as above."""


@dataclass(frozen=True)
class RevisionSpec:
    """The contents of ``spec``."""

    model: str
    spec_hash: str
    """The ``EdgeModelSpec.revision_hash`` of the spec that the revision was made for."""
    fingerprint: str
    retry_token: str
    source: RevisionSource
    datasets: dict[str, RevisionFile]
    variants: tuple[RevisionVariant, ...]
    """The variants, of which the default variant is the last."""
    server_image: str
    """The image that the artifacts were put on."""
    serving: RevisionServing
    teacher: RevisionFile | None = None
    signature: CallerSignature | None = None
    """The signature that callers rely on; None in revisions of earlier operators."""

    def to_json(self) -> dict[str, Any]:
        """Returns the ``spec`` of the object, with the version of its schema."""
        value: dict[str, Any] = {"schemaVersion": SCHEMA_VERSION, **to_api(self)}
        for variant in value["variants"]:
            artifact = variant["artifact"]
            del artifact["variant"]
            variant["image"] = artifact.pop("image")
        return value


def parse_revision(value: Mapping[str, Any]) -> RevisionSpec:
    """Returns what ``RevisionSpec.to_json`` wrote. Raises ValueError, which names the field, for anything else."""
    variants = value.get("variants")
    if isinstance(variants, list):
        value = {**value, "variants": [_with_whole_artifact(variant) for variant in variants]}
    return from_api(RevisionSpec, value, "spec")


def _with_whole_artifact(variant: Any) -> Any:
    """Returns ``variant`` with its name and image in its artifact too, where an ArtifactReport has them."""
    if not isinstance(variant, Mapping) or not isinstance(variant.get("artifact"), Mapping):
        return variant
    named = {"variant": variant.get("name"), "image": variant.get("image")}
    return {**variant, "artifact": {**named, **variant["artifact"]}}
