"""The request for a compression: one type from the spec to the Job, the pipeline and the command line.

A new input is a field here, read from the manifest here, and read again where it is used: a step names the field in
its ``StepType.reads`` and finds it in its context. Everything between passes the request on as a whole.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from functools import cached_property
from typing import Any, Final

from edgemodel.artifact import TransformSpec
from edgemodel.budget import Budget, parse_budget
from edgemodel.compressor_facts import SOURCE_FORMATS, STEP_DEFAULTS, STEP_READS
from edgemodel.converter import Converter
from edgemodel.digest import canonical_json
from edgemodel.json_text import parse_json
from edgemodel.names import DEFAULT_VARIANT, short_hash
from edgemodel.plain import from_plain, to_plain

ONNX: Final = "ONNX"
BY_CONTENT: Final = "Auto"
"""The format of a source whose format is inferred from its content."""
EXPORTED_PROGRAM: Final = "ExportedProgram"
"""The format of ``torch.export``."""
HUGGING_FACE: Final = "HuggingFace"
"""The format of folders of transformers, with settings, a tokenizer and safetensors."""
SAFETENSORS: Final = "Safetensors"
"""The format of weights alone, from which a user's converter makes a model of another format."""

SESSION_TUNING: Final[Mapping[str, Any]] = {"intraOpThreads": 1, "memoryArena": "Shrink"}
"""The settings of ``spec.serving.tuning`` that a session depends on, with their defaults."""

DATASETS: Final = ("calibration", "evaluation", "training", "unlabeled")
"""The uses of data sets."""

AUTO: Final = "Auto"
"""The value of ``spec.compression.evaluation.task`` with which the task is inferred from labels and outputs."""


@dataclass(frozen=True)
class Source:
    """A model or a data set, as a user gives it."""

    uri: str
    """The URI: ``oci://host/repository[:tag][@sha256:…]``, ``https://…``, ``http://…`` or ``pvc://claim/path``;
    locally, a path."""
    digest: str | None = None
    """The digest of the file for http, https and pvc; None for ``oci``, whose URI has it."""
    format: str = ONNX
    """The format of a model, or BY_CONTENT; empty for a data set."""
    secret: str | None = None
    """The name of the Secret with credentials."""
    converter: Converter | None = None
    """The converter of SAFETENSORS; None for every other format."""
    stateful_inputs: dict[str, str] = field(default_factory=dict)
    """Maps each input of a stateful model to the output that feeds it at the next step."""
    transforms: tuple[TransformSpec, ...] = ()
    """The transforms between the codec of requests and the model, the outermost first."""

    @property
    def expected_format(self) -> str:
        """The format that the source probably has, as far as that is known before it is fetched."""
        return format_of(self.uri) or ONNX if self.format == BY_CONTENT else self.format

    @property
    def model_format(self) -> str:
        """The format of the file that the compressor reads: the one that a converter writes, if there is one."""
        return self.converter.writes if self.converter is not None else self.format


@dataclass(frozen=True)
class Recipe:
    """The steps for one variant, as the manifest has them."""

    variant: str
    steps: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class EvaluationSettings:
    """``spec.compression.evaluation``: how answers are scored."""

    task: str = AUTO
    """The task: AUTO, or one of EVALUATION_TASKS."""
    settings: dict[str, str] = field(default_factory=dict)
    """The settings of tasks that are given, such as the tolerance of Regression."""

    def to_hash(self) -> dict[str, str | None]:
        """Returns what a hash is made of.

        ``tolerance`` has its place even if it is not given, as in the hashes of artifacts that exist.
        """
        return {"task": self.task, "tolerance": None, **self.settings}


@dataclass(frozen=True)
class CompressionRequest:
    """The complete request of one compression."""

    source: Source
    recipes: tuple[Recipe, ...] = (Recipe(DEFAULT_VARIANT, ()),)
    """The recipes, one per variant."""
    datasets: dict[str, Source] = field(default_factory=dict)
    """The data sets that are given, by use, which is one of DATASETS."""
    teacher: Source | None = None
    """The model that Distill learns from; None: the source."""
    budget: Budget = field(default_factory=Budget)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    golden_items: int = 64
    """The number of items in the golden set."""
    tuning: dict[str, Any] = field(default_factory=dict)
    """The settings of ``spec.serving.tuning`` that differ from SESSION_TUNING: latency is measured with those of the
    nodes."""

    @cached_property
    def fingerprint(self) -> str:
        """The hash of all that determines the artifacts, before they exist: 16 hexadecimal digits."""
        return short_hash(canonical_json(self.determining()).decode(), 16)

    def determining(self) -> dict[str, Any]:
        """Returns what determines the artifacts: source, data sets, steps, and whatever else one of the steps reads.

        A field that a step reads is left out while it has its default, and so is a field that was added later: a new
        hash of an unchanged spec would roll out every model when the operator is upgraded.
        """
        sources: dict[str, Source | None] = {"source": self.source}
        sources |= {use: self.datasets.get(use) for use in ("calibration", "evaluation")}
        sources |= self.datasets | ({"teacher": self.teacher} if self.teacher else {})
        source = self.source
        return {
            **{use: [given.uri, given.digest] if given else None for use, given in sources.items()},
            "format": source.format,
            "recipes": {recipe.variant: list(recipe.steps) for recipe in self.recipes},
            **({"teacherFormat": self.teacher.format} if self.teacher else {}),
            **({"converter": source.converter.to_json()} if source.converter else {}),
            **({"statefulInputs": source.stateful_inputs} if source.stateful_inputs else {}),
            **({"transforms": [one.to_json() for one in source.transforms]} if source.transforms else {}),
            **({"goldenItems": self.golden_items} if self.golden_items != CompressionRequest.golden_items else {}),
            **self._read_by_steps(),
        }

    @property
    def sources(self) -> dict[str, Source]:
        """Returns all that a compression Job fetches, by use."""
        return {"source": self.source, **self.datasets, **({"teacher": self.teacher} if self.teacher else {})}

    def only(self, reads: Iterable[str]) -> "CompressionRequest":
        """Returns the request with the source and the fields ``reads`` alone; all others have their defaults.

        A step gets this request, so it cannot read a field that it does not declare and that the fingerprint therefore
        lacks.
        """
        return replace(CompressionRequest(self.source), **{name: getattr(self, name) for name in reads})

    def encode(self) -> str:
        """Returns the request as compact JSON with sorted keys."""
        return json.dumps(to_plain(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str) -> "CompressionRequest":
        """Raises ValueError, which names the field, for a text that ``encode`` does not return."""
        return from_plain(cls, parse_json(text), "request")

    def _read_by_steps(self) -> dict[str, Any]:
        types = {str(step.get("type")) for recipe in self.recipes for step in recipe.steps}
        read = {name for kind in types for name in STEP_READS.get(kind, ())} - _DETERMINING
        default = CompressionRequest(self.source)
        return {
            name: _to_hash(getattr(self, name))
            for name in sorted(read)
            if getattr(self, name) != getattr(default, name)
        }


_DETERMINING: Final = frozenset({"source", "recipes", "datasets", "teacher", "golden_items"})
"""The fields that determine artifacts whatever the steps are."""
OPTIONAL_READS: Final = frozenset(one.name for one in fields(CompressionRequest)) - {"source", "recipes", "datasets"}
"""The fields that ``StepType.reads`` may name; source and data sets are open to every step."""


def parse_request(spec: Mapping[str, Any]) -> CompressionRequest:
    """Returns the request in a manifest's ``spec``. Raises KeyError, TypeError or ValueError for an invalid one."""
    compression, datasets = spec.get("compression") or {}, spec.get("datasets") or {}
    tuning = (spec.get("serving") or {}).get("tuning") or {}
    steps, evaluation = compression.get("steps") or (), compression.get("evaluation") or {}
    own = {item["name"]: item.get("compression") or {} for item in spec.get("variants") or ()}
    return CompressionRequest(
        source=parse_source(spec["source"], BY_CONTENT),
        recipes=(
            *(Recipe(name, complete_steps(given.get("steps", steps))) for name, given in own.items()),
            Recipe(DEFAULT_VARIANT, complete_steps(steps)),
        ),
        datasets={use: parse_source(datasets[use]) for use in DATASETS if use in datasets},
        teacher=parse_source(compression["teacher"]) if "teacher" in compression else None,
        budget=parse_budget(compression.get("budget") or {}),
        evaluation=parse_evaluation(evaluation),
        tuning={key: tuning[key] for key, usual in SESSION_TUNING.items() if tuning.get(key, usual) != usual},
    )


def parse_evaluation(value: Mapping[str, Any]) -> EvaluationSettings:
    """Returns the settings as a manifest has them; ``Evaluator`` checks their values."""
    return EvaluationSettings(value.get("task", AUTO), {name: text for name, text in value.items() if name != "task"})


def complete_steps(steps: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Returns the ``steps`` of a manifest with the defaults of the settings that they leave out.

    The API server fills in none: a default in an item of a list would differ from the manifest for ever. A step whose
    settings are all left out stays as it is.
    """
    return tuple(map(_complete, steps))


def _complete(step: Mapping[str, Any]) -> dict[str, Any]:
    key, defaults = STEP_DEFAULTS.get(str(step.get("type")), ("", {}))
    given = step.get(key)
    return {**step, key: {**defaults, **given}} if isinstance(given, Mapping) else dict(step)


def format_of(uri: str) -> str | None:
    """Returns the format that the suffix of a file name stands for; None if it stands for none."""
    return next((name for name, one in SOURCE_FORMATS.items() if one.suffix and uri.endswith(one.suffix)), None)


def parse_source(value: Mapping[str, Any], default_format: str = ONNX) -> Source:
    """Returns a source as a manifest has it. Raises KeyError or TypeError for one that is not valid."""
    converter = value.get("converter")
    return Source(
        uri=value["uri"],
        digest=value.get("digest"),
        format=value.get("format", default_format),
        secret=(value.get("secretRef") or {}).get("name"),
        converter=None
        if converter is None
        else Converter(
            image=converter["image"],
            args=tuple(converter.get("args") or ()),
            writes=converter.get("writes", EXPORTED_PROGRAM),
            resources=dict(converter.get("resources") or {}),
        ),
        stateful_inputs={item["input"]: item["output"] for item in value.get("statefulInputs") or ()},
    )


def _to_hash(value: Any) -> Any:
    return value.to_hash() if isinstance(value, EvaluationSettings) else to_plain(value, decimal=_shortest)


def _shortest(number: Decimal) -> str:
    """Returns the shortest text of a number, so that equal limits have equal texts: 1.0 and 1 are one limit."""
    return format(number.normalize(), "f")
