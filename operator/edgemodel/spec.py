"""An EdgeModel's spec as types, and what is derived from it before anything runs.

The schema in ``crds/`` validates and fills in defaults; the defaults here are the same, for callers
that have no API server (the command line, tests).
"""

from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any

from edgemodel.analysis import WITHOUT_SPEC, Analysis, parse_analysis
from edgemodel.converter import Converter
from edgemodel.digest import canonical_json
from edgemodel.names import DEFAULT_VARIANT, short_hash
from edgemodel.task import Location, Recipe

EXPORTED_PROGRAM = "ExportedProgram"
"""``torch.export``'s format, beside ONNX."""
SAFETENSORS = "Safetensors"
"""Weights alone, of which a converter of the user's makes a model of another format."""
DATASETS = ("calibration", "evaluation", "training", "unlabeled")


@dataclass(frozen=True)
class Source:
    uri: str
    digest: str | None = None
    format: str = "ONNX"
    secret: str | None = None
    converter: Converter | None = None
    """Of SAFETENSORS, and of no other format."""
    stateful_inputs: dict[str, str] = field(default_factory=dict)
    """Maps each input of a stateful model to the output that feeds it at the next step."""

    @property
    def location(self) -> Location:
        return Location(self.uri, self.digest)


@dataclass(frozen=True)
class Compression:
    steps: tuple[dict[str, Any], ...] = ()
    budget: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)
    """``task`` and ``tolerance``; what is not there is found out."""
    resources: dict[str, Any] = field(default_factory=dict)
    deadline: timedelta = timedelta(seconds=3600)


@dataclass(frozen=True)
class Variant:
    """Nodes of one kind: the first variant whose ``node_selector`` matches a node is the node's."""

    name: str
    node_selector: dict[str, str]
    steps: tuple[dict[str, Any], ...]
    resources: dict[str, Any]


@dataclass(frozen=True)
class Serving:
    port: int = 8080
    host_port: int | None = None
    resources: dict[str, Any] = field(default_factory=dict)
    strategy: str = "Surge"
    tuning: dict[str, Any] = field(default_factory=dict)
    """By the keys of ``serving.TUNING``; what is not there has the server's default."""
    shadow_replay_max_requests: int = 0
    """The latest requests that a server remembers for a candidate; 0: none, and no replay."""


@dataclass(frozen=True)
class Wave:
    """Nodes that switch together: ``nodes`` of them or ``percent`` of those that can, the waves before included."""

    name: str
    nodes: int | None = None
    percent: int | None = None


DEFAULT_WAVES = (Wave("canary", nodes=1), Wave("tenth", percent=10), Wave("all", percent=100))


@dataclass(frozen=True)
class Rollout:
    waves: tuple[Wave, ...] = DEFAULT_WAVES
    soak: timedelta = timedelta(seconds=300)
    node_ready_timeout: timedelta = timedelta(seconds=600)
    max_failed_nodes: int = 0
    bake: timedelta = timedelta(seconds=1800)
    retry_token: str = ""
    progress_deadline: timedelta = timedelta(seconds=3600)
    paused: bool = False


@dataclass(frozen=True)
class PreflightSpec:
    """A Job on one node of each hardware class, before the first wave."""

    node_selector: dict[str, str]
    """Of the nodes that may take part, besides the placement's."""
    hardware_class_labels: tuple[str, ...] = ()
    """Node labels that tell hardware classes apart, besides variant and architecture."""
    max_latency_milliseconds: str | None = None
    """Of the median; a decimal string."""
    deadline: timedelta = timedelta(seconds=600)


@dataclass(frozen=True)
class EdgeModelSpec:
    source: Source
    node_selector: dict[str, str]
    tolerations: tuple[dict[str, Any], ...] = ()
    datasets: dict[str, Source] = field(default_factory=dict)
    """By use: those of DATASETS that are given."""
    teacher: Source | None = None
    """What Distill learns from; None: the source."""
    compression: Compression = Compression()
    variants: tuple[Variant, ...] = ()
    """Ends with the default variant, which matches every node."""
    serving: Serving = Serving()
    rollout: Rollout = Rollout()
    analysis: Analysis = WITHOUT_SPEC
    revision_history_limit: int = 5
    preflight: PreflightSpec | None = None
    """None: the first node that serves an artifact is the first of its kind that it runs on."""

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        return tuple(Recipe(variant.name, variant.steps) for variant in self.variants)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of what determines the artifacts before they exist: source, data sets and every variant's steps."""
        return short_hash(canonical_json(self._artifact_inputs()).decode(), 16)

    @cached_property
    def revision_hash(self) -> str:
        """Hash of what a node runs: the fingerprint's inputs and the serving template, tolerations included.

        What is added here later must be left out while it has its default: another hash of an unchanged spec would
        roll out every model at the operator's upgrade.

        Waves, limits, selectors and the preflight are not in it, so that tuning them starts nothing. The retry token
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
        if self.tolerations:
            serving["tolerations"] = list(self.tolerations)
        return short_hash(canonical_json([self._artifact_inputs(), serving]).decode(), 10)

    @cached_property
    def attempt_hash(self) -> str:
        """Hash of what a compression Job does and may read: a relaxed budget is judged anew, a new Secret is tried."""
        compression = self.compression
        what = [
            self._artifact_inputs(),
            [source.secret if source is not None else None for source in self._sources().values()],
            compression.budget,
            compression.resources,
            compression.deadline.total_seconds(),
            self.rollout.retry_token,
            *([compression.evaluation] if compression.evaluation else []),
            *([self.source.converter.resources] if self.source.converter else []),
        ]
        return short_hash(canonical_json(what).decode(), 10)

    @property
    def needs_torch(self) -> bool:
        """Whether its compression Job reads an ExportedProgram, or runs a converter, which mostly writes one."""
        models = (self.source, self.teacher)
        return any(model is not None and model.format in (EXPORTED_PROGRAM, SAFETENSORS) for model in models)

    @property
    def read_by_job(self) -> dict[str, Source]:
        """All that the compression Job reads, by use."""
        return {use: source for use, source in self._sources().items() if source is not None}

    def _sources(self) -> dict[str, Source | None]:
        """By use. Those that came later are left out where they are not given: hashes stay what they were."""
        sources: dict[str, Source | None] = {"source": self.source}
        sources |= {use: self.datasets.get(use) for use in ("calibration", "evaluation")}
        return sources | self.datasets | ({"teacher": self.teacher} if self.teacher else {})

    def _artifact_inputs(self) -> dict[str, Any]:
        places = {use: [source.uri, source.digest] if source else None for use, source in self._sources().items()}
        recipes = {recipe.variant: list(recipe.steps) for recipe in self.recipes}
        teacher = {"teacherFormat": self.teacher.format} if self.teacher else {}
        converter = {"converter": self.source.converter.to_json()} if self.source.converter else {}
        stateful = {"statefulInputs": self.source.stateful_inputs} if self.source.stateful_inputs else {}
        return {**places, "format": self.source.format, "recipes": recipes, **teacher, **converter, **stateful}


def parse_spec(spec: dict[str, Any]) -> EdgeModelSpec:
    """``spec`` of a manifest that the schema has let through. Raises KeyError when it has not."""
    datasets = spec.get("datasets") or {}
    compression = spec.get("compression") or {}
    placement = spec.get("placement") or {}
    serving = spec.get("serving") or {}
    steps = tuple(compression.get("steps") or ())
    resources = serving.get("resources") or {}
    return EdgeModelSpec(
        source=_source(spec["source"]),
        node_selector=dict(placement.get("nodeSelector") or {}),
        tolerations=tuple(placement.get("tolerations") or ()),
        datasets={use: _source(datasets[use]) for use in DATASETS if use in datasets},
        teacher=_source(compression["teacher"]) if "teacher" in compression else None,
        compression=Compression(
            steps=steps,
            budget=dict(compression.get("budget") or {}),
            evaluation=dict(compression.get("evaluation") or {}),
            resources=dict(compression.get("resources") or {}),
            deadline=timedelta(seconds=compression.get("deadlineSeconds", 3600)),
        ),
        variants=(
            *(_variant(item, steps, resources) for item in spec.get("variants") or ()),
            Variant(DEFAULT_VARIANT, {}, steps, resources),
        ),
        serving=Serving(
            port=serving.get("port", 8080),
            host_port=serving.get("hostPort"),
            resources=resources,
            strategy=serving.get("strategy", "Surge"),
            tuning=dict(serving.get("tuning") or {}),
            shadow_replay_max_requests=(serving.get("shadowReplay") or {}).get("maxRequests", 0),
        ),
        rollout=_rollout(spec.get("rollout") or {}),
        analysis=parse_analysis(spec.get("analysis")),
        revision_history_limit=spec.get("revisionHistoryLimit", 5),
        preflight=_preflight(spec["preflight"]) if "preflight" in spec else None,
    )


def _source(value: dict[str, Any]) -> Source:
    return Source(
        uri=value["uri"],
        digest=value.get("digest"),
        format=value.get("format", "ONNX"),
        secret=(value.get("secretRef") or {}).get("name"),
        converter=_converter(value["converter"]) if "converter" in value else None,
        stateful_inputs={item["input"]: item["output"] for item in value.get("statefulInputs") or ()},
    )


def _converter(value: dict[str, Any]) -> Converter:
    return Converter(
        image=value["image"],
        args=tuple(value.get("args") or ()),
        writes=value.get("writes", EXPORTED_PROGRAM),
        resources=dict(value.get("resources") or {}),
    )


def _variant(value: dict[str, Any], steps: tuple[dict[str, Any], ...], resources: dict[str, Any]) -> Variant:
    own = value.get("compression") or {}
    return Variant(
        name=value["name"],
        node_selector=dict(value["nodeSelector"]),
        steps=tuple(own["steps"]) if "steps" in own else steps,
        resources=(value.get("serving") or {}).get("resources") or resources,
    )


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
        bake=seconds("bakeSeconds", 1800),
        retry_token=value.get("retryToken", ""),
        progress_deadline=seconds("progressDeadlineSeconds", 3600),
        paused=value.get("paused", False),
    )
