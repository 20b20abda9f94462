"""An EdgeModel's spec as types, and the values derived from it before anything runs.

The schema in ``crds/`` validates and fills in defaults; the defaults here are the same, for callers
that have no API server (the command line, tests).
"""

from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any

from edgemodel.analysis import WITHOUT_SPEC, Analysis, parse_analysis
from edgemodel.compression_request import CompressionRequest, parse_request
from edgemodel.compressor_facts import SOURCE_FORMATS
from edgemodel.digest import canonical_json
from edgemodel.generation import Generation, KeyReference, parse_generation, parse_key_reference
from edgemodel.job_images import JobImage, image_for
from edgemodel.names import DEFAULT_VARIANT, short_hash
from edgemodel.plain import to_api, to_plain
from edgemodel.pull_secret import PullSecret, parse_pull_secret
from edgemodel.toleration import Toleration, parse_toleration


@dataclass(frozen=True)
class CompressionJobSettings:
    """The resources of the compression Job; the CompressionRequest says what it does."""

    resources: dict[str, Any] = field(default_factory=dict)
    deadline: timedelta = timedelta(seconds=3600)


@dataclass(frozen=True)
class Variant:
    """A group of nodes: a node belongs to the first variant whose ``node_selector`` matches it."""

    name: str
    node_selector: dict[str, str]
    resources: dict[str, Any]


@dataclass(frozen=True)
class Serving:
    """The settings of ``spec.serving`` that all variants share."""

    port: int = 8080
    host_port: int | None = None
    resources: dict[str, Any] = field(default_factory=dict)
    strategy: str = "Surge"
    tuning: dict[str, Any] = field(default_factory=dict)
    """The settings by the keys of ``serving.TUNING``; a server uses its defaults for those that are missing."""
    shadow_replay_max_requests: int = 0
    """The number of latest requests that a server remembers for a candidate; 0: none, and no replay."""
    warm_up_seconds: int | None = None
    """The length of a server's warm-up; None: the server's default, ``metrics.WARM_UP_SECONDS``."""
    generate: Generation | None = None
    """The limits of a model that generates text; None: the defaults."""
    api_key_secret_ref: KeyReference | None = None
    """The key that clients must show; None: every client is served."""
    weights: str | None = None
    """``Mapped`` or ``Loaded``; None: the server decides by their size."""


@dataclass(frozen=True)
class Wave:
    """A wave: after it, ``nodes`` nodes or ``percent`` of all eligible nodes have switched, including the earlier
    waves."""

    name: str
    nodes: int | None = None
    percent: int | None = None


DEFAULT_WAVES = (Wave("canary", nodes=1), Wave("tenth", percent=10), Wave("all", percent=100))


@dataclass(frozen=True)
class Rollout:
    """The settings of ``spec.rollout``."""

    waves: tuple[Wave, ...] = DEFAULT_WAVES
    soak: timedelta = timedelta(seconds=300)
    node_ready_timeout: timedelta = timedelta(seconds=600)
    max_failed_nodes: int = 0
    control_nodes: int = 0
    """The number of nodes that stay on stable until the bake is through; waves count the others."""
    bake: timedelta = timedelta(seconds=1800)
    retry_token: str = ""
    progress_deadline: timedelta = timedelta(seconds=3600)
    paused: bool = False
    accept_signature: str = ""
    """The hash of a ``CallerSignature`` that may replace another one although it breaks callers."""


@dataclass(frozen=True)
class PreflightSpec:
    """A Job on one node of each hardware class, before the first wave."""

    node_selector: dict[str, str]
    """The labels of the nodes that may take part, besides the placement's."""
    hardware_class_labels: tuple[str, ...] = ()
    """The node labels that distinguish hardware classes, besides variant and architecture."""
    max_latency_milliseconds: str | None = None
    """The limit of the median, a decimal string; None: no limit."""
    deadline: timedelta = timedelta(seconds=600)


@dataclass(frozen=True)
class EdgeModelSpec:
    """The contents of ``spec``."""

    request: CompressionRequest
    """The request for the compression, with a recipe for each of ``variants``."""
    node_selector: dict[str, str]
    tolerations: tuple[Toleration, ...] = ()
    image_pull_secrets: tuple[PullSecret, ...] = ()
    compression_job: CompressionJobSettings = CompressionJobSettings()
    variants: tuple[Variant, ...] = ()
    """The variants, of which the last is the default variant, which matches every node."""
    serving: Serving = Serving()
    rollout: Rollout = Rollout()
    analysis: Analysis = WITHOUT_SPEC
    revision_history_limit: int = 5
    preflight: PreflightSpec | None = None
    """The preflight; None if the first wave is the first to run an artifact on its hardware."""

    @cached_property
    def revision_hash(self) -> str:
        """The hash of what a node runs: the fingerprint's inputs and the serving template, including tolerations
        and pull secrets.

        A field that is added later must be left out while it has its default: a new hash of an unchanged spec would
        roll out every model when the operator is upgraded.

        Waves, limits, selectors and the preflight are not in it, so that changing them starts nothing. The retry token
        is: changing it makes a rejected revision a new one.
        """
        serving: dict[str, Any] = {
            "port": self.serving.port,
            "hostPort": self.serving.host_port,
            "resources": {variant.name: variant.resources for variant in self.variants},
            "strategy": self.serving.strategy,
            "retryToken": self.rollout.retry_token,
        }
        if self.serving.tuning:
            serving["tuning"] = self.serving.tuning
        if self.serving.shadow_replay_max_requests:
            serving["shadowReplay"] = self.serving.shadow_replay_max_requests
        if self.serving.warm_up_seconds is not None:
            serving["warmUpSeconds"] = self.serving.warm_up_seconds
        if self.serving.generate is not None:
            serving["generate"] = to_api(self.serving.generate)
        if self.serving.api_key_secret_ref is not None:
            serving["apiKeySecretRef"] = to_api(self.serving.api_key_secret_ref)
        if self.serving.weights is not None:
            serving["weights"] = self.serving.weights
        if self.tolerations:
            serving["tolerations"] = to_api(self.tolerations)
        if self.image_pull_secrets:
            serving["imagePullSecrets"] = self._pull_secret_names
        return short_hash(canonical_json([self.request.determining(), serving]).decode(), 10)

    @cached_property
    def attempt_hash(self) -> str:
        """The hash of what a compression Job does and may read: a relaxed budget is judged again, another Secret
        is tried."""
        request, job = self.request, self.compression_job
        what = [
            request.determining(),
            {use: source.secret for use, source in request.sources.items()},
            to_plain(request.budget),
            request.evaluation.to_hash(),
            job.resources,
            job.deadline.total_seconds(),
            self.rollout.retry_token,
            *([request.source.converter.resources] if request.source.converter else []),
            *([{"imagePullSecrets": self._pull_secret_names}] if self.image_pull_secrets else []),
        ]
        return short_hash(canonical_json(what).decode(), 10)

    @property
    def _pull_secret_names(self) -> list[str]:
        """Returns the names in one order, since a node tries all of the Secrets."""
        return sorted(secret.name for secret in self.image_pull_secrets)

    @property
    def job_image(self) -> JobImage:
        """The image of its compression Job: that which the formats of the source and the teacher need.

        A format that is told by the content alone is taken for the one that the URI ends with, or ONNX.
        """
        models = [model for model in (self.request.source, self.request.teacher) if model is not None]
        formats = [model.expected_format for model in models]
        return image_for(SOURCE_FORMATS[one].image for one in formats if one in SOURCE_FORMATS)


def parse_spec(spec: dict[str, Any]) -> EdgeModelSpec:
    """Returns the ``spec`` of a manifest. Raises KeyError, TypeError or ValueError for one that the schema refuses."""
    compression = spec.get("compression") or {}
    placement = spec.get("placement") or {}
    serving = spec.get("serving") or {}
    resources = serving.get("resources") or {}
    return EdgeModelSpec(
        request=parse_request(spec),
        node_selector=dict(placement.get("nodeSelector") or {}),
        tolerations=tuple(map(parse_toleration, placement.get("tolerations") or ())),
        image_pull_secrets=tuple(map(parse_pull_secret, spec.get("imagePullSecrets") or ())),
        compression_job=CompressionJobSettings(
            resources=dict(compression.get("resources") or {}),
            deadline=timedelta(seconds=compression.get("deadlineSeconds", 3600)),
        ),
        variants=(
            *(_variant(item, resources) for item in spec.get("variants") or ()),
            Variant(DEFAULT_VARIANT, {}, resources),
        ),
        serving=Serving(
            port=serving.get("port", 8080),
            host_port=serving.get("hostPort"),
            resources=resources,
            strategy=serving.get("strategy", "Surge"),
            tuning=dict(serving.get("tuning") or {}),
            shadow_replay_max_requests=(serving.get("shadowReplay") or {}).get("maxRequests", 0),
            warm_up_seconds=serving.get("warmUpSeconds"),
            generate=parse_generation(serving["generate"]) if "generate" in serving else None,
            api_key_secret_ref=(
                parse_key_reference(serving["apiKeySecretRef"], "spec.serving.apiKeySecretRef")
                if "apiKeySecretRef" in serving
                else None
            ),
            weights=serving.get("weights"),
        ),
        rollout=_rollout(spec.get("rollout") or {}),
        analysis=parse_analysis(spec.get("analysis")),
        revision_history_limit=spec.get("revisionHistoryLimit", 5),
        preflight=_preflight(spec["preflight"]) if "preflight" in spec else None,
    )


def _variant(value: dict[str, Any], resources: dict[str, Any]) -> Variant:
    own = (value.get("serving") or {}).get("resources")
    return Variant(name=value["name"], node_selector=dict(value["nodeSelector"]), resources=own or resources)


def _preflight(value: dict[str, Any]) -> PreflightSpec:
    return PreflightSpec(
        node_selector=dict(value["nodeSelector"]),
        hardware_class_labels=tuple(value.get("hardwareClassLabels") or ()),
        max_latency_milliseconds=value.get("maxLatencyMilliseconds"),
        deadline=timedelta(seconds=value.get("deadlineSeconds", 600)),
    )


def _rollout(value: dict[str, Any]) -> Rollout:
    def seconds(key: str, default: int) -> timedelta:
        return timedelta(seconds=value.get(key, default))

    waves = tuple(Wave(item["name"], item.get("nodes"), item.get("percent")) for item in value.get("waves") or ())
    return Rollout(
        waves=waves or DEFAULT_WAVES,
        soak=seconds("soakSeconds", 300),
        node_ready_timeout=seconds("nodeReadyTimeoutSeconds", 600),
        max_failed_nodes=value.get("maxFailedNodes", 0),
        control_nodes=value.get("controlNodes", 0),
        bake=seconds("bakeSeconds", 1800),
        retry_token=value.get("retryToken", ""),
        progress_deadline=seconds("progressDeadlineSeconds", 3600),
        paused=value.get("paused", False),
        accept_signature=value.get("acceptSignature", ""),
    )
