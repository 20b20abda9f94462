"""What every step is, and what they share: their settings, and the choice of nodes they touch."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import onnx

from edge_compressor.datasets import Dataset
from edge_compressor.progress import Progress
from edgemodel import reasons
from edgemodel.errors import Stalled

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class StepContext:
    """What a step may use besides the model."""

    name: str
    """Of the step, e.g. ``int8``; it stands in messages."""
    folder: Path
    """Empty, an absolute path; for the result and all that is made on the way to it."""
    calibration: Dataset | None
    progress: Progress


@dataclass(frozen=True)
class Step:
    """A step type of the manifest.

    ``settings`` are its keys with their defaults; the type of a default is the type of the value.
    ``apply(model, settings, context)`` answers the path of the new model and leaves the old one alone;
    it raises Stalled(StepFailed) when the step cannot be applied to this model.
    """

    type: str
    settings: Settings
    apply: Callable[[Path, Settings, StepContext], Path]
    needs_calibration: bool = False

    @property
    def key(self) -> str:
        """Where the settings stand in the manifest: ``QuantizeStatic`` -> ``quantizeStatic``."""
        return self.type[0].lower() + self.type[1:]


def failed(step: str, message: str) -> Stalled:
    return Stalled(reasons.STEP_FAILED, f"step {step}: {message}")


def resolve(step: Step, name: str, given: Settings) -> dict[str, Any]:
    """``given`` with the defaults filled in. Raises Stalled(StepFailed) for a key or value that does not belong."""
    if unknown := sorted(given.keys() - step.settings.keys()):
        has = ", ".join(sorted(step.settings)) or "none"
        raise failed(name, f"{step.key} has no setting {', '.join(unknown)}; its settings are: {has}")
    resolved = dict(step.settings)
    for key, value in given.items():
        default = step.settings[key]
        fits = type(value) is type(default) and (not isinstance(value, int) or isinstance(value, bool) or value >= 1)
        if isinstance(default, list):
            fits = isinstance(value, list) and all(isinstance(item, str) for item in value)
        if not fits:
            raise failed(name, f"{step.key}.{key} is {value!r}, want {_wanted(default)}")
        resolved[key] = value
    return resolved


def with_named_nodes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Nodes are excluded by name, so each needs one: nameless ones become ``<operator>_<position>``."""
    taken = {node.name for node in model.graph.node}
    for position, node in enumerate(model.graph.node):
        if not node.name:
            name = f"{node.op_type}_{position}"
            while name in taken:
                name += "_"
            node.name = name
            taken.add(name)
    return model


def with_weights_as_initializers(model: onnx.ModelProto) -> onnx.ModelProto:
    """Constant nodes become initializers: some exporters write weights as nodes, which quantizers pass over."""
    graph = model.graph
    constants = [node for node in graph.node if node.op_type == "Constant" and node.attribute[0].name == "value"]
    for node in constants:
        graph.initializer.append(node.attribute[0].t)
        graph.initializer[-1].name = node.output[0]
        graph.node.remove(node)
    return model


def check_selection(model: onnx.ModelProto, settings: Settings, context: StepContext, *, can: Iterable[str]) -> None:
    """``opTypes`` and ``excludeNodes`` must each name something in ``model``; ``can`` are the types a step knows.

    Raises Stalled(StepFailed): a name that matches nothing is a typing error, and silence would hide it.
    """
    types = {node.op_type for node in model.graph.node}
    if foreign := sorted(set(settings["opTypes"]) - set(can)):
        raise failed(
            context.name, f"opTypes {', '.join(foreign)} cannot be quantized; it can do {', '.join(sorted(can))}"
        )
    if absent := sorted(set(settings["opTypes"]) - types):
        message = f"opTypes {', '.join(absent)} match no node; the model has {', '.join(sorted(types))}"
        raise failed(context.name, f"{message}: take them out of opTypes")
    names = {node.name for node in model.graph.node}
    if unknown := sorted(set(settings["excludeNodes"]) - names):
        near = ", ".join(sorted(names)[:_NAMES_SHOWN])
        more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
        message = f"excludeNodes {', '.join(map(repr, unknown))} match no node; the nodes are {near}{more}"
        raise failed(context.name, f"{message}: correct excludeNodes")


_NAMES_SHOWN: Final = 12


def _wanted(default: object) -> str:
    match default:
        case bool():
            return "true or false"
        case int():
            return "a whole number, at least 1"
        case list():
            return "a list of texts"
        case _:
            return "a text"
