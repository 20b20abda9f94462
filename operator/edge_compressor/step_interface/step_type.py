"""The type of a step, its context, and settings and checks that steps share."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import onnx

from edge_compressor.checkpoints.store import Checkpoints
from edge_compressor.datasets import Dataset
from edge_compressor.models.model_file import ModelFile
from edge_compressor.models.onnx_model import nodes
from edge_compressor.progress import Progress
from edgemodel import reasons, setting_kinds
from edgemodel.compression_request import EXPORTED_PROGRAM, CompressionRequest, Source
from edgemodel.error_words import in_words
from edgemodel.errors import Stalled
from edgemodel.setting_kinds import Flag, Setting, Settings, Texts


@dataclass(frozen=True)
class StepContext:
    """The inputs of a step besides the model."""

    name: str
    """The name of the step, e.g. ``int8``, for messages."""
    folder: Path
    """The absolute path of an empty folder for the result and intermediate files."""
    calibration: Dataset | None
    progress: Progress
    request: CompressionRequest = field(default_factory=lambda: CompressionRequest(Source("")))
    """The request with only those fields that the step type declares in ``reads``; others have their defaults."""
    source: ModelFile | None = None
    """The source as ONNX, with which gates compare."""
    selection: Dataset | None = None
    """Labelled samples for selection; none of them is in the set for the report."""
    training: Dataset | None = None
    unlabeled: Dataset | None = None
    """Unlabelled inputs from the domain in which the model will serve."""
    teacher: Path | None = None
    """A model for the same task, ``.pt2`` or ``.onnx``; None: the source is the teacher."""
    program: Path | None = None
    """The source as ``.pt2``; None if it has another format."""
    checkpoints: Checkpoints | None = None
    """The store of checkpoints; None: training keeps none."""
    key: str = ""
    """The digest of all that determines the step's input and result."""
    notes: dict[str, Any] = field(default_factory=dict)
    """Filled by the step: information for the manifest in addition to its settings."""


Apply = Callable[[Path, Settings, StepContext], Path]
"""A function that makes a new model from one, with these settings."""


@dataclass(frozen=True)
class StepType:
    """A step type of the manifest.

    ``settings`` are its keys. A function of ``apply`` returns the path of the new model and leaves the old one alone;
    it raises Stalled(StepFailed) when the step cannot be applied to this model.
    """

    type: str
    doc: str
    """One or two sentences for ``kubectl explain``."""
    settings: Mapping[str, Setting]
    apply: Mapping[str, Apply]
    """The function for each model format. The one for EXPORTED_PROGRAM trains; it requires a source in that format that
    no earlier step has converted to ONNX."""
    trains_if: str = ""
    """The whole-number setting that decides whether a step that can do both trains: it does so above 0."""
    needs: tuple[str, ...] = ()
    """The required datasets: calibration, evaluation, training, unlabeled. With ``trains_if``, they are required only
    if it trains."""
    reads: tuple[str, ...] = ()
    """The fields of the CompressionRequest that it reads in addition to settings, source and datasets: ``budget``,
    ``evaluation``, ``teacher``. They determine its result, so they are part of the fingerprint."""
    ends_training: bool = False
    """True if it converts a trainable model to ONNX."""
    changes_function: bool = False
    """True if it trains or prunes, so that answers differ from the source's on purpose, and their error means
    nothing."""
    streams: bool = False
    """True if it reads one weight after the other, and holds no large model as a whole."""
    selects: bool = False
    """True if it selects with labelled samples, which the report then does not use."""

    def takes(self, model_format: str, settings: Settings) -> bool:
        """Returns True if the step runs on a model of ``model_format`` with these settings."""
        if self.trains_if and (model_format == EXPORTED_PROGRAM) != bool(settings[self.trains_if] > 0):
            return False
        return model_format in self.apply

    @property
    def trains(self) -> bool:
        """True if the step trains with at least some settings."""
        return EXPORTED_PROGRAM in self.apply

    @property
    def when_it_trains(self) -> str:
        """The training form of the step, for messages."""
        return f"{self.type} with {self.trains_if}" if self.trains_if else self.type

    @property
    def what_trains(self) -> str:
        """The part to leave out of a manifest whose model cannot be trained, for messages."""
        return self.trains_if or "the step"

    @property
    def key(self) -> str:
        """The key of the settings in the manifest: ``QuantizeStatic`` -> ``quantizeStatic``."""
        return setting_kinds.settings_key(self.type)


def failed(step: str, message: str) -> Stalled:
    """Returns the error of a step that cannot do its work."""
    return Stalled(reasons.STEP_FAILED, f"step {step}: {message}")


def resolve(step: StepType, name: str, given: Settings) -> dict[str, Any]:
    """Returns ``given`` with the defaults filled in. Raises Stalled(StepFailed) for an unknown or invalid setting."""
    try:
        return setting_kinds.resolve(step.key, step.settings, given)
    except ValueError as error:
        raise failed(name, in_words(error)) from error


def check_selection(
    model: onnx.ModelProto, settings: Settings, context: StepContext, *, can: Iterable[str], verb: str = "quantized"
) -> None:
    """Checks that each entry of ``opTypes`` and ``excludeNodes`` matches a node of ``model``.

    ``can`` are the operator types that the step supports; ``verb`` names its operation, for messages. Raises
    Stalled(StepFailed) for an entry that matches nothing: it is a typing error.
    """
    if foreign := sorted(set(settings["opTypes"]) - set(can)):
        raise failed(context.name, f"opTypes {', '.join(foreign)} cannot be {verb}; it can do {', '.join(sorted(can))}")
    check_op_types(model, settings, context, key="opTypes")
    check_excluded(model, settings, context)


def check_op_types(model: onnx.ModelProto, settings: Settings, context: StepContext, *, key: str) -> None:
    """Raises Stalled(StepFailed) unless each type listed under ``key`` occurs in ``model``."""
    types = {node.op_type for node in nodes(model.graph)}
    if absent := sorted(set(settings[key]) - types):
        message = f"{key} {', '.join(absent)} match no node; the model has {', '.join(sorted(types))}"
        raise failed(context.name, f"{message}: take them out of {key}")


def check_excluded(model: onnx.ModelProto, settings: Settings, context: StepContext) -> None:
    """Raises Stalled(StepFailed) unless each name in ``excludeNodes`` is that of a node."""
    names = {node.name for node in nodes(model.graph)}
    if unknown := sorted(set(settings["excludeNodes"]) - names):
        near = ", ".join(sorted(names)[:_NAMES_SHOWN])
        more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
        message = f"excludeNodes {', '.join(map(repr, unknown))} match no node; the nodes are {near}{more}"
        raise failed(context.name, f"{message}: correct excludeNodes")


_NAMES_SHOWN: Final = 12


def op_types(doc: str) -> Texts:
    """Returns the setting of a list of ONNX operator types."""
    return Texts(doc, max_items=64, max_length=64, pattern="^[A-Za-z][A-Za-z0-9_]*$", each="An ONNX operator type.")


EXCLUDE_NODES: Final = Texts(
    "Names of graph nodes that the step leaves unchanged, for layers that would lose too much accuracy; at most 256. "
    "Default: none.",
    max_items=256,
    max_length=512,
    each="Name of a node in the ONNX graph.",
)
PER_CHANNEL: Final = Flag(
    True,
    "true uses one scale per output channel, false one per weight tensor; per channel is more accurate and hardly "
    "larger. Default: true.",
)
REDUCE_RANGE: Final = Flag(
    True,
    "true quantizes weights to 7 bits, which avoids overflow on x86 CPUs without VNNI. false is slightly more "
    "accurate and is safe if all nodes have VNNI or are arm64. Default: true.",
)
