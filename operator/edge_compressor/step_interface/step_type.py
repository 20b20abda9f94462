"""The type of a step, the context that it runs in, and what steps share: settings, and the choice of nodes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import onnx

from edge_compressor.checkpoints.store import Checkpoints
from edge_compressor.datasets import Dataset
from edge_compressor.models.onnx_model import OnnxModel
from edge_compressor.progress import Progress
from edgemodel import reasons, setting_kinds
from edgemodel.compression_request import EXPORTED_PROGRAM, CompressionRequest, Source
from edgemodel.errors import Stalled
from edgemodel.setting_kinds import Flag, Setting, Settings, Texts


@dataclass(frozen=True)
class StepContext:
    """The inputs of a step besides the model."""

    name: str
    """The name of the step, e.g. ``int8``; it stands in messages."""
    folder: Path
    """Empty, an absolute path; for the result and all that is made on the way to it."""
    calibration: Dataset | None
    progress: Progress
    request: CompressionRequest = field(default_factory=lambda: CompressionRequest(Source("")))
    """With those fields alone that the step type declares in ``reads``; all others are at their default."""
    source: OnnxModel | None = None
    """The source as ONNX: what gates compare with."""
    selection: Dataset | None = None
    """Labelled samples to choose by; none of them is in the set that the result is reported on."""
    training: Dataset | None = None
    unlabeled: Dataset | None = None
    """Inputs of the domain in which the model will serve, without labels."""
    teacher: Path | None = None
    """A model of the same task, ``.pt2`` or ``.onnx``; None: the source itself teaches."""
    program: Path | None = None
    """The source as ``.pt2``, where it is one."""
    checkpoints: Checkpoints | None = None
    """The store of checkpoints; None: training keeps none."""
    key: str = ""
    """Digest of all that determines what the step begins with and does."""
    notes: dict[str, Any] = field(default_factory=dict)
    """For the step to fill: what of its work belongs into the manifest, beside its settings."""


Apply = Callable[[Path, Settings, StepContext], Path]
"""Makes a new model of one, with these settings."""


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
    """By each format of models that it takes. On EXPORTED_PROGRAM it trains, where the source is one and nothing before
    has made ONNX of it."""
    trains_if: str = ""
    """The whole number among the settings that decides which of the two it is, where a step has both: above 0, it
    trains."""
    needs: tuple[str, ...] = ()
    """Data sets that it requires: calibration, evaluation, training, unlabeled. With ``trains_if``, when it trains."""
    reads: tuple[str, ...] = ()
    """Fields of the CompressionRequest that it reads besides its settings, the source and the data sets: ``budget``,
    ``evaluation``, ``teacher``. They determine its result, and so are part of the fingerprint."""
    ends_training: bool = False
    """True: it makes ONNX of what can be trained."""
    selects: bool = False
    """True: it chooses by labelled samples, which then are not those that the result is measured on."""

    def takes(self, model_format: str, settings: Settings) -> bool:
        """Says whether it runs on a model of ``model_format``."""
        if self.trains_if and (model_format == EXPORTED_PROGRAM) != bool(settings[self.trains_if] > 0):
            return False
        return model_format in self.apply

    @property
    def trains(self) -> bool:
        """True: it takes what can be trained, with some settings at least."""
        return EXPORTED_PROGRAM in self.apply

    @property
    def when_it_trains(self) -> str:
        """The step as one that trains, in words."""
        return f"{self.type} with {self.trains_if}" if self.trains_if else self.type

    @property
    def what_trains(self) -> str:
        """Names what to leave out where nothing can be trained."""
        return self.trains_if or "the step"

    @property
    def key(self) -> str:
        """The key of the settings in the manifest: ``QuantizeStatic`` -> ``quantizeStatic``."""
        return setting_kinds.settings_key(self.type)


def failed(step: str, message: str) -> Stalled:
    return Stalled(reasons.STEP_FAILED, f"step {step}: {message}")


def resolve(step: StepType, name: str, given: Settings) -> dict[str, Any]:
    """Returns ``given`` with the defaults filled in. Raises Stalled(StepFailed) for what does not belong."""
    try:
        return setting_kinds.resolve(step.key, step.settings, given)
    except ValueError as error:
        raise failed(name, str(error)) from error


def check_selection(
    model: onnx.ModelProto, settings: Settings, context: StepContext, *, can: Iterable[str], verb: str = "quantized"
) -> None:
    """``opTypes`` and ``excludeNodes`` must each name something in ``model``; ``can`` are the types a step knows.

    ``verb`` is what the step does with them, for messages. Raises Stalled(StepFailed): a name that matches nothing
    is a typing error, and silence would hide it.
    """
    if foreign := sorted(set(settings["opTypes"]) - set(can)):
        raise failed(context.name, f"opTypes {', '.join(foreign)} cannot be {verb}; it can do {', '.join(sorted(can))}")
    check_op_types(model, settings, context, key="opTypes")
    check_excluded(model, settings, context)


def check_op_types(model: onnx.ModelProto, settings: Settings, context: StepContext, *, key: str) -> None:
    """Each type listed under ``key`` occurs in ``model``, or Stalled(StepFailed) is raised."""
    types = {node.op_type for node in model.graph.node}
    if absent := sorted(set(settings[key]) - types):
        message = f"{key} {', '.join(absent)} match no node; the model has {', '.join(sorted(types))}"
        raise failed(context.name, f"{message}: take them out of {key}")


def check_excluded(model: onnx.ModelProto, settings: Settings, context: StepContext) -> None:
    """Each name of ``excludeNodes`` is that of a node, or Stalled(StepFailed) is raised."""
    names = {node.name for node in model.graph.node}
    if unknown := sorted(set(settings["excludeNodes"]) - names):
        near = ", ".join(sorted(names)[:_NAMES_SHOWN])
        more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
        message = f"excludeNodes {', '.join(map(repr, unknown))} match no node; the nodes are {near}{more}"
        raise failed(context.name, f"{message}: correct excludeNodes")


_NAMES_SHOWN: Final = 12


def op_types(doc: str) -> Texts:
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
